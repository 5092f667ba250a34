/** One frame of many: from the nearest intra frame, or from where the decoder stands already. */

import { openChunk, type OpenChunk, REFERENCE, readChunk } from "./chunks.ts";
import type { DecodedFrame, Snapshot, StreamDecoder } from "./decoder.ts";
import { FvvError, type Limits } from "./errors.ts";
import type { Versions } from "./floats.ts";

const SNAPSHOT_EVERY = 4; // references of a path

/** Encoded frames by position. */
export interface FrameStore {
  /** Number of the time step. */
  number(frame: number): number;
  flags(frame: number): number;
  /** Frames to decode for this one, in order, itself the last; see `FrameTable.path`. */
  path(frame: number): number[];
  /** Its chunks as stored, base first. @param next frames that follow on the path. */
  load(frame: number, next: number[]): Promise<Uint8Array[]>;
}

/** What a store's frames turned out to be while they were decoded. */
export interface PathEvents {
  /** The time of a frame is known. */
  time(frame: number, seconds: number): void;
  /** A layer, or with the base the whole frame, cannot be used. */
  damage(frame: number, layer: number, reason: string): void;
}

/** A frame that cannot be shown because of damage; others can. */
export class LostFrame extends FvvError {
  override name = "LostFrame";
}

/** A frame that nobody waits for any more. */
export class GivenUp extends FvvError {
  override name = "GivenUp";

  constructor() {
    super("This frame is not asked for any more.");
  }
}

export class PathDecoder {
  private readonly lost = new Map<number, string>();
  private readonly snapshots = new Map<number, Snapshot>(); // least recently used first
  private kept = 0;

  private readonly decoder: StreamDecoder;
  private readonly store: FrameStore;
  private readonly limits: Limits;
  private readonly snapshotBytes: number;
  private readonly events: PathEvents;

  constructor(
    decoder: StreamDecoder,
    store: FrameStore,
    limits: Limits,
    snapshotBytes: number,
    events: PathEvents,
  ) {
    this.decoder = decoder;
    this.store = store;
    this.limits = limits;
    this.snapshotBytes = snapshotBytes;
    this.events = events;
  }

  /** Forget what was decoded, such as when more layers are wanted. */
  reset(): void {
    this.decoder.reset();
    this.snapshots.clear();
    this.kept = 0;
  }

  /**
   * Decode a frame. One call at a time.
   *
   * @param signal gives it up, between two frames of the path or while their bytes are on the way.
   * @throws GivenUp if that happened, LostFrame for a frame that damage makes undecodable, FvvError if it cannot be loaded.
   */
  async frame(frame: number, have: Versions, signal?: AbortSignal): Promise<DecodedFrame> {
    const path = this.store.path(frame);
    for (const step of path) this.checkLost(step, frame);
    let at = this.begin(path);
    if (at === path.length) return this.decoder.again(have);
    const first = at;
    for (; ; at++) {
      const step = path[at];
      const bytes = await unless(signal, this.store.load(step, path.slice(at + 1)));
      const last = at === path.length - 1;
      const decoded = await this.step(step, bytes, last ? have : null, frame);
      // Who jumps is likely to jump again nearby; stepping through a video needs no snapshots.
      const left = path.length - 1 - at;
      const worth = left < 2 || (at - first) % SNAPSHOT_EVERY === SNAPSHOT_EVERY - 1;
      if (path.length - first > 1 && worth && this.store.flags(step) & REFERENCE) this.keep(step);
      if (last) return decoded!;
    }
  }

  /** How much of the path is behind us: what the decoder or a snapshot has. */
  private begin(path: number[]): number {
    for (let at = path.length - 1; at >= 0; at--) {
      const step = path[at];
      if (!(this.store.flags(step) & REFERENCE)) continue;
      if (this.decoder.reference === this.store.number(step)) return at + 1;
      const kept = this.snapshots.get(step);
      if (kept) {
        this.snapshots.delete(step);
        this.snapshots.set(step, kept);
        this.decoder.restore(kept);
        return at + 1;
      }
    }
    return 0;
  }

  private async step(
    step: number,
    bytes: Uint8Array[],
    have: Versions | null,
    goal: number,
  ): Promise<DecodedFrame | null> {
    try {
      return this.decoder.decode(await this.open(step, bytes), have);
    } catch (error) {
      if (!(error instanceof FvvError)) throw error;
      this.lost.set(step, error.message);
      this.events.damage(step, 0, error.message);
      this.checkLost(step, goal);
      throw error;
    }
  }

  private checkLost(step: number, goal: number): void {
    const reason = this.lost.get(step);
    if (reason === undefined) return;
    const number = this.store.number(step);
    const because = step === goal ? "" : `it needs frame ${number}, which is damaged: `;
    throw new LostFrame(`Frame ${this.store.number(goal)} cannot be shown: ${because}${reason}.`);
  }

  /** The layers that are there and sound, the base at least. */
  private async open(step: number, bytes: Uint8Array[]): Promise<OpenChunk[]> {
    const opened: OpenChunk[] = [];
    for (const data of bytes) {
      try {
        const chunk = await openChunk(readChunk(data, 0, this.limits));
        if (chunk.header.frame !== this.store.number(step)) {
          throw new FvvError(`another frame (${chunk.header.frame}) stands here`);
        }
        opened.push(chunk);
      } catch (error) {
        if (!(error instanceof FvvError) || !opened.length) throw error;
        this.events.damage(step, opened.length, error.message);
        break;
      }
    }
    if (!opened.length) throw new FvvError("its base layer is missing");
    const [numerator, denominator] = this.decoder.header.timeBase;
    this.events.time(step, (opened[0].header.ticks * numerator) / denominator);
    return opened;
  }

  private keep(step: number): void {
    const bytes = this.decoder.snapshotBytes;
    if (this.snapshots.has(step) || bytes > this.snapshotBytes) return;
    for (const [old, snapshot] of this.snapshots) {
      if (this.kept + bytes <= this.snapshotBytes) break;
      this.snapshots.delete(old);
      this.kept -= snapshot.bytes;
    }
    this.snapshots.set(step, this.decoder.snapshot());
    this.kept += bytes;
  }
}

/** The same, unless the signal comes before; then what comes is not waited for. */
async function unless<T>(signal: AbortSignal | undefined, coming: Promise<T>): Promise<T> {
  if (!signal) return coming;
  if (signal.aborted) {
    coming.catch(() => undefined);
    throw new GivenUp();
  }
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new GivenUp());
    signal.addEventListener("abort", stop, { once: true });
    coming.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
