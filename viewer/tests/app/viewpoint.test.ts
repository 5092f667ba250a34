import assert from "node:assert/strict";
import test from "node:test";

import { formatMoment, parseMoment } from "../../src/app/link.ts";
import { focusOf, upOf, Viewpoint } from "../../src/app/viewpoint.ts";
import type { StreamCamera, StreamInfo } from "../../src/fvv/types.ts";
import {
  center, dot, fromProjection, length, lookAlong, subtract, toCamera, type Vec3,
} from "../../src/render/camera.ts";

function camera(name: string, position: Vec3, target: Vec3): StreamCamera {
  const { rotation: r, translation: t } = lookAlong(position, subtract(target, position), [0, -1, 0]);
  const rows = [0, 1, 2].flatMap((i) => [r[3 * i]!, r[3 * i + 1]!, r[3 * i + 2]!, t[i]!]);
  return {
    name, width: 320, height: 240, fx: 300, fy: 310, cx: 150, cy: 130,
    worldToCamera: [...rows, 0, 0, 0, 1],
  };
}

const RIG = [
  camera("a", [0, 0, -4], [0, 0.2, 1]),
  camera("b", [3, -1, -3], [0, 0.2, 1]),
  camera("c", [-3, -1, -3], [0, 0.2, 1]),
];
const INFO: Pick<StreamInfo, "cameras" | "bounds"> = { cameras: RIG, bounds: { min: [-1, -1, -1], max: [1, 1, 1] } };

const close = (a: readonly number[], b: readonly number[], within = 1e-6): void =>
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]!) < within, `${a} is not ${b}`));

test("cameras agree on up and on what they look at", () => {
  close(focusOf(RIG)!, [0, 0.2, 1]);
  assert.ok(dot(upOf(RIG), [0, -1, 0]) > 0.9);
  assert.equal(focusOf(RIG.slice(0, 1)), null);
});

test("a capture camera's view is its own, scaled to fit and centred", () => {
  const viewpoint = new Viewpoint(INFO);
  assert.ok(viewpoint.setCamera("b"));
  const exact = viewpoint.view(320, 240);
  close([exact.fx, exact.fy, exact.cx, exact.cy], [300, 310, 150, 130]);
  close(center(exact.rotation, exact.translation), [3, -1, -3]);
  const wide = viewpoint.view(1280, 480);
  close([wide.fx, wide.fy, wide.cx, wide.cy], [600, 620, 300 + 320, 260]);
  assert.equal(viewpoint.setCamera("nobody"), false);
});

test("orbiting keeps the target in the middle and the distance", () => {
  const viewpoint = new Viewpoint(INFO);
  const { target } = viewpoint;
  const { distance } = viewpoint.free;
  viewpoint.turn(0.7, 0.3);
  viewpoint.turn(-2, -5);
  close(viewpoint.target, target);
  const view = viewpoint.view(100, 80);
  const seen = toCamera(view.rotation, view.translation, target);
  close(seen, [0, 0, distance]);
});

test("dragging to the right turns the scene to the right, down tilts towards its top", () => {
  const viewpoint = new Viewpoint(INFO);
  const before = viewpoint.free.position;
  viewpoint.turn(0.2, 0);
  assert.ok(viewpoint.free.position[0] < before[0]); // the eye goes left
  viewpoint.turn(0, 0.2);
  assert.ok(dot(subtract(viewpoint.free.position, before), viewpoint.up) > 0); // and up
});

test("flying turns on the spot and moves along the view", () => {
  const viewpoint = new Viewpoint(INFO);
  viewpoint.setMode("fly");
  const { position } = viewpoint.free;
  viewpoint.turn(0.5, 0.1);
  close(viewpoint.free.position, position);
  const { forward, distance } = viewpoint.free;
  viewpoint.shift(0, 0, 0.5);
  const step = subtract(viewpoint.free.position, position);
  close(step, forward.map((value) => value * distance * 0.5));
});

test("a drag leaves the capture camera from where it stands", () => {
  const viewpoint = new Viewpoint(INFO);
  viewpoint.setCamera("c");
  viewpoint.shift(0, 0, 0);
  assert.equal(viewpoint.camera, null);
  close(viewpoint.free.position, [-3, -1, -3]);
});

test("a rig without cameras starts with the whole box in view", () => {
  const viewpoint = new Viewpoint({ ...INFO, cameras: [] });
  const view = viewpoint.view(200, 100);
  for (const x of [-1, 1]) {
    const seen = toCamera(view.rotation, view.translation, [x, x, -1]);
    const pixel = (view.fy * seen[1]) / seen[2] + view.cy;
    assert.ok(seen[2] > 0 && pixel > 0 && pixel < 100);
  }
});

test("links carry time and viewpoint there and back", () => {
  const viewpoint = new Viewpoint(INFO);
  viewpoint.turn(0.4, 0.2);
  const text = formatMoment({ time: 1.25, mode: "fly", place: viewpoint.free });
  const moment = parseMoment(`#${text}`);
  assert.equal(moment.time, 1.25);
  assert.equal(moment.mode, "fly");
  close(moment.place!.position, viewpoint.free.position, 1e-4);
  close(moment.place!.forward, viewpoint.free.forward, 1e-4);
  assert.ok(Math.abs(length(moment.place!.forward) - 1) < 1e-9);
  assert.deepEqual(parseMoment(formatMoment({ time: 2, camera: "cam 1&x" })), {
    time: 2, camera: "cam 1&x",
  });
});

test("links that make no sense are ignored", () => {
  for (const text of ["", "#t=-1", "#t=x", "#at=1,2&to=0,0,0&fov=50", "#at=0,0,0&to=0,0,0&fov=50",
    "#at=0,0,0&to=0,0,1&fov=9999", "#at=NaN,0,0&to=0,0,1&fov=50"]) {
    assert.deepEqual(parseMoment(text), {});
  }
});

test("a projection matrix becomes intrinsics", () => {
  // Off-centre OpenGL frustum: left -0.1, right 0.3, bottom -0.2, top 0.1, near 1.
  const p = [2 / 0.4, 0, 0, 0, 0, 2 / 0.3, 0, 0, 0.2 / 0.4, -0.1 / 0.3, -1, -1, 0, 0, -0.2, 0];
  const { fx, fy, cx, cy } = fromProjection(p, 400, 300);
  const pixel = (x: number, y: number): number[] => [fx * x + cx, fy * -y + cy]; // at z = 1, y up
  close(pixel(-0.1, 0.1), [0, 0], 1e-9);
  close(pixel(0.3, -0.2), [400, 300], 1e-9);
});
