/** Files: any frame, damage, no index, limits. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { crc32 } from "../../src/fvv/crc32.ts";
import { DEFAULT_LIMITS } from "../../src/fvv/errors.ts";
import { Viewing } from "./helpers.ts";
import {
  chunk,
  HEADER,
  INTRA,
  intraPayload,
  join,
  makeFile,
  makeFrames,
  REFERENCE,
  streamStart,
} from "./make.ts";

/** Row 1 of frame t is at (1, t, 0). */
async function checkFrame(viewing: Viewing, frame: number, y = frame): Promise<void> {
  const whole = await viewing.frame(frame);
  assert.equal(whole.frame, frame);
  assert.deepEqual([...whole.centers.subarray(3, 6)], [1, y, 0]);
}

test("checksums are those of zlib", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

test("any frame of a file, in any order", async () => {
  const viewing = await Viewing.open(makeFile(makeFrames(20)));
  assert.equal(viewing.player.info.frameCount, 20);
  assert.ok(Math.abs(viewing.player.info.fps - 25) < 1e-9);
  for (const frame of [0, 1, 2, 17, 5, 4, 3, 3, 19, 18, 12, 11, 0]) {
    await checkFrame(viewing, frame);
  }
  assert.equal(viewing.player.info.damage, null);
  await assert.rejects(viewing.frame(20), /There is no frame 20; there are 20/);
  await assert.rejects(viewing.frame(-1), /There is no frame -1/);
});

test("a quality can be lowered and raised while playing", async () => {
  const viewing = await Viewing.open(makeFile(makeFrames(20)));
  assert.equal((await viewing.frame(1)).shDegree, 1);
  viewing.player.setQuality(0);
  const low = await viewing.frame(2);
  assert.equal(low.shDegree, 0);
  assert.equal(low.sh, null);
  assert.equal((await viewing.frame(4)).shDegree, 0);
  viewing.player.setQuality(1);
  const high = await viewing.frame(5);
  assert.equal(high.shDegree, 1);
  assert.ok(high.sh!.every((value) => Math.abs(value - 0.02) < 1e-6));
});

test("a file without an index, and one cut off anywhere, plays what is there", async () => {
  const data = makeFile(makeFrames(8), { index: false });
  const whole = await Viewing.open(data);
  assert.equal(whole.player.info.frameCount, 8);
  assert.equal(whole.player.info.damage, null);
  await checkFrame(whole, 7);
  const start = streamStart().length;
  const first = makeFrames(8)[0].chunks[0].length;
  for (let end = start; end < data.length; end += 97) {
    if (end < start + first) {
      await assert.rejects(Viewing.open(data.subarray(0, end)), /holds no frames/);
      continue;
    }
    const viewing = await Viewing.open(data.subarray(0, end));
    const { frameCount, damage } = viewing.player.info;
    for (let frame = 0; frame < frameCount!; frame++) await checkFrame(viewing, frame);
    if (damage !== null) assert.match(damage, /cut off/);
  }
});

test("damage is passed over and said", async () => {
  const frames = makeFrames(13);
  const data = makeFile(frames, { index: false });
  const lengths = frames.map(({ chunks }) => chunks[0].length + chunks[1].length);
  const at = streamStart().length + lengths.slice(0, 3).reduce((a, b) => a + b, 0);
  data[at + 20] ^= 1; // the header of frame 3's base, a reference
  const viewing = await Viewing.open(data);
  assert.match(viewing.player.info.damage!, new RegExp(`at byte ${at}: .* are no chunk`));
  for (const frame of [0, 1, 2, 6, 7, 12]) await checkFrame(viewing, frame);
  for (const frame of [3, 4, 5]) await assert.rejects(viewing.frame(frame), /cannot be shown/);
});

test("a damaged payload of an indexed file costs what depends on it", async () => {
  const frames = makeFrames(9);
  const data = makeFile(frames);
  const lengths = frames.map(({ chunks }) => chunks[0].length + chunks[1].length);
  const at = streamStart().length + lengths.slice(0, 3).reduce((a, b) => a + b, 0);
  data[at + 60] ^= 1;
  const viewing = await Viewing.open(data);
  assert.equal(viewing.player.info.damage, null);
  await checkFrame(viewing, 2);
  await assert.rejects(viewing.frame(3), /Frame 3 cannot be shown: chunk payload: wrong checksum/);
  await assert.rejects(viewing.frame(4), /Frame 4 cannot be shown: it needs frame 3/);
  await checkFrame(viewing, 6);
  await checkFrame(viewing, 1);
  const damage = viewing.player.info.damage!;
  assert.match(damage, new RegExp(`at byte ${at} \\(frame 3\\): chunk payload: wrong checksum`));
  assert.equal(viewing.told.infos.at(-1)?.damage, damage);
});

test("a damaged layer costs only the layer", async () => {
  const frames = makeFrames(8);
  const data = makeFile(frames);
  const at = streamStart().length + frames[0].chunks[0].length;
  data[at + 50] ^= 1; // SH of frame 0
  const viewing = await Viewing.open(data);
  const whole = await viewing.frame(0);
  assert.equal(whole.shDegree, 0);
  await checkFrame(viewing, 5);
  assert.equal((await viewing.frame(6)).shDegree, 1);
  assert.match(viewing.player.info.damage!, /frame 0/);
});

test("other files are refused in plain words", async () => {
  const open = (data: Uint8Array) => Viewing.open(data);
  await assert.rejects(open(new TextEncoder().encode("<!doctype html><html>")), /not an .fvv file/);
  await assert.rejects(open(new Uint8Array(0)), /not an .fvv file/);
  const newer = makeFile(makeFrames(1));
  newer[8] = 2;
  await assert.rejects(open(newer), /version 2.1; this player knows 1.x/);
  const header = { ...HEADER, sh_degree: 7 };
  await assert.rejects(open(streamStart(header)), /sh_degree must be a whole number from 0 to 3/);
  await assert.rejects(open(streamStart([])), /header must be an object/);
  const infinite = { ...HEADER, grid: { ...HEADER.grid, position: 0 } };
  await assert.rejects(open(streamStart(infinite)), /steps/);
});

test("hostile numbers are held against limits before anything is made of them", async () => {
  const start = streamStart();
  const flags = INTRA | REFERENCE;
  // Four million Gaussians in a payload of some bytes: all runs of zeros.
  const huge = intraPayload(0, 0);
  new DataView(huge.buffer).setUint32(0, 3_999_999, true);
  const small = { limits: { ...DEFAULT_LIMITS, stateBytes: 2 ** 20 } };
  const viewing = await Viewing.open(join([start, chunk(huge, { flags })]), small);
  await assert.rejects(viewing.frame(0), /3999999 Gaussians in a frame, this player's limit is/);
  const before = process.memoryUsage().arrayBuffers;
  // A chunk that says it holds 4 GB, and one that decompresses to that.
  const lying = chunk(new Uint8Array(4), { flags, size: 0xffffffff });
  await assert.rejects(Viewing.open(join([start, lying])), /holds no frames/);
  const bomb = chunk(new Uint8Array(40), { flags, size: 2 ** 27, codec: 2 });
  const bombed = await Viewing.open(join([start, bomb]));
  await assert.rejects(bombed.frame(0), /is not zstd/);
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 22);
});

test("an index that lies is not followed out of the file", async () => {
  const frames = makeFrames(4);
  const data = makeFile(frames);
  const view = new DataView(data.buffer);
  const index = view.getUint32(data.length - 12, true);
  view.setUint32(index + 40, 0xfffffff0, true); // the first chunk lies far outside
  view.setUint32(index + 32, crc32(data, index + 40, data.length - 16), true);
  view.setUint32(index + 36, crc32(data, index, index + 36), true);
  const viewing = await Viewing.open(data); // scanned instead
  assert.equal(viewing.player.info.frameCount, 4);
  await checkFrame(viewing, 3);
});

test("little is kept however long the video is", async () => {
  const frames = makeFrames(120, { rows: 200 });
  const data = makeFile(frames);
  const cacheBytes = 60_000;
  const viewing = await Viewing.open(data, { cacheBytes, snapshotBytes: 20_000 });
  for (let frame = 0; frame < 120; frame += 7) await checkFrame(viewing, frame);
  const [first, last] = viewing.player.status.buffered!;
  assert.ok(last - first < 40, `${first} to ${last}`);
});
