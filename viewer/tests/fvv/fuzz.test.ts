/** Damaged and hostile files end in plain errors or in frames, never otherwise. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { playAll, random, spoil, spoilPayloads } from "./fuzzing.ts";
import { makeFile, makeFrames } from "./make.ts";

test("damage anywhere", async () => {
  const data = makeFile(makeFrames(9));
  const draw = random(1);
  let shown = 0;
  for (let i = 0; i < 200; i++) shown += await playAll(spoil(data, draw), draw);
  assert.ok(shown > 200, `${shown} frames were shown`);
});

test("payloads that lie, with right checksums", async () => {
  const data = makeFile(makeFrames(9));
  const draw = random(2);
  let shown = 0;
  for (let i = 0; i < 200; i++) shown += await playAll(spoilPayloads(data, draw), draw);
  assert.ok(shown > 200, `${shown} frames were shown`);
});

test("random bytes behind a sound start", async () => {
  const data = makeFile(makeFrames(4));
  const draw = random(3);
  for (let i = 0; i < 100; i++) {
    const made = data.slice();
    for (let at = 16 + Math.floor(draw() * 900); at < made.length; at++) made[at] = draw() * 256;
    await playAll(made, draw);
  }
});
