/** Files without an index: from chunk header to chunk header, and behind damage to the next. */

import {
  findMarker,
  HEADER_BYTES,
  TRAILER_BYTES,
  tryChunkHeader,
} from "./chunks.ts";
import type { Limits } from "./errors.ts";
import type { ByteSource } from "./http.ts";
import { type Damage, Pieces } from "./table.ts";

const WINDOW = 1 << 18;

export interface Scanned {
  pieces: Pieces;
  damage: Damage[];
  /** Bytes at the end that hold no whole chunk. */
  unread: number;
}

/**
 * Find all chunks from `start` on.
 *
 * @param progress told the byte that was reached, now and then.
 */
export async function scan(
  source: ByteSource,
  start: number,
  limits: Limits,
  progress: (byte: number) => void,
): Promise<Scanned> {
  const window = new Window(source);
  const found: Scanned = { pieces: new Pieces(), damage: [], unread: 0 };
  let at = start;
  let lostAt: number | null = null;
  while (at + HEADER_BYTES <= source.size) {
    const data = await window.at(at, HEADER_BYTES);
    const header = tryChunkHeader(data, 0, limits);
    if (header === null) {
      if (await isTrailer(source, at)) return found;
      lostAt ??= at;
      const next = await nextHeader(window, source.size, at + 1, limits);
      if (next === null) break;
      at = next;
      continue;
    }
    const end = at + HEADER_BYTES + header.stored;
    if (end > source.size) break;
    if (lostAt !== null) {
      const reason = `${at - lostAt} bytes are no chunk`;
      found.damage.push({ offset: lostAt, frame: null, reason });
      lostAt = null;
    }
    if (found.pieces.count < limits.indexEntries) found.pieces.add(header, at);
    at = end;
    progress(at);
  }
  if (await isTrailer(source, at)) return found;
  found.unread = source.size - (lostAt ?? at);
  return found;
}

async function nextHeader(
  window: Window,
  size: number,
  start: number,
  limits: Limits,
): Promise<number | null> {
  for (let at = start; at + HEADER_BYTES <= size; ) {
    const data = await window.at(at, Math.min(WINDOW, size - at));
    const found = findMarker(data, 0);
    if (found < 0) {
      at += Math.max(data.length - 3, 1);
    } else if (found > 0 && found + HEADER_BYTES > data.length) {
      at += found;
    } else if (tryChunkHeader(data, found, limits) !== null) {
      return at + found;
    } else {
      at += found + 1;
    }
  }
  return null;
}

async function isTrailer(source: ByteSource, at: number): Promise<boolean> {
  if (source.size - at !== TRAILER_BYTES) return false;
  const data = await source.read(at, at + 4);
  return data[0] === 0x46 && data[1] === 0x56 && data[2] === 0x56 && data[3] === 0x65;
}

/** A piece of the file that moves along. */
class Window {
  private readonly source: ByteSource;
  private begin = 0;
  private data = new Uint8Array(0);

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** At least `count` bytes from `at` on, fewer only at the end of the file. */
  async at(at: number, count: number): Promise<Uint8Array> {
    const inside = at >= this.begin && at + count <= this.begin + this.data.length;
    if (!inside) {
      this.begin = at;
      this.data = (await this.source.read(at, at + WINDOW)) as Uint8Array<ArrayBuffer>;
    }
    return this.data.subarray(at - this.begin);
  }
}
