/** The page's side of the worker: one stream, its frames, and what is known of it. */

import { FIRST_FRAME, type FromWorker, type ToWorker, type WireFrame } from "./messages.ts";
import { Timeline } from "./timeline.ts";
import type { FrameData, StreamInfo, StreamOptions, StreamSource, StreamStatus } from "./types.ts";

export type { FrameData, StreamInfo, StreamOptions, StreamSource, StreamStatus } from "./types.ts";

type Listener<T> = (value: T) => void;

interface Waiting {
  resolve: (frame: FrameData) => void;
  reject: (error: Error) => void;
}

/** The decoder's worker, which can start while it is not yet known what it is to open. */
export class EarlyWorker {
  readonly worker: Worker;
  /** Why it did not start, if it did not. */
  problem: string | null = null;

  constructor(worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" })) {
    this.worker = worker;
    worker.onerror = (event) => (this.problem = event.message || "its script is missing");
  }

  terminate(): void {
    this.worker.terminate();
  }
}

export class StreamClient {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private readonly timeline = new Timeline(30);
  private readonly uses = new Map<Float32Array, number>();
  private last: FrameData | null = null;
  private nextId = 1;
  private current: StreamInfo | null = null;
  private state: StreamStatus | null = null;
  private first: Promise<FrameData> | null = null; // frame 0, which comes unasked
  private early: FrameData | null = null; // a live frame that came before anyone listened
  private liveListener: Listener<FrameData> | null = null;
  private statusListener: Listener<StreamStatus> | null = null;
  private infoListener: Listener<StreamInfo> | null = null;
  private errorListener: Listener<string> | null = null;
  private problem: string | null = null;

  private constructor(worker: Worker) {
    this.worker = worker;
  }

