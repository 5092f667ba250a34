/** The page's side: what versions share, what is released, errors; and the time of frames. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { EarlyWorker, StreamClient } from "../../src/fvv/client.ts";
import type { FromWorker, ToWorker, WireFrame } from "../../src/fvv/messages.ts";
import { Timeline } from "../../src/fvv/timeline.ts";
import type { StreamInfo, StreamOptions } from "../../src/fvv/types.ts";

(globalThis as { document?: unknown }).document ??= { baseURI: "http://host/player/" };

class FakeWorker {
  posted: ToWorker[] = [];
  onmessage: ((event: { data: FromWorker }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  terminated = false;

  postMessage(message: ToWorker): void {
    this.posted.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  say(data: FromWorker): void {
    this.onmessage?.({ data });
  }
}

const INFO: StreamInfo = {
  version: 1,
  fps: 25,
  frameCount: 10,
  liveFrom: null,
  duration: 0.4,
  bounds: { min: [0, 0, 0], max: [1, 1, 1] },
  background: [0, 0, 0],
  shDegree: 0,
  cameras: [],
  layers: [],
  damage: null,
  extra: {},
};

function wire(frame: number, place: number, look: number, more: Partial<WireFrame> = {}): WireFrame {
  const floats = (n: number) => new Float32Array(n).fill(frame);
  return {
    frame,
    number: frame,
    time: frame / 25,
    count: 1,
    isKey: false,
    shDegree: 0,
    versions: { place, look, sh: 1 },
    place: { centers: floats(3), rotations: floats(4) },
    look: { scales: floats(3), opacities: floats(1), colors: floats(3) },
    sh: null,
    ...more,
  };
}

async function open(options: StreamOptions = {}) {
  const worker = new FakeWorker();
  const early = new EarlyWorker(worker as unknown as Worker);
  const opening = StreamClient.open({ url: "../a.fvv" }, options, null, early);
  worker.say({ type: "opened", info: INFO });
  return { worker, client: await opening };
}

const given = (worker: FakeWorker) =>
  worker.posted.flatMap((message) => (message.type === "give" ? message.buffers : []));

test("addresses are those of the page", async () => {
  const { worker } = await open();
  assert.deepEqual(worker.posted[0], {
    type: "open",
    source: { url: "http://host/a.fvv" },
    options: {},
  });
});

test("frames of the same version share arrays, which go back when nobody needs them", async () => {
  const { worker, client } = await open();
  const asked = [client.requestFrame(0), client.requestFrame(1), client.requestFrame(2)];
  worker.say({ type: "frame", id: 1, frame: wire(0, 1, 1) });
  worker.say({ type: "frame", id: 2, frame: wire(1, 2, 1, { look: null }) });
  worker.say({ type: "frame", id: 3, frame: wire(2, 3, 2) });
  const [first, second, third] = await Promise.all(asked);
  assert.equal(second.scales, first.scales);
  assert.notEqual(second.centers, first.centers);
  assert.deepEqual([third.centers[0], third.scales[0]], [2, 2]);
  client.release(first);
  assert.deepEqual(given(worker), [first.centers.buffer, first.rotations.buffer]);
  client.release(second);
  assert.equal(given(worker).length, 2 + 2 + 3);
  client.release(third); // the last one may still be shared
  assert.equal(given(worker).length, 7);
});

test("requests that are refused, and errors that nobody listened to yet", async () => {
  const { worker, client } = await open();
  const asked = client.requestFrame(7);
  worker.say({ type: "refused", id: 1, message: "Frame 7 cannot be shown." });
  await assert.rejects(asked, /Frame 7 cannot be shown/);
  worker.say({ type: "error", message: "The connection is gone." });
  const heard: string[] = [];
  client.onError((message) => void heard.push(message));
  assert.deepEqual(heard, ["The connection is gone."]);
  const open2 = client.requestFrame(8);
  client.close();
  await assert.rejects(open2, /was closed/);
});

test("a file that cannot be opened ends the worker", async () => {
  const worker = new FakeWorker();
  const early = new EarlyWorker(worker as unknown as Worker);
  const opening = StreamClient.open({ url: "a.fvv" }, {}, null, early);
  worker.say({ type: "error", message: "There is no a.fvv (404)." });
  await assert.rejects(opening, /There is no a.fvv/);
  assert.ok(worker.terminated);
});

test("a worker that fails before it is told what to open is not waited for", async () => {
  const worker = new FakeWorker();
  const early = new EarlyWorker(worker as unknown as Worker);
  worker.onerror?.({ message: "" });
  const opening = StreamClient.open({ url: "a.fvv" }, {}, null, early);
  await assert.rejects(opening, /decoder did not start: its script is missing/);
});

test("frame 0 comes unasked, and goes back if another is asked for first", async () => {
  const wanted = await open({ fromStart: true });
  wanted.worker.say({ type: "frame", id: 0, frame: wire(0, 1, 1) });
  assert.equal((await wanted.client.requestFrame(0)).frame, 0);
  assert.ok(!wanted.worker.posted.some(({ type }) => type === "frame"));
  void wanted.client.requestFrame(0); // once more: now it is asked for
  assert.ok(wanted.worker.posted.some(({ type }) => type === "frame"));

  const { worker, client } = await open({ fromStart: true });
  const asked = client.requestFrame(4);
  worker.say({ type: "frame", id: 0, frame: wire(0, 1, 1) });
  worker.say({ type: "frame", id: 1, frame: wire(4, 2, 2) });
  assert.equal((await asked).frame, 4);
  assert.equal(given(worker).length, 5);
});

test("who gives a request up says so, once", async () => {
  const { worker, client } = await open();
  const abort = new AbortController();
  const asked = client.requestFrame(7, abort.signal);
  abort.abort();
  worker.say({ type: "refused", id: 1, message: "This frame is not asked for any more." });
  await assert.rejects(asked, /not asked for/);
  abort.abort();
  const told = worker.posted.filter(({ type }) => type === "cancel");
  assert.deepEqual(told, [{ type: "cancel", id: 1 }]);
});

test("live frames that come early are kept for the listener, the newest of them", async () => {
  const { worker, client } = await open();
  worker.say({ type: "frame", id: null, frame: wire(4, 1, 1) });
  worker.say({ type: "frame", id: null, frame: wire(5, 2, 2) });
  const frames: number[] = [];
  client.onLiveFrame(({ frame }) => void frames.push(frame));
  worker.say({ type: "frame", id: null, frame: wire(6, 3, 3) });
  assert.deepEqual(frames, [5, 6]);
});

test("times: known frames exactly, others between them", async () => {
  const { worker, client } = await open();
  worker.say({ type: "times", pairs: [0, 0, 9, 0.9] });
  assert.ok(Math.abs(client.timeOf(3) - 0.3) < 1e-9);
  assert.equal(client.frameAt(0.35), 3);
  worker.say({ type: "times", pairs: [4, 0.8] }); // a gap in a live recording
  assert.equal(client.frameAt(0.35), 1);
  assert.equal(client.frameAt(0.8), 4);
  assert.equal(client.frameAt(-1), 0);
  assert.equal(client.frameAt(99), 9);
});

test("times that go back are not believed", () => {
  const timeline = new Timeline(10);
  assert.equal(timeline.timeOf(5), 0.5);
  timeline.learn(0, 0);
  timeline.learn(10, 1);
  timeline.learn(5, 3);
  timeline.learn(6, Number.NaN);
  assert.ok(Math.abs(timeline.timeOf(5) - 0.5) < 1e-12);
  for (let frame = 0; frame <= 12; frame++) {
    assert.equal(timeline.frameAt(timeline.timeOf(frame)), frame);
  }
});
