import assert from "node:assert/strict";
import test from "node:test";

import type { Stream } from "../../src/app/stream.ts";
import { frameAt, Transport } from "../../src/app/transport.ts";
import type { FrameData, StreamInfo } from "../../src/fvv/types.ts";

const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

class Stub implements Stream {
  readonly asked: number[] = [];
  readonly released: number[] = [];
  readonly givenUp: number[] = [];
  readonly prefetched: [number, number][] = [];
  held: (() => void)[] | null = null;
  readonly info: StreamInfo;
  constructor(live = false, private readonly start = 0) {
    this.info = {
      version: 1, fps: 10, frameCount: live ? null : 20, liveFrom: live ? 5 : null,
      duration: live ? null : 2, bounds: { min: [0, 0, 0], max: [1, 1, 1] },
      background: [0, 0, 0], shDegree: 0, cameras: [], layers: [], damage: null, extra: {},
    };
  }
  frame(frame: number): FrameData {
    return { frame, time: this.timeOf(frame) } as FrameData;
  }
  timeOf(frame: number): number {
    return this.start + frame / 10;
  }
  async requestFrame(frame: number, signal?: AbortSignal): Promise<FrameData> {
    this.asked.push(frame);
    signal?.addEventListener("abort", () => this.givenUp.push(frame));
    if (this.held) await new Promise<void>((resolve) => this.held!.push(resolve));
    if (frame === 13) throw new Error("frame 13 is damaged");
    return this.frame(frame);
  }
  release(frame: FrameData): void {
    this.released.push(frame.frame);
  }
  prefetch(from: number, count: number): void {
    this.prefetched.push([from, count]);
  }
  setQuality(): void {}
  onLiveFrame(): void {}
  onStatus(): void {}
  onInfo(): void {}
  onError(): void {}
  goLive(): void {}
  close(): void {}
}

function started(stream: Stub): { transport: Transport; seen: number[]; run: (until: number) => Promise<void> } {
  const seen: number[] = [];
  const transport = new Transport(stream, {
    setFrame: async (frame) => {
      seen.push(frame.frame);
      return true;
    },
  });
  let now = 0;
  const run = async (until: number): Promise<void> => {
    for (; now < until; now += 1 / 60) {
      transport.tick(now);
      await later();
    }
  };
  return { transport, seen, run };
}

test("plays every frame once, in order, at its time", async () => {
  const { transport, seen, run } = started(new Stub());
  transport.loop = false;
  await run(0.1);
  assert.deepEqual(seen, [0]);
  transport.play();
  await run(1.2);
  assert.ok(Math.abs(transport.frame! - 10) <= 1);
  assert.deepEqual(seen, Array.from({ length: transport.frame! + 1 }, (_, i) => i));
  transport.onError = () => undefined;
  await run(4);
  assert.equal(transport.frame, 19);
  assert.equal(transport.playing, false);
});

test("times that do not begin at zero change nothing", async () => {
  const { transport, run } = started(new Stub(false, 1000));
  transport.play();
  await run(0.55);
  assert.ok(transport.frame! >= 4 && transport.frame! <= 5);
  assert.ok(Math.abs(transport.time - 0.5) < 0.1);
});

test("loops, and speed counts", async () => {
  const { transport, seen, run } = started(new Stub());
  transport.onError = () => undefined;
  await run(0.1);
  transport.setSpeed(4);
  transport.play();
  await run(1.1);
  assert.equal(transport.playing, true);
  assert.ok(seen.filter((frame) => frame === 0).length >= 2);
});

test("a damaged frame is reported once and passed over", async () => {
  const { transport, seen, run } = started(new Stub());
  const errors: string[] = [];
  transport.onError = (error) => errors.push(error.message);
  transport.loop = false;
  transport.play();
  await run(3);
  assert.deepEqual(errors, ["frame 13 is damaged"]);
  assert.ok(!seen.includes(13) && seen.includes(14));
});

test("a jump gives up what is under way and asks at once", async () => {
  const stream = new Stub();
  const { transport, seen, run } = started(stream);
  await run(0.05);
  stream.held = [];
  transport.seekFrame(3);
  assert.deepEqual(stream.asked, [0, 3]);
  transport.seekFrame(9);
  assert.deepEqual(stream.asked, [0, 3, 9]);
  assert.deepEqual(stream.givenUp, [3]);
  const [late, wanted] = stream.held.splice(0);
  wanted!();
  await run(0.1);
  late!(); // it was done all the same
  stream.held = null;
  await run(0.3);
  assert.deepEqual(seen, [0, 9]);
  assert.deepEqual(stream.released, [3]);
  assert.equal(transport.frame, 9);
  assert.equal(transport.isArrived, true);
});

test("while the timeline is dragged the last wish is asked for next", async () => {
  const stream = new Stub();
  const { transport, seen, run } = started(stream);
  await run(0.05);
  stream.held = [];
  transport.seekFrame(3, true);
  await run(0.1);
  for (const frame of [4, 7, 9]) transport.seekFrame(frame, true);
  await run(0.5);
  assert.equal(transport.isWaiting, true);
  stream.held.splice(0).forEach((go) => go());
  stream.held = null;
  await run(0.6);
  assert.deepEqual(stream.asked, [0, 3, 9]);
  assert.equal(seen.at(-1), 9);
  assert.equal(transport.isWaiting, false);
});

test("the clock waits for a picture that is late", async () => {
  const stream = new Stub();
  const { transport, run } = started(stream);
  await run(0.05);
  transport.play();
  stream.held = [];
  await run(1.5);
  assert.ok(transport.time < 0.4);
});

test("steps pause and stay within the video", async () => {
  const { transport, run } = started(new Stub());
  await run(0.05);
  transport.play();
  transport.step(1);
  assert.equal(transport.playing, false);
  await run(0.2);
  assert.equal(transport.frame, 1);
  transport.step(-1);
  transport.step(-1);
  await run(0.3);
  assert.equal(transport.frame, 0);
  transport.seek(99);
  await run(0.4);
  assert.equal(transport.frame, 19);
});

test("a live session is followed, held, and caught up with", async () => {
  const stream = new Stub(true);
  const { transport, seen, run } = started(stream);
  for (const frame of [3, 4, 5, 6]) transport.takeLive(stream.frame(frame));
  await later();
  assert.deepEqual(seen, [5, 6]); // those before liveFrom are never shown
  assert.deepEqual(stream.released, [3, 4]);
  transport.pause();
  transport.takeLive(stream.frame(7));
  await run(0.3);
  assert.equal(transport.frame, 6);
  assert.deepEqual(transport.frames, [5, 7]);
  transport.seekFrame(2);
  await run(0.5);
  assert.equal(transport.frame, 5);
  transport.goLive();
  transport.takeLive(stream.frame(8));
  await later();
  assert.equal(transport.frame, 8);
  assert.equal(transport.isFollowing, true);
});

test("frameAt finds the frame whose time has come", () => {
  const times = [0, 0.1, 0.5, 0.6];
  const at = (time: number): number => frameAt(time, 0, 3, (frame) => times[frame]!);
  assert.deepEqual([-1, 0, 0.09, 0.1, 0.49, 0.55, 9].map(at), [0, 0, 0, 1, 1, 2, 3]);
});
