/** The last frames of a live session, as they came, for looking back; bounded in bytes. */

import { type Chunk, HEADER_BYTES, INTRA, REFERENCE } from "./chunks.ts";
import { FvvError } from "./errors.ts";
import type { FrameStore } from "./path.ts";

export interface LiveFrame {
  number: number;
  refersTo: number;
  flags: number;
  time: number;
  chunks: Chunk[];
  bytes: number;
}

/** A frame from the chunks of one message, null if there is no frame in it. */
export function liveFrame(chunks: Chunk[], timeBase: [number, number]): LiveFrame | null {
  const base = chunks[0]?.header;
  if (!base || base.layer !== 0) return null;
  const { frame: number, refersTo, flags } = base;
  const bytes = chunks.reduce((sum, { header }) => sum + HEADER_BYTES + header.stored, 0);
  const time = (base.ticks * timeBase[0]) / timeBase[1];
  return { number, refersTo, flags, time, chunks, bytes };
}

export class LiveStore implements FrameStore {
  private readonly frames = new Map<number, LiveFrame>(); // ascending
  private bytes = 0;
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  /** First and last frame that can be shown, null if there is none. */
  get range(): [number, number] | null {
    let first: number | null = null;
    let last = -1;
    for (const { number, flags } of this.frames.values()) {
      if (flags & INTRA) first ??= number;
      if (first !== null) last = number;
    }
    return first === null ? null : [first, last];
  }

  get(number: number): LiveFrame | undefined {
    return this.frames.get(number);
  }

  clear(): void {
    this.frames.clear();
    this.bytes = 0;
  }

  /** Keep a frame; whole groups of the oldest go when there are too many bytes. */
  add(frame: LiveFrame): void {
    this.frames.set(frame.number, frame);
    this.bytes += frame.bytes;
    while (this.bytes > this.most && this.dropGroup());
  }

  number(frame: number): number {
    return frame;
  }

  flags(frame: number): number {
    return this.frames.get(frame)?.flags ?? 0;
  }

  path(frame: number): number[] {
    const path: number[] = [];
    for (let at = this.frames.get(frame); at; at = this.frames.get(at.refersTo)) {
      path.push(at.number);
      if (at.flags & INTRA) return path.reverse();
      if (!(at.flags & REFERENCE) && at.number !== frame) break;
      if (at.refersTo >= at.number) break;
    }
    throw new FvvError(`Frame ${frame} of the live session is not kept any more, or came damaged.`);
  }

  load(frame: number): Promise<Uint8Array[]> {
    const found = this.frames.get(frame);
    if (!found) return Promise.reject(new FvvError(`Frame ${frame} is not kept any more.`));
    // The 40 bytes of its header stand before each payload in the message.
    const packed = found.chunks.map(({ payload }) => {
      const { buffer, byteOffset, length } = payload;
      return new Uint8Array(buffer, byteOffset - HEADER_BYTES, length + HEADER_BYTES);
    });
    return Promise.resolve(packed);
  }

  /** Drop the oldest intra frame and all up to the next; never the newest group. */
  private dropGroup(): boolean {
    const intras = [...this.frames.values()].filter(({ flags }) => flags & INTRA);
    if (intras.length < 2) return false;
    for (const [number, frame] of this.frames) {
      if (number >= intras[1].number) break;
      this.frames.delete(number);
      this.bytes -= frame.bytes;
    }
    return true;
  }
}
