/** Frames' bytes: what is needed now first, then what comes next, in few requests; bounded. */

import type { ByteSource } from "./http.ts";
import type { FrameTable } from "./table.ts";

const REQUEST_BYTES = 1 << 20; // a request ends after the frame that reaches this
const GAP_BYTES = 1 << 16; // frames between two wanted ones that are taken along
const AT_ONCE = 3;

interface Cached {
  maxLayer: number;
  chunks: Uint8Array[];
  bytes: number;
}

interface Request {
  maxLayer: number;
  frames: number[];
  abort: AbortController;
  /** Chunks by frame. */
  done: Promise<Map<number, Uint8Array[]>>;
}

export class FrameLoader {
  maxLayer: number;
  private readonly source: ByteSource;
  private readonly table: FrameTable;
  private readonly cacheBytes: number;
  private readonly cache = new Map<number, Cached>(); // least recently used first
  private cached = 0;
  private readonly pending = new Map<number, Request>();
  private ahead: number[] = [];
  private running = 0;

  constructor(source: ByteSource, table: FrameTable, cacheBytes: number, maxLayer: number) {
    this.source = source;
    this.table = table;
    this.cacheBytes = cacheBytes;
    this.maxLayer = maxLayer;
  }

  has(frame: number): boolean {
    return (this.cache.get(frame)?.maxLayer ?? -1) >= this.maxLayer;
  }

  /**
   * Bytes of a frame's chunks, one array each, base first.
   *
   * What was only guessed is given up if it turns out wrong: who jumps does not wait for it.
   *
   * @param next frames that will be asked for right after this one.
   * @throws FvvError if they cannot be loaded.
   */
  async load(frame: number, next: number[]): Promise<Uint8Array[]> {
    for (;;) {
      const entry = this.cache.get(frame);
      if (entry && entry.maxLayer >= this.maxLayer) {
        this.cache.delete(frame);
        this.cache.set(frame, entry);
        this.start(next, AT_ONCE);
        return entry.chunks;
      }
      if (!this.pending.has(frame)) this.giveUp([frame, ...next]);
      const request = this.pending.get(frame) ?? this.request([frame, ...next]);
      this.start(next, AT_ONCE);
      const answer = await request.done.catch((error: unknown) => {
        if (!request.abort.signal.aborted) throw error;
        return null; // given up because more layers are wanted now
      });
      const chunks = answer?.get(frame);
      if (chunks && request.maxLayer >= this.maxLayer) return chunks;
    }
  }

  /** Load frames that will probably be asked for, as far as they fit. */
  readAhead(frames: number[]): void {
    this.ahead = frames;
    this.start([], AT_ONCE - 1);
  }

  /** Forget everything, such as when more layers are wanted. */
  clear(): void {
    this.cache.clear();
    this.giveUp([]);
    this.cached = 0;
    this.ahead = [];
  }

  /** End requests in which none of these frames is. */
  private giveUp(wanted: number[]): void {
    for (const request of new Set(this.pending.values())) {
      if (request.frames.some((frame) => wanted.includes(frame))) continue;
      request.abort.abort();
      for (const frame of request.frames) this.pending.delete(frame);
    }
  }

  private start(first: number[], most: number): void {
    while (this.running < most) {
      const wanted = [...first, ...this.ahead].filter((f) => !this.has(f) && !this.pending.has(f));
      if (!wanted.length) return;
      this.request(wanted);
    }
  }

  /** Ask for the first of these frames, with those that follow it in the file closely. */
  private request(wanted: number[]): Request {
    const { table, maxLayer } = this;
    const frames = [wanted[0]];
    let [start, end] = this.span(wanted[0]);
    for (const frame of wanted.slice(1)) {
      const last = frames[frames.length - 1];
      if (frame <= last || this.has(frame) || this.pending.has(frame)) break;
      const [from, to] = this.span(frame);
      if (from < end || from - end > GAP_BYTES || end - start >= REQUEST_BYTES) break;
      if (to - from > table.bytes(frame, maxLayer) + GAP_BYTES) break;
      for (let f = last + 1; f <= frame; f++) {
        const [a, b] = this.span(f);
        if (a >= start && b <= to && !this.pending.has(f)) frames.push(f);
      }
      end = to;
    }
    const pieces = frames.map((f) => table.pieces(f, maxLayer));
    const apart = frames.length === 1 && end - start > table.bytes(frames[0], maxLayer) + GAP_BYTES;
    const abort = new AbortController();
    const { signal } = abort;
    const done = (
      apart ? this.readApart(pieces[0], signal) : this.readTogether(pieces, start, end, signal)
    )
      .then((chunks) => {
        frames.forEach((f, i) => this.keep(f, chunks[i], maxLayer));
        return new Map(frames.map((f, i) => [f, chunks[i]]));
      })
      .finally(() => {
        for (const f of frames) if (this.pending.get(f) === request) this.pending.delete(f);
        this.running--;
        this.start([], AT_ONCE - 1);
      });
    done.catch(() => undefined); // who waits for it hears of it
    const request: Request = { maxLayer, frames, abort, done };
    for (const f of frames) this.pending.set(f, request);
    this.running++;
    return request;
  }

  private span(frame: number): [number, number] {
    const pieces = this.table.pieces(frame, this.maxLayer);
    const starts = pieces.map((p) => p.offset);
    const ends = pieces.map((p) => p.offset + p.length);
    return [Math.min(...starts), Math.max(...ends)];
  }

  private async readTogether(
    pieces: { offset: number; length: number }[][],
    start: number,
    end: number,
    signal: AbortSignal,
  ): Promise<Uint8Array[][]> {
    const data = await this.source.read(start, end, signal);
    // Copies, so that one small frame in the cache does not keep all of an answer alive.
    return pieces.map((list) =>
      list.map(({ offset, length }) => data.slice(offset - start, offset - start + length)),
    );
  }

  /** Chunks of a frame that do not stand together, as only a hostile index has them. */
  private async readApart(
    pieces: { offset: number; length: number }[],
    signal: AbortSignal,
  ): Promise<Uint8Array[][]> {
    const chunks: Uint8Array[] = [];
    for (const { offset, length } of pieces) {
      chunks.push(await this.source.read(offset, offset + length, signal));
    }
    return [chunks];
  }

  private keep(frame: number, chunks: Uint8Array[], maxLayer: number): void {
    if (maxLayer < this.maxLayer) return; // asked for before more layers were wanted
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    this.cached += bytes - (this.cache.get(frame)?.bytes ?? 0);
    this.cache.delete(frame);
    this.cache.set(frame, { maxLayer, chunks, bytes });
    for (const [old, entry] of this.cache) {
      if (this.cached <= this.cacheBytes || this.cache.size === 1) break;
      this.cache.delete(old);
      this.cached -= entry.bytes;
    }
  }
}
