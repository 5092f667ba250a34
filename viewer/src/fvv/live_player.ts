/** A live session: the newest frame as it comes, and a look back at the last ones. */

import {
  checkPrefix,
  HEADER_BYTES,
  INTRA,
  openChunk,
  PREFIX_BYTES,
  readChunk,
  readChunks,
  REFERENCE,
} from "./chunks.ts";
import { prepareCodecs } from "./codecs.ts";
import { StreamDecoder } from "./decoder.ts";
import { FvvError, reasonOf } from "./errors.ts";
import type { Versions } from "./floats.ts";
import { readHeader } from "./header.ts";
import { type Hello, LiveSocket } from "./live_socket.ts";
import { type LiveFrame, liveFrame, LiveStore } from "./live_store.ts";
import { PathDecoder } from "./path.ts";
import {
  EVERY_LAYER,
  IDLE,
  infoOf,
  layersOf,
  type Player,
  type PlayerEvents,
  type PlayerOptions,
  type ShownFrame,
} from "./player.ts";
import { RateMeter } from "./rate.ts";
import type { StreamInfo, StreamState, StreamStatus } from "./types.ts";

const MOST_WAITING = 1 << 25; // bytes that came and are not decoded yet
const RATE_FRAMES = 30; // over which frames a second are counted
const UNKNOWN_FPS = 15;

interface Stream {
  info: StreamInfo;
  decoder: StreamDecoder;
  paths: PathDecoder;
}

export class LivePlayer implements Player {
  private stream: Stream | null = null;
  private readonly store: LiveStore;
  private readonly socket: LiveSocket;
  private readonly rate = new RateMeter();
  private recent: LiveFrame[] = []; // that rates are counted over
  private waiting: LiveFrame[] = [];
  private queue: Promise<unknown> = Promise.resolve();
  private pumping = false;
  private following = true;
  private dropped = 0;
  private newest: number | null = null;
  private hello: Hello | null = null;
  private state: StreamState = "opening";
  private retryIn: number | null = null;
  private layers = 0;
  private maxLayer = EVERY_LAYER;
  private opened: { resolve: () => void; reject: (error: Error) => void } | null = null;

  private readonly options: PlayerOptions;
  private readonly events: PlayerEvents;
  /** Versions that whoever shows the frames has. */
  private readonly have: Versions;

  private constructor(
    url: string,
    options: PlayerOptions,
    events: PlayerEvents,
    have: Versions,
    makeSocket?: (url: string) => WebSocket,
  ) {
    this.options = options;
    this.events = events;
    this.have = have;
    this.store = new LiveStore(options.cacheBytes);
    this.socket = new LiveSocket(
      url,
      {
        hello: (hello) => this.greet(hello),
        data: (data) => this.take(data),
        quality: (layers) => this.change({ layers }),
        cameras: (cameras) => {
          if (this.hello) this.hello = { ...this.hello, cameras };
          this.change({});
        },
        end: (reason) => this.end(reason),
        broken: (retryIn) => this.change({ state: "reconnecting", retryIn }),
        failed: (message) => this.fail(message),
      },
      makeSocket,
    );
  }

  /**
   * Watch a session by the address of its WebSocket; resolves with the header, that is when the
   * session has made its first frame.
   *
   * @throws FvvError if it cannot be reached, or ends before.
   */
  static async open(
    url: string,
    options: PlayerOptions,
    events: PlayerEvents,
    have: Versions,
    makeSocket?: (url: string) => WebSocket,
  ): Promise<LivePlayer> {
    await prepareCodecs();
    const player = new LivePlayer(url, options, events, have, makeSocket);
    await new Promise<void>((resolve, reject) => {
      player.opened = { resolve, reject };
      player.setQuality(options.maxLayer);
      player.socket.connect();
    });
    return player;
  }

  get info(): StreamInfo {
    if (!this.stream) throw new FvvError("The live session has not begun.");
    return this.stream.info;
  }

