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
import type { ByteSource } from "./http.ts";

/** Something in a file that could not be used. */
export interface Damage {
  /** Byte in the file. */
  offset: number;
  /** Number of the frame that it belongs to or broke. */
  frame: number | null;
  reason: string;
}

/** One chunk of a frame. */
export interface Piece {
  offset: number;
  length: number;
  frame: number;
  refersTo: number;
  layer: number;
  flags: number;
}

export class FrameTable {
  readonly count: number;
  readonly numbers: Uint32Array;
  readonly flags: Uint8Array;
  readonly refersTo: Uint32Array;
  private readonly first: Uint32Array; // of a frame's pieces
  private readonly offsets: Float64Array;
  private readonly lengths: Uint32Array;
  private readonly layers: Uint8Array;

  /** @param pieces in any order; of two of one frame and layer, the first counts. */
  constructor(pieces: Piece[]) {
    const sorted = pieces
      .map((piece, order) => ({ piece, order }))
      .sort((a, b) => a.piece.frame - b.piece.frame || a.piece.layer - b.piece.layer || a.order - b.order)
      .map(({ piece }) => piece)
      .filter((p, i, all) => !(i && all[i - 1].frame === p.frame && all[i - 1].layer === p.layer));
    const starts = sorted.flatMap((p, i) => (i && sorted[i - 1].frame === p.frame ? [] : [i]));
    this.count = starts.length;
    this.numbers = Uint32Array.from(starts, (i) => sorted[i].frame);
    this.flags = Uint8Array.from(starts, (i) => sorted[i].flags);
    this.refersTo = Uint32Array.from(starts, (i) => sorted[i].refersTo);
    this.first = Uint32Array.from([...starts, sorted.length]);
    this.offsets = Float64Array.from(sorted, (p) => p.offset);
    this.lengths = Uint32Array.from(sorted, (p) => p.length);
    this.layers = Uint8Array.from(sorted, (p) => p.layer);
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
  const tailBytes = Math.min(source.size, 1 << 16);
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
    const sound = pieces.every(
      (p) =>
        p.offset >= PREFIX_BYTES &&
        p.offset + p.length <= source.size &&
        p.length >= HEADER_BYTES &&
        p.length <= HEADER_BYTES + limits.chunkBytes,
    );
    return sound ? new FrameTable(pieces) : null;
  } catch (error) {
    if (error instanceof FvvError) return null;
    throw error;
  }
}

function readEntries(data: Uint8Array): Piece[] {
  const view = viewOf(data);
  return Array.from({ length: data.length / ENTRY_BYTES }, (_, i) => {
    const at = i * ENTRY_BYTES;
    return {
      offset: view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32,
      length: view.getUint32(at + 8, true),
      frame: view.getUint32(at + 12, true),
      refersTo: view.getUint32(at + 16, true),
      layer: data[at + 20],
      flags: data[at + 21],
    };
  });
}

/** What a header says, as the index would. */
export function pieceOf(header: ChunkHeader, offset: number): Piece | null {
  if (header.kind !== FRAME) return null;
  const { frame, refersTo, layer, flags } = header;
  return { offset, length: HEADER_BYTES + header.stored, frame, refersTo, layer, flags };
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
