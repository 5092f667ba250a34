import assert from "node:assert/strict";
import test from "node:test";

import { Pace } from "../../src/app/pace.ts";

test("slow pictures are drawn smaller, down to a limit, and quick ones grow again", () => {
  const pace = new Pace(false);
  assert.equal(pace.scale, 1);
  pace.took(0.1, 1);
  assert.ok(pace.scale < 1 && pace.scale > 0.5);
  for (let i = 0; i < 20; i++) pace.took(1, pace.scale);
  assert.equal(pace.scale, 0.25);
  for (let i = 0; i < 200; i++) pace.took(0.005, pace.scale);
  assert.equal(pace.scale, 1);
});

test("a picture of another size than moving ones says nothing about theirs", () => {
  const pace = new Pace(true);
  assert.equal(pace.scale, 0.25);
  const { stillAfter } = pace;
  pace.took(3, 1);
  assert.equal(pace.scale, 0.25);
  assert.equal(pace.stillAfter, stillAfter);
  pace.took(0.02, 1);
  assert.ok(pace.stillAfter < stillAfter);
});

test("a slow picture in full is drawn in parts, a quick one at once", () => {
  const pace = new Pace(true);
  pace.took(0.04, 0.25);
  assert.ok(pace.parts > 8);
  pace.took(0.3, 1);
  assert.equal(pace.parts, 5);
  pace.took(0.01, 1);
  assert.equal(pace.parts, 1);
});
