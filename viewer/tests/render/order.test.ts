import assert from "node:assert/strict";
import test from "node:test";

import { DepthSorter, NEAR } from "../../src/render/order.ts";

/** Pseudo-random numbers of 0 to 1 from a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function centersOf(depths: readonly number[]): Float32Array {
  return new Float32Array(depths.flatMap((depth) => [0, 0, depth]));
}

test("farthest first, what lies behind the near cut left out", () => {
  const order = new Uint32Array(6);
  const count = new DepthSorter().sort(
    centersOf([3, -1, 0.1, 7, NEAR + 0.01, 5]), [0, 0, 1], 0, order,
  );
  assert.deepEqual([...order.subarray(0, count)], [3, 5, 0, 4]);
});

test("equal depths come in descending index", () => {
  const order = new Uint32Array(4);
  const count = new DepthSorter().sort(centersOf([2, 2, 2, 2]), [0, 0, 1], 0, order);
  assert.deepEqual([...order.subarray(0, count)], [3, 2, 1, 0]);
});

test("agrees with a comparison sort of many depths in any direction", () => {
  const next = random(1);
  const n = 20000;
  const centers = Float32Array.from({ length: 3 * n }, () => 10 * next() - 2);
  const [x, y, z, offset] = [0.36, 0.48, 0.8, 1];
  const depth = (i: number): number =>
    Math.fround(x * centers[3 * i]! + y * centers[3 * i + 1]! + z * centers[3 * i + 2]! + offset);
  const order = new Uint32Array(n);
  const count = new DepthSorter().sort(centers, [x, y, z], offset, order);
  const visible = Array.from({ length: n }, (_, i) => i).filter((i) => depth(i) > Math.fround(NEAR));
  assert.equal(count, visible.length);
  assert.deepEqual(new Set(order.subarray(0, count)), new Set(visible));
  const range = 20 / 2 ** 24;
  for (let i = 1; i < count; i++) {
    assert.ok(depth(order[i]!) <= depth(order[i - 1]!) + range);
  }
});

test("numbers that are not finite are left out, none at all is no fault", () => {
  const order = new Uint32Array(3);
  const sorter = new DepthSorter();
  assert.equal(sorter.sort(centersOf([NaN, Infinity, 1]), [0, 0, 1], 0, order), 1);
  assert.equal(order[0], 2);
  assert.equal(sorter.sort(new Float32Array(0), [0, 0, 1], 0, order), 0);
});
