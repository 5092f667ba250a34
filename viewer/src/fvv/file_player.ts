/** A recorded file: any frame of it, from any place, with little in memory. */

import { checkPrefix, HEADER_BYTES, openChunk, PREFIX_BYTES, readChunk, readChunkHeader, tryChunkHeader } from "./chunks.ts";
import { prepareCodecs } from "./codecs.ts";
import { StreamDecoder } from "./decoder.ts";
import { FvvError } from "./errors.ts";
import type { Versions } from "./floats.ts";
import { readHeader, type StreamHeader } from "./header.ts";
import { type ByteSource, openUrl } from "./http.ts";
import { FrameLoader } from "./loader.ts";
import { type FrameStore, PathDecoder } from "./path.ts";
import {
  IDLE,
  infoOf,
  layersOf,
  type Player,
  type PlayerEvents,
  type PlayerOptions,
  type ShownFrame,
} from "./player.ts";
import { RateMeter } from "./rate.ts";
import { scan } from "./scan.ts";
import { type Damage, damageSentence, FrameTable, readIndex } from "./table.ts";
import type { StreamInfo, StreamState, StreamStatus } from "./types.ts";

const FIRST_READ = 1 << 16;
const FROM_START_BYTES = 1 << 20; // asked for with the header where frame 0 comes first
const AHEAD_BYTES = 1 << 23;
const AHEAD_FRAMES = 90;
const PROGRESS = 500; // milliseconds
const DEFAULT_FPS = 30;

interface Opened {
  version: number;
  header: StreamHeader;
  table: FrameTable;
  damage: Damage[];
  unread: number;
}

export class FilePlayer implements Player, FrameStore {
  info: StreamInfo;
  private readonly source: ByteSource;
  private readonly events: PlayerEvents;
  private readonly rate: RateMeter;
  private readonly table: FrameTable;
  private readonly header: StreamHeader;
  private readonly damage: Damage[];
  private readonly unread: number;
  private readonly decoder: StreamDecoder;
  private readonly loader: FrameLoader;
  private readonly paths: PathDecoder;
  private start = 0; // seconds of the first frame
  private newest = 0; // request
  private waiting = 0;
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(
    source: ByteSource,
    opened: Opened,
    rate: RateMeter,
    options: PlayerOptions,
    events: PlayerEvents,
  ) {
    this.source = source;
    this.events = events;
    this.rate = rate;
    ({ header: this.header, table: this.table } = opened);
    ({ damage: this.damage, unread: this.unread } = opened);
    this.decoder = new StreamDecoder(opened.header, options.limits);
    const { limits, snapshotBytes, cacheBytes } = options;
    const maxLayer = this.known(options.maxLayer);
    this.loader = new FrameLoader(source, this.table, cacheBytes, maxLayer);
    this.paths = new PathDecoder(this.decoder, this, limits, snapshotBytes, {
      time: (frame, seconds) => events.times([frame, seconds - this.start]),
      damage: (frame, layer, reason) => this.noteDamage(frame, layer, reason),
    });
    this.info = infoOf(opened.header, opened.version);
  }

  /**
   * Open a file by its address.
   *
   * @throws FvvError with a plain sentence.
   */
  static async open(
    url: string,
    options: PlayerOptions,
    events: PlayerEvents,
  ): Promise<FilePlayer> {
    const rate = new RateMeter();
    const { wholeFileBytes, fromStart } = options;
    const received = (bytes: number) => rate.add(bytes);
    const headBytes = fromStart ? FROM_START_BYTES : FIRST_READ;
    const source = await openUrl(url, { wholeFileBytes, received, headBytes });
    return FilePlayer.from(source, options, events, rate);
  }

  /** The same of bytes that are at hand. */
  static async from(
    source: ByteSource,
    options: PlayerOptions,
    events: PlayerEvents,
    rate = new RateMeter(),
  ): Promise<FilePlayer> {
    try {
      const [opened] = await Promise.all([openFile(source, options, events), prepareCodecs()]);
      const player = new FilePlayer(source, opened, rate, options, events);
      if (options.fromStart) void player.loader.load(0, []).catch(() => undefined); // its asker hears
      await player.describe(options);
      return player;
    } catch (error) {
      source.close();
      throw error;
    }
  }

  get status(): StreamStatus {
    const buffered = this.bufferedAround(this.newest);
    const wanted = this.info.layers.filter((layer) => layer.id <= this.loader.maxLayer);
    return {
      ...IDLE,
      state: this.waiting > 0 && buffered === null ? "loading" : "ready",
      bitrate: this.rate.bitsPerSecond,
      streamBitrate: 8 * wanted.reduce((sum, layer) => sum + layer.bytesPerSecond, 0),
      bufferedFrames: buffered ? buffered[1] - this.newest : 0,
      buffered,
      layers: wanted.length,
    };
  }

  frame(frame: number, have: Versions, signal?: AbortSignal): Promise<ShownFrame> {
    this.newest = frame;
    this.waiting++;
    const answer = this.queue.then(() => this.decode(frame, have, signal));
    this.queue = answer.catch(() => undefined).then(() => void this.waiting--);
    return answer;
  }

  prefetch(from: number, count: number): void {
    const end = Math.min(from + count, this.table.count);
    const frames = [];
    for (let f = Math.max(from, 0); f < end; f++) frames.push(f);
    if (!frames.length) return;
    const goesOn = from > this.newest && from <= this.newest + AHEAD_FRAMES;
    this.loader.readAhead([...(goesOn ? [] : this.table.path(frames[0])), ...frames]);
  }

