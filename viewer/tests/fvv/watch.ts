/**
 * Watch a live session until it is over and write the arrays of what is shown; as `dump.ts` does:
 *
 *     node --experimental-websocket watch.mjs URL OUT [--layer N]
 */

import { closeSync, openSync } from "node:fs";

import { LivePlayer } from "../../src/fvv/live_player.ts";
import { EVERY_LAYER } from "../../src/fvv/player.ts";
import { OPTIONS, Receiver, Told, writeFrame } from "./helpers.ts";

async function main([url, out, , layer]: string[]): Promise<void> {
  const target = openSync(out, "w");
  const receiver = new Receiver();
  const lines: unknown[] = [];
  const told = new Told();
  told.live = ({ frame, decoded }) =>
    void lines.push(writeFrame(target, receiver.whole(frame, decoded)));
  const maxLayer = layer ? Number(layer) : EVERY_LAYER;
  const player = await LivePlayer.open(url, { ...OPTIONS, maxLayer }, told, receiver.have);
  while (player.status.state !== "ended") await new Promise((done) => setTimeout(done, 20));
  // What came before the end is still decoded.
  while (player.status.bufferedFrames > 0) await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 100));
  closeSync(target);
  const { droppedFrames: dropped } = player.status;
  const last = { damage: null, dropped, errors: told.errors };
  console.log([player.info, ...lines, last].map((line) => JSON.stringify(line)).join("\n"));
}

main(process.argv.slice(2)).catch((error: Error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exitCode = 1;
});
