/**
 * Where the frames of a file lie: from its index, or from chunk to chunk where there is none.
 *
 * Kept in typed arrays: an hour at 30 frames a second with three layers takes 5 MB.
 */

import {
  ENTRY_BYTES,
  FRAME,
  type ChunkHeader,
  HEADER_BYTES,
  INDEX,
  INTRA,
  openChunk,
  PREFIX_BYTES,
  readChunk,
  readTrailer,
  REFERENCE,
  TRAILER_BYTES,
  viewOf,
} from "./chunks.ts";
import { FvvError, type Limits } from "./errors.ts";
import { type ByteSource, TAIL_BYTES } from "./http.ts";

/** Something in a file that could not be used. */
export interface Damage {
  /** Byte in the file. */
  offset: number;
  /** Number of the frame that it belongs to or broke. */
  frame: number | null;
  reason: string;
}

/** Chunks of frames, one number each in every column. */
export class Pieces {
  count = 0;
  offsets: Float64Array;
  lengths: Uint32Array;
  frames: Uint32Array;
  layers: Uint8Array;
  flags: Uint8Array;

  constructor(capacity = 1024) {
    this.offsets = new Float64Array(capacity);
    this.lengths = new Uint32Array(capacity);
    this.frames = new Uint32Array(capacity);
    this.layers = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
  }

  /** Note the chunk at `offset`, if it is one of a frame. */
  add(header: ChunkHeader, offset: number): void {
    if (header.kind !== FRAME) return;
    if (this.count === this.offsets.length) this.grow();
    const i = this.count++;
    this.offsets[i] = offset;
    this.lengths[i] = HEADER_BYTES + header.stored;
    this.frames[i] = header.frame;
    this.layers[i] = header.layer;
    this.flags[i] = header.flags;
  }

  /** Places in the columns by frame, layer, and order of coming, without repetitions. */
  sorted(): Uint32Array {
    const { frames, layers, count } = this;
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    const compare = (a: number, b: number) => frames[a] - frames[b] || layers[a] - layers[b] || a - b;
    if (order.some((_, i) => i > 0 && compare(i - 1, i) > 0)) order.sort(compare);
    const same = (a: number, b: number) => frames[a] === frames[b] && layers[a] === layers[b];
    return order.filter((at, i) => i === 0 || !same(order[i - 1], at));
  }

  private grow(): void {
    const wider = new Pieces(2 * this.offsets.length);
    for (const name of ["offsets", "lengths", "frames", "layers", "flags"] as const) {
      wider[name].set(this[name]);
      (this as Record<typeof name, unknown>)[name] = wider[name];
    }
  }
}

export class FrameTable {
  readonly count: number;
  readonly numbers: Uint32Array;
  readonly flags: Uint8Array;
  private readonly first: Uint32Array; // of a frame's pieces
  private readonly offsets: Float64Array;
  private readonly lengths: Uint32Array;
  private readonly layers: Uint8Array;

  /** @param pieces in any order; of two of one frame and layer, the first counts. */
  constructor(pieces: Pieces) {
    const order = pieces.sorted();
    const starts = Uint32Array.from({ length: order.length }, (_, i) => i).filter(
      (i) => i === 0 || pieces.frames[order[i - 1]] !== pieces.frames[order[i]],
    );
    this.count = starts.length;
    this.numbers = starts.map((i) => pieces.frames[order[i]]);
    this.flags = Uint8Array.from(starts, (i) => pieces.flags[order[i]]);
    this.first = new Uint32Array(starts.length + 1);
    this.first.set(starts);
    this.first[starts.length] = order.length;
    this.offsets = Float64Array.from(order, (at) => pieces.offsets[at]);
    this.lengths = order.map((at) => pieces.lengths[at]);
    this.layers = Uint8Array.from(order, (at) => pieces.layers[at]);
  }

  /** Offset and length of a frame's chunks up to a layer, base first. */
  pieces(frame: number, maxLayer: number): { offset: number; length: number; layer: number }[] {
    const found = [];
    for (let i = this.first[frame]; i < this.first[frame + 1]; i++) {
      if (this.layers[i] > maxLayer) break;
      found.push({ offset: this.offsets[i], length: this.lengths[i], layer: this.layers[i] });
    }
    return found;
  }

