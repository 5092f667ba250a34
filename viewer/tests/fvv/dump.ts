/**
 * Decode frames of a file and write their arrays, for comparison with another decoder:
 *
 *     node dump.mjs FILE OUT [--layer N] [--frames 0,3,1]
 *
 * A line of JSON for the stream, then one a frame (in the order asked for) with the lengths of its
 * arrays, which OUT holds one after the other as float32; or with an error.
 */

import { closeSync, openSync } from "node:fs";

import { EVERY_LAYER } from "../../src/fvv/player.ts";
import { Viewing, writeFrame } from "./helpers.ts";

async function main(words: string[]): Promise<void> {
  const [file, out] = words;
  const option = (name: string) => {
    const at = words.indexOf(name);
    return at < 0 ? null : words[at + 1];
  };
  const layer = option("--layer");
  const viewing = await Viewing.open(file, { maxLayer: layer ? Number(layer) : EVERY_LAYER });
  const count = viewing.player.info.frameCount ?? 0;
  const asked = option("--frames")?.split(",").map(Number);
  const target = openSync(out, "w");
  const lines: unknown[] = [viewing.player.info];
  for (const frame of asked ?? Array.from({ length: count }, (_, i) => i)) {
    try {
      lines.push(writeFrame(target, await viewing.frame(frame)));
    } catch (error) {
      lines.push({ frame, error: (error as Error).message });
    }
  }
  closeSync(target);
  lines.push({ damage: viewing.player.info.damage });
  console.log(lines.map((line) => JSON.stringify(line)).join("\n"));
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exitCode = 1;
});
