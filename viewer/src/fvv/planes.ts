/**
 * Integers as bytes: the vocabulary of every payload; docs/fvv.md, section 4.
 *
 * Results go into scratch arrays that are used again for every frame: nothing is allocated for
 * single Gaussians, and nothing at all once the largest frame was seen.
 */

import { viewOf } from "./chunks.ts";
import { FvvError } from "./errors.ts";

const DELTA = 0x10;
const NONE = 0;
const ALL = 1;
const SOME = 2;

/** Arrays by name that grow to what is asked for and stay. */
export class Scratch {
  private readonly arrays = new Map<string, Int32Array>();
  private readonly shorts = new Map<string, Int16Array>();

  /** An array of at least `count` integers, holding anything. */
  take(name: string, count: number): Int32Array {
    let array = this.arrays.get(name);
    if (array === undefined || array.length < count) {
      array = new Int32Array(count);
      this.arrays.set(name, array);
    }
    return array;
  }

  /** The same of 16 bits. */
  take16(name: string, count: number): Int16Array {
    let array = this.shorts.get(name);
    if (array === undefined || array.length < count) {
      array = new Int16Array(count);
      this.shorts.set(name, array);
    }
    return array;
  }
}

/** Rows of a bitmap that are set. */
export interface RowList {
  rows: Int32Array;
  count: number;
}

/** Reads a payload part by part; every length is checked before anything is made of it. */
export class PlaneReader {
  private readonly data: Uint8Array;
  private at = 0;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  /** An unsigned 32-bit integer. All methods throw FvvError if the payload ends before. */
  number(): number {
    const at = this.take(4);
    return viewOf(this.data).getUint32(at, true);
  }

  /** `count` integers into `out`; false if all are zero. */
  ints(count: number, out: Int32Array): boolean {
    const kind = this.data[this.take(1)];
    const width = kind & 0x0f;
    if (kind & ~(DELTA | 0x0f) || (width > 2 && width !== 4)) {
      throw new FvvError(`payload: 0x${kind.toString(16)} is no kind of integers`);
    }
    const at = this.take(width * count);
    if (width === 0) {
      out.fill(0, 0, count);
      return false;
    }
    if (width === 1) unzigzag1(this.data, at, count, out);
    else if (width === 2) unzigzag2(this.data, at, count, out);
    else unzigzag4(this.data, at, count, out);
    if (kind & DELTA) {
      let sum = 0;
      for (let i = 0; i < count; i++) out[i] = sum = (sum + out[i]) | 0;
    }
    return true;
  }

  /** `count` Morton codes, as x, y, z in three arrays, counted from `low`. */
  morton(count: number, low: [number, number, number], out: Int32Array): void {
    const width = this.data[this.take(1)];
    if (width > 8) throw new FvvError(`payload: gaps of ${width} bytes`);
    const at = this.take(width * count);
    const { data } = this;
    let lower = 0; // the code, in two halves
    let upper = 0;
    for (let i = 0; i < count; i++) {
      let gapLower = 0;
      let gapUpper = 0;
      for (let w = 0, p = at + i; w < width; w++, p += count) {
        if (w < 4) gapLower |= data[p] << (8 * w);
        else gapUpper |= data[p] << (8 * w - 32);
      }
      const sum = lower + (gapLower >>> 0);
      lower = sum >>> 0;
      upper = (upper + gapUpper + (sum > 0xffffffff ? 1 : 0)) >>> 0;
      const x = third(lower) | ((third(upper >>> 1) & 0x3ff) << 11);
      const y = third(lower >>> 1) | ((third(upper >>> 2) & 0x3ff) << 11);
      const z = (third(lower >>> 2) & 0x3ff) | (third(upper) << 10);
      out[3 * i] = x + low[0];
      out[3 * i + 1] = y + low[1];
      out[3 * i + 2] = z + low[2];
    }
  }

  /** Rows of `count` that are set, into `rows`, which must have room for `count`. */
  bits(count: number, rows: Int32Array): RowList {
    const kind = this.data[this.take(1)];
    if (kind === NONE) return { rows, count: 0 };
    if (kind === ALL) {
      for (let i = 0; i < count; i++) rows[i] = i;
      return { rows, count };
    }
    if (kind !== SOME) throw new FvvError(`payload: 0x${kind.toString(16)} is no kind of bits`);
    const at = this.take((count + 7) >> 3);
    const { data } = this;
    let found = 0;
    for (let first = 0, p = at; first < count; first += 8, p++) {
      let byte = data[p];
      if (first + 8 > count) byte &= (1 << (count - first)) - 1;
      while (byte !== 0) {
        rows[found++] = first + 31 - Math.clz32(byte & -byte);
        byte &= byte - 1;
      }
    }
    return { rows, count: found };
  }

  /** Check that nothing is left. */
  finish(): void {
    const left = this.data.length - this.at;
    if (left) throw new FvvError(`payload: ${left} bytes left over`);
  }

  private take(count: number): number {
    const at = this.at;
    const missing = at + count - this.data.length;
    if (missing > 0) throw new FvvError(`payload: ends ${missing} bytes too early`);
    this.at = at + count;
    return at;
  }
}

function unzigzag1(data: Uint8Array, at: number, count: number, out: Int32Array): void {
  for (let i = 0; i < count; i++) {
    const value = data[at + i];
    out[i] = (value >>> 1) ^ -(value & 1);
  }
}

function unzigzag2(data: Uint8Array, at: number, count: number, out: Int32Array): void {
  const next = at + count;
  for (let i = 0; i < count; i++) {
    const value = data[at + i] | (data[next + i] << 8);
    out[i] = (value >>> 1) ^ -(value & 1);
  }
}

function unzigzag4(data: Uint8Array, at: number, count: number, out: Int32Array): void {
  for (let i = 0, p = at; i < count; i++, p++) {
    const low = data[p] | (data[p + count] << 8);
    const value = low | (data[p + 2 * count] << 16) | (data[p + 3 * count] << 24);
    out[i] = (value >>> 1) ^ -(value & 1);
  }
}

/** Bits 0, 3, 6 ... 30 of a number, side by side. */
function third(value: number): number {
  value &= 0x49249249;
  value = (value | (value >>> 2)) & 0xc30c30c3;
  value = (value | (value >>> 4)) & 0x0f00f00f;
  value = (value | (value >>> 8)) & 0x0f0000ff;
  return (value | (value >>> 16)) & 0xfff;
}
