/** Live sessions: joining late, falling behind, breaks, looking back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Versions } from "../../src/fvv/floats.ts";
import { LivePlayer } from "../../src/fvv/live_player.ts";
import { OPTIONS, Told } from "./helpers.ts";
import { join, makeFrames, type MadeFrame, streamStart } from "./make.ts";

/** A WebSocket whose server is the test. */
class FakeSocket {
  static made: FakeSocket[] = [];
  readyState = 1;
  binaryType = "";
  sent: Record<string, unknown>[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor() {
    FakeSocket.made.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.readyState = 3;
  }

  hello(liveFrom: number | null): this {
    const cameras = { left: "there" };
    return this.text({ type: "hello", session: "s", state: "running", cameras, live_from: liveFrom });
  }

  text(message: unknown): this {
    this.onmessage?.({ data: JSON.stringify(message) });
    return this;
  }

  data(data: Uint8Array): this {
    this.onmessage?.({ data: data.slice().buffer });
    return this;
  }

  frames(...frames: MadeFrame[]): this {
    for (const frame of frames) this.data(join(frame.chunks));
    return this;
  }

  break(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 60; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

/** Opens a session; `say` is what its server says at once. */
async function watch(say: (socket: FakeSocket) => void, more: Partial<typeof OPTIONS> = {}) {
  FakeSocket.made = [];
  const told = new Told();
  const have: Versions = { place: 0, look: 0, sh: 0 };
  const opening = LivePlayer.open("ws://host/live", { ...OPTIONS, ...more }, told, have, () => {
    const socket = new FakeSocket();
    queueMicrotask(() => FakeSocket.made.length === 1 && say(socket));
    return socket as unknown as WebSocket;
  });
  const player = await opening;
  await settle();
  return { player, told, have, socket: FakeSocket.made[0] };
}

const shown = (told: Told) => told.shown.map(({ frame }) => frame);

test("frames before live_from are decoded and not shown", async () => {
  const frames = makeFrames(12);
  const { told, socket, player } = await watch((s) =>
    s.hello(3).data(streamStart()).frames(frames[0], frames[3]),
  );
  assert.deepEqual(shown(told), [3]);
  for (const frame of frames.slice(4)) {
    socket.frames(frame);
    await settle();
  }
  assert.deepEqual(shown(told), [3, 4, 5, 6, 7, 8, 9, 10, 11]);
  const last = told.shown.at(-1)!.decoded;
  assert.equal(last.place!.centers[1], 11);
  assert.equal(player.status.droppedFrames, 0);
  assert.equal(player.info.liveFrom, 3);
  assert.equal(player.status.state, "live");
  player.close();
});

test("of frames that wait only the newest is shown, and none that another needs is lost", async () => {
  const frames = makeFrames(12);
  const { told, player, socket } = await watch((s) => s.hello(0).data(streamStart()));
  socket.frames(...frames);
  await settle();
  assert.equal(shown(told).at(-1), 11);
  assert.equal(told.shown.at(-1)!.decoded.place!.centers[1], 11);
  assert.equal(player.status.droppedFrames + told.shown.length, 12);
  player.close();
});

test("after a gap nothing is shown until the next intra frame", async () => {
  const frames = makeFrames(14);
  const { told, player, socket } = await watch((s) => s.hello(0).data(streamStart()).frames(frames[0]));
  for (const i of [1, 4, 5, 6, 7]) {
    socket.frames(frames[i]); // frame 3, which 4 and 5 need, is missing
    await settle();
  }
  assert.deepEqual(shown(told), [0, 1, 6, 7]);
  assert.equal(player.status.droppedFrames, 2);
  player.close();
});

test("damaged messages are dropped", async () => {
  const frames = makeFrames(8);
  const { told, player, socket } = await watch((s) => s.hello(0).data(streamStart()).frames(frames[0]));
  const broken = join(frames[1].chunks);
  broken[70] ^= 1;
  socket.data(broken).data(new Uint8Array(7)).data(new Uint8Array(0));
  await settle();
  socket.frames(frames[2]);
  await settle();
  assert.deepEqual(shown(told), [0, 2]);
  assert.deepEqual(told.errors, []);
  player.close();
});

test("a connection that breaks is opened again, and versions go on", async () => {
  const frames = makeFrames(14);
  const { told, player, socket } = await watch((s) =>
    s.hello(0).data(streamStart()).frames(frames[0]),
  );
  const before = told.shown.at(-1)!.decoded.versions;
  socket.break();
  assert.equal(player.status.state, "reconnecting");
  assert.ok(player.status.retryIn! > 0);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(FakeSocket.made.length, 2);
  FakeSocket.made[1].hello(6).data(streamStart()).frames(frames[6]);
  await settle();
  assert.deepEqual(shown(told), [0, 6]);
  const after = told.shown.at(-1)!.decoded;
  assert.ok(after.versions.place > before.place);
  assert.equal(after.place!.centers[1], 6);
  assert.equal(player.status.state, "live");
  player.close();
});

test("the end is told and nothing is tried again", async () => {
  const { told, player, socket } = await watch((s) => s.hello(null).data(streamStart()));
  socket.text({ type: "end", reason: "stopped" }).break(1000);
  assert.equal(player.status.state, "ended");
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(FakeSocket.made.length, 1);
  assert.deepEqual(told.errors, []);
});

test("a session that ends before it begins is a plain error", async () => {
  await assert.rejects(
    watch((s) => s.hello(null).text({ type: "end", reason: "camera 1 is missing" })),
    /The live session is over: camera 1 is missing/,
  );
});

test("looking back and going live again", async () => {
  const frames = makeFrames(20);
  const { told, have, player, socket } = await watch((s) =>
    s.hello(0).data(streamStart()).frames(...frames.slice(0, 14)),
  );
  const back = await player.frame(7, have);
  assert.equal(back.decoded.place!.centers[1], 7);
  assert.equal(player.status.state, "behind");
  const count = told.shown.length;
  socket.frames(...frames.slice(14, 18));
  await settle();
  assert.equal(told.shown.length, count);
  assert.deepEqual(player.status.buffered, [0, 17]);
  player.goLive();
  await settle();
  assert.deepEqual(shown(told).slice(count), [17]);
  socket.frames(frames[18]);
  await settle();
  assert.equal(told.shown.at(-1)!.decoded.place!.centers[1], 18);
  await assert.rejects(player.frame(99, have), /not kept any more/);
  player.close();
});

test("what is kept for looking back is bounded", async () => {
  const { player, socket } = await watch((s) => s.hello(0).data(streamStart()), { cacheBytes: 20_000 });
  for (const frame of makeFrames(200, { rows: 20 })) socket.frames(frame);
  await settle();
  const [first, last] = player.status.buffered!;
  assert.equal(last, 199);
  assert.ok(first > 100, `from ${first}`);
  player.close();
});

test("a wish for fewer layers goes to the server, also after a break", async () => {
  const { player, socket } = await watch((s) => s.hello(0).data(streamStart()));
  player.setQuality(0);
  assert.deepEqual(socket.sent.at(-1), { type: "layers", max: 1 });
  socket.text({ type: "quality", layers: 1, of: 2, frames: "all" });
  assert.equal(player.status.layers, 1);
  socket.break();
  await new Promise((resolve) => setTimeout(resolve, 700));
  const again = FakeSocket.made[1];
  again.hello(0);
  assert.deepEqual(again.sent.at(-1), { type: "layers", max: 1 });
  player.close();
});
