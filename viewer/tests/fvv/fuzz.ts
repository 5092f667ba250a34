/**
 * Damage a real file again and again and play it:
 *
 *     node fuzz.mjs FILE ROUNDS SEED
 *
 * Prints how many frames were shown; ends with an error if anything but a plain error comes up.
 */

import { readFileSync } from "node:fs";

import { playAll, random, spoil, spoilPayloads } from "./fuzzing.ts";

const [file, rounds, seed] = process.argv.slice(2);
const data = new Uint8Array(readFileSync(file));
const draw = random(Number(seed));
const buffers = () => process.memoryUsage().arrayBuffers;
let shown = 0;
let most = 0;
for (let i = 0; i < Number(rounds); i++) {
  shown += await playAll((i % 2 ? spoil : spoilPayloads)(data, draw), draw);
  most = Math.max(most, buffers());
}
console.log(JSON.stringify({ shown, most }));