  get status(): StreamStatus {
    const buffered = this.store.range;
    const bitrate = this.rate.bitsPerSecond;
    return {
      ...IDLE,
      state: this.state,
      bitrate,
      streamBitrate: bitrate,
      bufferedFrames: this.waiting.length,
      buffered,
      droppedFrames: this.dropped,
      layers: this.layers,
      newestFrame: this.newest,
      cameras: this.hello?.cameras ?? null,
      retryIn: this.retryIn,
    };
  }

  /** Look back: a frame that is still kept. From then on live frames are kept and not shown. */
  frame(frame: number, have: Versions, signal?: AbortSignal): Promise<ShownFrame> {
    this.following = false;
    this.waiting = [];
    if (this.state === "live") this.change({ state: "behind" });
    return this.enqueue(async () => {
      const { stream } = this;
      if (!stream) throw new FvvError("The live session has not begun.");
      const decoded = await stream.paths.frame(frame, have, signal);
      Object.assign(have, decoded.versions);
      return { frame, decoded };
    });
  }

  prefetch(): void {
    // What is not here cannot be had.
  }

  setQuality(maxLayer: number): void {
    this.maxLayer = maxLayer;
    // The server counts layers from the base up.
    const { stream } = this;
    const known = stream?.info.layers.filter(({ id }) => id <= maxLayer).length;
    this.socket.layers(known ?? Math.min(maxLayer + 1, EVERY_LAYER));
  }

  goLive(): void {
    if (this.following) return;
    this.following = true;
    if (this.state === "behind") this.change({ state: "live" });
    const newest = this.store.range?.[1];
    if (newest === undefined) return;
    const show = async () => {
      const { stream } = this;
      if (!stream || !this.following) return;
      const decoded = await stream.paths.frame(newest, this.have);
      this.show(newest, decoded);
    };
    this.enqueue(show).catch((error: unknown) => this.events.error(reasonOf(error)));
  }

  give(buffers: ArrayBuffer[]): void {
    for (const buffer of buffers) this.stream?.decoder.pool.give(buffer);
  }

  close(): void {
    this.socket.close();
    this.waiting = [];
    this.store.clear();
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const answer = this.queue.then(work);
    this.queue = answer.catch(() => undefined);
    return answer;
  }

  private greet(hello: Hello): void {
    this.hello = hello;
    // What was kept from before a break does not join with what comes now.
    this.waiting = [];
    this.change({ state: this.following ? "live" : "behind", retryIn: null });
  }

  private take(data: Uint8Array): void {
    this.rate.add(data.length);
    try {
      if (data.length >= PREFIX_BYTES && data[0] === 0x89) this.begin(data);
      else this.frameCame(data);
    } catch (error) {
      if (!(error instanceof FvvError)) throw error;
      this.dropped++;
      if (!this.stream) this.fail(error.message);
    }
  }

  private begin(data: Uint8Array): void {
    const { limits, snapshotBytes } = this.options;
    const version = checkPrefix(data);
    const opened = openChunk(readChunk(data, PREFIX_BYTES, limits));
    if (opened instanceof Promise) throw new FvvError("The session's header is compressed.");
    const header = readHeader(opened);
    const decoder = new StreamDecoder(header, limits, this.stream?.decoder.pool);
    // Versions must go on, or arrays of before would pass for those of now.
    if (this.stream) decoder.continueVersions(this.stream.decoder);
    const paths = new PathDecoder(decoder, this.store, limits, snapshotBytes, {
      time: () => undefined,
      damage: (_, layer) => void (layer === 0 && this.dropped++),
    });
    this.store.clear();
    this.recent = [];
    this.newest = null;
    this.layers = 1 + header.shDegree + (header.refine > 1 ? 1 : 0);
    const liveFrom = this.hello?.liveFrom ?? 0;
    const info = { ...infoOf(header, version), fps: UNKNOWN_FPS, liveFrom };
    this.stream = { info, decoder, paths };
    if (this.maxLayer < EVERY_LAYER) this.setQuality(this.maxLayer);
    this.change({ state: this.following ? "live" : "behind" });
    this.opened?.resolve();
    this.opened = null;
    this.events.info(info);
  }