  /** Bytes of a layer in the whole file. */
  layerBytes(layer: number): number {
    return this.layers.reduce((sum, l, i) => (l === layer ? sum + this.lengths[i] : sum), 0);
  }

  /** Bytes of a frame up to a layer. */
  bytes(frame: number, maxLayer: number): number {
    return this.pieces(frame, maxLayer).reduce((sum, piece) => sum + piece.length, 0);
  }

  /**
   * Frames to decode for one, in order: the newest intra frame, the references from there, itself.
   * Without an intra frame before it, from the beginning on.
   */
  path(frame: number): number[] {
    const path = [frame];
    if (this.flags[frame] & INTRA) return path;
    for (let i = frame - 1; i >= 0; i--) {
      if (this.flags[i] & (REFERENCE | INTRA)) path.push(i);
      if (this.flags[i] & INTRA) break;
    }
    return path.reverse();
  }
}

/**
 * The table from the index at the end of a file.
 *
 * @returns null if there is no sound one: an unfinished, cut off or damaged file.
 */
export async function readIndex(source: ByteSource, limits: Limits): Promise<FrameTable | null> {
  const tailBytes = Math.min(source.size, TAIL_BYTES);
  const tailAt = source.size - tailBytes;
  const tail = await source.read(tailAt, source.size);
  const offset = readTrailer(tail.slice(-TRAILER_BYTES));
  if (offset === null || offset < PREFIX_BYTES || offset >= source.size) return null;
  const end = source.size - TRAILER_BYTES;
  if (end - offset > HEADER_BYTES + Math.min(limits.chunkBytes, limits.indexEntries * ENTRY_BYTES)) {
    return null;
  }
  try {
    const inTail = offset >= tailAt;
    const data = inTail ? tail.subarray(offset - tailAt) : await source.read(offset, end);
    const { header, data: entries } = await openChunk(readChunk(data, 0, limits));
    if (header.kind !== INDEX || entries.length % ENTRY_BYTES) return null;
    if (entries.length / ENTRY_BYTES > limits.indexEntries) return null;
    const pieces = readEntries(entries);
    return isSound(pieces, source.size, limits) ? new FrameTable(pieces) : null;
  } catch (error) {
    if (error instanceof FvvError) return null;
    throw error;
  }
}

function readEntries(data: Uint8Array): Pieces {
  const view = viewOf(data);
  const pieces = new Pieces(data.length / ENTRY_BYTES);
  pieces.count = data.length / ENTRY_BYTES;
  for (let i = 0, at = 0; i < pieces.count; i++, at += ENTRY_BYTES) {
    pieces.offsets[i] = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
    pieces.lengths[i] = view.getUint32(at + 8, true);
    pieces.frames[i] = view.getUint32(at + 12, true);
    pieces.layers[i] = data[at + 20];
    pieces.flags[i] = data[at + 21];
  }
  return pieces;
}

/** Whether all of an index lies within the file, in chunks that could be. */
function isSound({ count, offsets, lengths }: Pieces, size: number, limits: Limits): boolean {
  for (let i = 0; i < count; i++) {
    const length = lengths[i];
    if (length < HEADER_BYTES || length > HEADER_BYTES + limits.chunkBytes) return false;
    if (offsets[i] < PREFIX_BYTES || offsets[i] + length > size) return false;
  }
  return true;
}

/** A sentence about all damage, null without any. */
export function damageSentence(damage: Damage[], unread: number): string | null {
  const parts = damage.slice(0, 3).map(({ offset, frame, reason }) => {
    const where = frame === null ? "" : ` (frame ${frame})`;
    return `at byte ${offset}${where}: ${reason}`;
  });
  if (damage.length > 3) parts.push(`and in ${damage.length - 3} more places`);
  if (unread) parts.push(`the last ${unread} bytes are no whole chunk; the file may be cut off`);
  return parts.length ? `This file is damaged ${parts.join("; ")}.` : null;
}