  /**
   * Open a file or watch a live session; of the latter it resolves when the first frame was made.
   *
   * @param onStatus told how opening goes on; replaced by `onStatus` later.
   * @param early from now on the client's; a new one without.
   * @throws Error with a sentence for people: nothing there, another kind of file, no connection.
   */
  static open(
    source: StreamSource,
    options: StreamOptions = {},
    onStatus: Listener<StreamStatus> | null = null,
    early = new EarlyWorker(),
  ): Promise<StreamClient> {
    const { worker } = early;
    const client = new StreamClient(worker);
    client.statusListener = onStatus;
    return new Promise((resolve, reject) => {
      const fail = (message: string) => {
        worker.terminate();
        reject(new Error(message));
      };
      const notStarted = (why: string) => fail(`The player's decoder did not start: ${why}.`);
      worker.onerror = (event) => notStarted(event.message || "its script is missing");
      if (early.problem !== null) {
        notStarted(early.problem);
        return;
      }
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.type === "error") fail(data.message);
        else if (data.type !== "opened") client.receive(data);
        else {
          client.begin(data.info, options.fromStart === true && data.info.frameCount !== null);
          resolve(client);
        }
      };
      client.post({ type: "open", source: absolute(source), options });
    });
  }

  /** What is known of the stream; grows, see `onInfo`. */
  get info(): StreamInfo {
    return this.current!;
  }

  get status(): StreamStatus | null {
    return this.state;
  }

  /**
   * Decode a frame. Requests are answered in order; ask for a few ahead while playing, and for one
   * at a time while someone drags the timeline.
   *
   * @param signal says that another frame is wanted instead: loading and decoding stop as soon as
   *   they can, and what follows begins. The promise rejects, or a frame comes that was done.
   * @throws Error (a rejection) with a sentence, for a frame that is lost or cannot be loaded.
   */
  requestFrame(frame: number, signal?: AbortSignal): Promise<FrameData> {
    const { first } = this;
    this.first = null;
    if (first && frame === 0) return first;
    if (first) void first.then((unwanted) => this.release(unwanted), () => undefined);
    const id = this.nextId++;
    const cancel = (): void => this.post({ type: "cancel", id });
    return new Promise<FrameData>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.post({ type: "frame", id, frame });
      signal?.addEventListener("abort", cancel, { once: true });
    }).finally(() => signal?.removeEventListener("abort", cancel));
  }

  /** The last frame that is shown at or before a time (seconds), within the video. */
  frameAt(time: number): number {
    const last = (this.info.frameCount ?? Infinity) - 1;
    return Math.max(Math.min(this.timeline.frameAt(time), last), 0);
  }

  /** When a frame is shown, seconds; exact once it was loaded, interpolated before. */
  timeOf(frame: number): number {
    return this.timeline.timeOf(frame);
  }

  /** Load (not decode) what will be asked for soon. */
  prefetch(from: number, count: number): void {
    this.post({ type: "prefetch", from, count });
  }

  /** Use layers up to this identifier; see `StreamInfo.layers`. */
  setQuality(maxLayer: number): void {
    this.post({ type: "quality", maxLayer });
  }

  /** Told every live frame that is to be shown. Only one listener of each kind. */
  onLiveFrame(listener: Listener<FrameData>): void {
    this.liveListener = listener;
    const { early } = this;
    this.early = null;
    if (early) listener(early);
  }

  onStatus(listener: Listener<StreamStatus>): void {
    this.statusListener = listener;
    if (this.state) listener(this.state);
  }

  /** Told when `info` changed: damage was found, a live session began anew. */
  onInfo(listener: Listener<StreamInfo>): void {
    this.infoListener = listener;
  }

  /** Told what ends or endangers playing, in a sentence for people. */
  onError(listener: Listener<string>): void {
    this.errorListener = listener;
    if (this.problem !== null) listener(this.problem);
    this.problem = null;
  }

  /** Follow the newest frame of a live session again, after `requestFrame` looked back. */
  goLive(): void {
    this.post({ type: "live" });
  }

  /** Say that a frame's arrays are not needed any more. Once for each frame that came. */
  release(frame: FrameData): void {
    const buffers: ArrayBuffer[] = [];
    for (const array of arraysOf(frame)) {
      const left = (this.uses.get(array) ?? 0) - 1;
      if (left > 0) this.uses.set(array, left);
      else if (this.uses.delete(array)) buffers.push(array.buffer as ArrayBuffer);
    }
    if (buffers.length) this.worker.postMessage({ type: "give", buffers }, buffers);
  }

  close(): void {
    for (const { reject } of this.waiting.values()) reject(new Error("The stream was closed."));
    this.waiting.clear();
    this.post({ type: "close" });
  }

  private begin(info: StreamInfo, comes: boolean): void {
    this.current = info;
    if (comes) {
      this.first = new Promise((resolve, reject) => {
        this.waiting.set(FIRST_FRAME, { resolve, reject });
      });
      this.first.catch(() => undefined); // who asks for it hears
    }
    this.timeline.fps = info.fps;
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = (event) => this.fail(`The player's decoder failed: ${event.message}.`);
  }

  private receive(message: FromWorker): void {
    if (message.type === "frame") {
      const frame = this.complete(message.frame);
      if (message.id !== null) this.answer(message.id)?.resolve(frame);
      else this.live(frame);
    } else if (message.type === "refused") {
      this.answer(message.id)?.reject(new Error(message.message));
    } else if (message.type === "times") {
      const { pairs } = message;
      for (let i = 0; i < pairs.length; i += 2) this.timeline.learn(pairs[i], pairs[i + 1]);
    } else if (message.type === "status") {
      this.state = message.status;
      this.statusListener?.(message.status);
    } else if (message.type === "info") {
      this.current = message.info;
      this.timeline.fps = message.info.fps;
      this.infoListener?.(message.info);
    } else if (message.type === "error") {
      this.fail(message.message);
    }
  }

  private live(frame: FrameData): void {
    if (this.liveListener) {
      this.liveListener(frame);
      return;
    }
    if (this.early) this.release(this.early);
    this.early = frame;
  }

  private fail(message: string): void {
    if (this.errorListener) this.errorListener(message);
    else this.problem = message;
  }

  private answer(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  /** A frame with the arrays that it shares with the one before. */
  private complete(wire: WireFrame): FrameData {
    const { last } = this;
    const { versions, place, look, ...rest } = wire;
    const sameSh = last !== null && last.shVersion === versions.sh;
    const frame: FrameData = {
      ...rest,
      shDegree: wire.shDegree as 0 | 1 | 2 | 3,
      placeVersion: versions.place,
      lookVersion: versions.look,
      shVersion: versions.sh,
      centers: place?.centers ?? last!.centers,
      rotations: place?.rotations ?? last!.rotations,
      scales: look?.scales ?? last!.scales,
      opacities: look?.opacities ?? last!.opacities,
      colors: look?.colors ?? last!.colors,
      sh: sameSh ? last.sh : wire.sh,
    };
    // Once for who shows it, once for being the last, which later frames may share.
    for (const array of arraysOf(frame)) this.uses.set(array, (this.uses.get(array) ?? 0) + 2);
    this.last = frame;
    if (last) this.release(last);
    return frame;
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }
}

function arraysOf(frame: FrameData): Float32Array[] {
  const { centers, rotations, scales, opacities, colors, sh } = frame;
  const base = [centers, rotations, scales, opacities, colors];
  return sh ? [...base, sh] : base;
}

/** Addresses as the page means them; a worker's own would be relative to its script. */
function absolute(source: StreamSource): StreamSource {
  if ("url" in source) return { url: new URL(source.url, document.baseURI).href };
  const url = new URL(source.live, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return { ...source, live: url.href };
}