  private frameCame(data: Uint8Array): void {
    const { stream } = this;
    if (!stream) throw new FvvError("a frame came before the header");
    const chunks = readChunks(data, this.options.limits);
    const frame = liveFrame(chunks, stream.decoder.header.timeBase);
    if (frame === null) throw new FvvError("a message holds no frame");
    if (this.newest !== null && frame.number <= this.newest) return;
    this.newest = frame.number;
    this.store.add(frame);
    this.count(frame);
    this.events.times([frame.number, frame.time]);
    if (!this.following) return;
    this.waiting.push(frame);
    this.relieve();
    this.pump();
  }

  /** If decoding cannot keep up, go on at the newest intra frame that came. */
  private relieve(): void {
    const bytes = this.waiting.reduce((sum, frame) => sum + frame.bytes, 0);
    if (bytes <= MOST_WAITING) return;
    const intras = this.waiting.flatMap((frame, i) => (frame.flags & INTRA ? [i] : []));
    const from = intras.length ? intras[intras.length - 1] : this.waiting.length;
    this.dropped += from;
    this.waiting = this.waiting.slice(from);
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    const work = async () => {
      while (this.waiting.length && this.following) await this.next();
    };
    this.enqueue(work)
      .catch((error: unknown) => this.events.error(reasonOf(error)))
      .finally(() => {
        this.pumping = false;
        if (this.waiting.length && this.following) this.pump();
      });
  }

  /** Decode what waits longest; of several that wait, only the last is shown. */
  private async next(): Promise<void> {
    const frame = this.waiting.shift()!;
    const { stream } = this;
    if (!stream) return;
    const { decoder, info } = stream;
    const early = frame.number < (info.liveFrom ?? 0);
    const late = this.waiting.length > 0 && !early;
    const needed = (frame.flags & REFERENCE) !== 0;
    if ((late && !needed) || !(frame.flags & INTRA || frame.refersTo === decoder.reference)) {
      this.dropped++;
      return;
    }
    const show = !early && !late;
    try {
      const opened = await Promise.all(frame.chunks.map(openChunk));
      const decoded = decoder.decode(opened, show ? this.have : null);
      if (late) this.dropped++;
      if (decoded) this.show(frame.number, decoded);
    } catch (error) {
      if (!(error instanceof FvvError)) throw error;
      this.dropped++;
    }
    // Messages that came meanwhile are let in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  private show(frame: number, decoded: ShownFrame["decoded"]): void {
    Object.assign(this.have, decoded.versions);
    this.events.live({ frame, decoded });
  }

  /** Keep frames a second and bytes of each layer as they were over the last frames. */
  private count(frame: LiveFrame): void {
    const { recent, stream } = this;
    recent.push(frame);
    if (recent.length > RATE_FRAMES) recent.shift();
    const span = frame.time - recent[0].time;
    if (!stream || recent.length < 2 || span <= 0) return;
    const bytes = (layer: number) => {
      const chunks = recent.slice(1).flatMap((f) => f.chunks.filter((c) => c.header.layer === layer));
      return chunks.reduce((sum, { header }) => sum + HEADER_BYTES + header.stored, 0);
    };
    const fps = (recent.length - 1) / span;
    const changed = Math.abs(fps - stream.info.fps) > 0.1 * stream.info.fps;
    const layers = layersOf(stream.decoder.header, (layer) => bytes(layer) / span);
    stream.info = { ...stream.info, fps: changed ? fps : stream.info.fps, layers };
    if (changed || frame.flags & INTRA) this.events.info(stream.info);
  }

  private change(change: Partial<Pick<StreamStatus, "state" | "retryIn" | "layers">>): void {
    if (change.state !== undefined) this.state = change.state;
    if (change.retryIn !== undefined) this.retryIn = change.retryIn;
    if (change.layers !== undefined) this.layers = change.layers;
    this.events.status(this.status);
  }

  private end(reason: string): void {
    this.change({ state: "ended", retryIn: null });
    this.refuse(`The live session is over: ${reason}.`);
  }

  private fail(message: string): void {
    this.socket.close();
    this.change({ state: "ended", retryIn: null });
    if (!this.refuse(message)) this.events.error(message);
  }

  /** Let `open` fail if it still waits. */
  private refuse(message: string): boolean {
    const { opened } = this;
    this.opened = null;
    opened?.reject(new FvvError(message));
    return opened !== null;
  }
}