  setQuality(wanted: number): void {
    const maxLayer = this.known(wanted);
    const more = maxLayer > this.loader.maxLayer;
    this.loader.maxLayer = maxLayer;
    if (!more) return;
    this.loader.clear();
    // What is being decoded now may still have fewer layers.
    this.queue = this.queue.then(() => this.paths.reset());
  }

  goLive(): void {
    throw new FvvError("A recording cannot go live.");
  }

  give(buffers: ArrayBuffer[]): void {
    for (const buffer of buffers) this.decoder.pool.give(buffer);
  }

  close(): void {
    this.source.close();
    this.loader.clear();
  }

  number(frame: number): number {
    return this.table.numbers[frame];
  }

  flags(frame: number): number {
    return this.table.flags[frame];
  }

  path(frame: number): number[] {
    return this.table.path(frame);
  }

  async load(frame: number, next: number[]): Promise<Uint8Array[]> {
    const chunks = await this.loader.load(frame, next);
    // The cache may hold layers that are not wanted any more; byte 5 of a chunk is its layer.
    return chunks.filter((chunk) => chunk[5] <= this.loader.maxLayer);
  }

  /** Layers of a later version of the container are not loaded. */
  private known(maxLayer: number): number {
    const ids = layersOf(this.header, () => 0).map(({ id }) => id);
    return Math.min(maxLayer, ...ids.slice(-1));
  }

  private async decode(
    frame: number,
    have: Versions,
    signal: AbortSignal | undefined,
  ): Promise<ShownFrame> {
    if (!Number.isInteger(frame) || frame < 0 || frame >= this.table.count) {
      throw new FvvError(`There is no frame ${frame}; there are ${this.table.count}.`);
    }
    const decoded = await this.paths.frame(frame, have, signal);
    Object.assign(have, decoded.versions);
    decoded.time -= this.start;
    this.readAhead(frame + 1);
    return { frame, decoded };
  }

  private readAhead(from: number): void {
    const frames = [];
    let bytes = 0;
    const end = Math.min(this.table.count, from + AHEAD_FRAMES);
    for (let f = from; f < end && bytes < AHEAD_BYTES; f++) {
      bytes += this.table.bytes(f, this.loader.maxLayer);
      frames.push(f);
    }
    this.loader.readAhead(frames);
  }

  private bufferedAround(frame: number): [number, number] | null {
    if (!this.loader.has(frame)) return null;
    let [first, last] = [frame, frame];
    while (first > 0 && this.loader.has(first - 1)) first--;
    while (last + 1 < this.table.count && this.loader.has(last + 1)) last++;
    return [first, last];
  }

  /** Fill in what the header does not say: number of frames, times, rates. */
  private async describe(options: PlayerOptions): Promise<void> {
    const { table, info } = this;
    const last = table.count - 1;
    const [first, end] = await Promise.all([this.timeOf(0, options), this.timeOf(last, options)]);
    this.start = first ?? 0;
    const steps = table.numbers[last] - table.numbers[0];
    const span = first !== null && end !== null ? end - first : 0;
    if (span > 0) {
      info.fps = last / span;
      this.events.times([0, 0, last, span]);
    } else {
      info.fps = DEFAULT_FPS;
    }
    info.frameCount = table.count;
    info.duration = (span > 0 ? span : steps / info.fps) + 1 / info.fps;
    const seconds = info.duration;
    info.layers = layersOf(this.header, (layer) => table.layerBytes(layer) / seconds);
    info.damage = damageSentence(this.damage, this.unread);
  }

  private async timeOf(frame: number, { limits }: PlayerOptions): Promise<number | null> {
    const [piece] = this.table.pieces(frame, 0);
    if (!piece) return null;
    const data = await this.source.read(piece.offset, piece.offset + HEADER_BYTES);
    const header = tryChunkHeader(data, 0, limits);
    const [numerator, denominator] = this.header.timeBase;
    return header && (header.ticks * numerator) / denominator;
  }

  private noteDamage(frame: number, layer: number, reason: string): void {
    const pieces = this.table.pieces(frame, layer);
    const offset = pieces[pieces.length - 1]?.offset ?? 0;
    const number = this.table.numbers[frame];
    if (this.damage.some((d) => d.offset === offset && d.frame === number)) return;
    this.damage.push({ offset, frame: number, reason });
    this.info = { ...this.info, damage: damageSentence(this.damage, this.unread) };
    this.events.info(this.info);
  }
}

async function openFile(
  source: ByteSource,
  { limits }: PlayerOptions,
  events: PlayerEvents,
): Promise<Opened> {
  const index = readIndex(source, limits);
  index.catch(() => undefined); // heard of below, unless the header is worse
  const begin = await source.read(0, PREFIX_BYTES + HEADER_BYTES);
  const version = checkPrefix(begin);
  const stored = readChunkHeader(begin, PREFIX_BYTES, limits).stored;
  const end = PREFIX_BYTES + HEADER_BYTES + stored;
  const head = await source.read(0, end);
  const header = readHeader(await openChunk(readChunk(head, PREFIX_BYTES, limits)));
  const indexed = await index;
  const found = indexed
    ? { table: indexed, damage: [], unread: 0 }
    : await scanned(source, end, limits, events);
  if (found.table.count === 0) throw new FvvError("The file holds no frames (yet).");
  return { version, header, ...found };
}

async function scanned(
  source: ByteSource,
  start: number,
  limits: PlayerOptions["limits"],
  events: PlayerEvents,
): Promise<Pick<Opened, "table" | "damage" | "unread">> {
  let told = performance.now();
  const state: StreamState = "scanning";
  const { pieces, damage, unread } = await scan(source, start, limits, () => {
    if (performance.now() - told < PROGRESS) return;
    told = performance.now();
    events.status({ ...IDLE, state });
  });
  return { table: new FrameTable(pieces), damage, unread };
}
