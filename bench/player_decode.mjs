/**
 * Measure the web player's decoder in node: frames a second of one core, and seeking.
 *
 *     python bench/player_decode.py OUT.fvv
 *     node bench/player_decode.mjs OUT.fvv [rounds]
 *
 * Chunks lie in memory; what is measured is checksum, decompression, decoding and floats, as the
 * worker does it. `npm ci` in `viewer/` before.
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const viewer = fileURLToPath(new URL("../viewer/", import.meta.url));
const ENTRY = `
export * from "./src/fvv/chunks.ts";
export * from "./src/fvv/codecs.ts";
export * from "./src/fvv/decoder.ts";
export * from "./src/fvv/errors.ts";
export * from "./src/fvv/header.ts";
`;

async function load() {
  const { build } = createRequire(join(viewer, "package.json"))("esbuild");
  const folder = await mkdtemp(join(tmpdir(), "player-"));
  const outfile = join(folder, "decoder.mjs");
  await build({
    stdin: { contents: ENTRY, resolveDir: viewer, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    outfile,
  });
  const code = await import(pathToFileURL(outfile).href);
  await rm(folder, { recursive: true });
  return code;
}

/** Chunks by frame, in order. */
function framesOf(code, data) {
  const frames = new Map();
  for (let at = code.PREFIX_BYTES; ; ) {
    if (code.tryChunkHeader(data, at, code.DEFAULT_LIMITS) === null) break;
    const chunk = code.readChunk(data, at, code.DEFAULT_LIMITS);
    at += code.HEADER_BYTES + chunk.header.stored;
    if (chunk.header.kind !== code.FRAME) continue;
    const { frame } = chunk.header;
    frames.set(frame, [...(frames.get(frame) ?? []), chunk]);
  }
  return [...frames.values()];
}

function recycle(decoder, frame) {
  const arrays = [...Object.values(frame.place ?? {}), ...Object.values(frame.look ?? {})];
  if (frame.sh) arrays.push(frame.sh);
  for (const array of arrays) decoder.pool.give(array.buffer);
}

function play(code, decoder, frames, times) {
  let have = { place: 0, look: 0, sh: 0 };
  for (const chunks of frames) {
    const start = performance.now();
    const shown = decoder.decode(chunks.map(code.openChunk), have);
    const spent = performance.now() - start;
    have = shown.versions;
    recycle(decoder, shown);
    const { flags } = chunks[0].header;
    times[flags & code.INTRA ? "intra" : flags & code.REFERENCE ? "key" : "candidate"].push(spent);
  }
}

/** The path to the last frame before the second intra frame: the longest there is. */
function seek(code, decoder, frames) {
  const intras = frames.flatMap((c, i) => (c[0].header.flags & code.INTRA ? [i] : []));
  const last = (intras[1] ?? frames.length) - 1;
  const path = frames.slice(0, last).filter((c) => c[0].header.flags & code.REFERENCE);
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (const chunks of path) decoder.decode(chunks.map(code.openChunk), null);
  const have = { place: 0, look: 0, sh: 0 };
  const shown = decoder.decode(frames[last].map(code.openChunk), have);
  const spent = performance.now() - start;
  recycle(decoder, shown);
  const { user, system } = process.cpuUsage(cpu);
  const core = ((user + system) / 1000).toFixed(0);
  return `${spent.toFixed(0)} ms, ${core} of a core (${path.length} references)`;
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

async function main([path, rounds = "5"]) {
  const code = await load();
  const data = new Uint8Array(await readFile(path));
  await code.prepareCodecs();
  code.checkPrefix(data);
  const first = code.readChunk(data, code.PREFIX_BYTES, code.DEFAULT_LIMITS);
  const header = code.readHeader(code.openChunk(first));
  const frames = framesOf(code, data);
  console.log(`${path}: ${frames.length} frames, SH degree ${header.shDegree}`);
  const decoder = new code.StreamDecoder(header);
  for (let round = 0; round < Number(rounds); round++) {
    const times = { intra: [], key: [], candidate: [] };
    const cpu = process.cpuUsage();
    const start = performance.now();
    play(code, decoder, frames, times);
    const wall = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    const kinds = Object.entries(times).filter(([, t]) => t.length);
    const each = kinds.map(([kind, t]) => `${kind} ${mean(t).toFixed(1)} ms`).join(", ");
    const core = (user + system) / 1000 / frames.length;
    const rate = ((1000 * frames.length) / wall).toFixed(0);
    console.log(
      `round ${round + 1}: ${rate} frames/s by the clock, ${(1000 / core).toFixed(0)} of a core; ` +
        `${each}; longest ${Math.max(...kinds.flatMap(([, t]) => t)).toFixed(1)} ms; ` +
        `longest seek ${seek(code, decoder, frames)}`,
    );
  }
}

await main(process.argv.slice(2));
