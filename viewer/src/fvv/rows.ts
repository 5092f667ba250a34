/**
 * Gaussians as integers, row after row; docs/fvv.md, section 5.
 *
 * Attributes are kept in groups that change together: place (position, quaternion), look (three
 * scales, opacity, red green blue), and one for each SH degree. Arrays may be longer than needed.
 */

import type { RowList } from "./planes.ts";

export const PLACE = 7;
export const LOOK = 7;

/** Components of one SH degree: 9, 15, 21. */
export function shComponents(degree: number): number {
  return 3 * (2 * degree + 1);
}

/** Components of all degrees from 1 up: 0, 9, 24, 45. */
export function shWidth(degree: number): number {
  return 3 * ((degree + 1) ** 2 - 1);
}

export class IntRows {
  count = 0;
  position = new Int32Array(0);
  quat = new Int16Array(0);
  look = new Int16Array(0);
  /** By degree, from 1. */
  sh: Int16Array[] = [];
  /** Of the refinement layer, by group; empty without one. */
  residues: Int16Array[] = [];
  private capacity = -1;

  private readonly degree: number;
  private readonly refined: boolean;

  constructor(degree: number, refined: boolean) {
    this.degree = degree;
    this.refined = refined;
  }

  /** Bytes of a row. */
  static bytes(degree: number, refined: boolean): number {
    const width = shWidth(degree);
    return 12 + 8 + 2 * LOOK + 2 * width + (refined ? 2 * (PLACE + LOOK + width) : 0);
  }

  /** Make room for `count` rows; what they hold is anything. */
  reserve(count: number): void {
    this.count = count;
    if (count <= this.capacity) return;
    const size = (this.capacity = this.capacity < 0 ? count : count + (count >> 4));
    this.position = new Int32Array(3 * size);
    this.quat = new Int16Array(4 * size);
    this.look = new Int16Array(LOOK * size);
    this.sh = groupSizes(this.degree).slice(2).map((n) => new Int16Array(n * size));
    const groups = this.refined ? groupSizes(this.degree) : [];
    this.residues = groups.map((n) => new Int16Array(n * size));
  }

  /** An exact copy. */
  copy(): IntRows {
    const made = new IntRows(this.degree, this.refined);
    made.assign(this);
    return made;
  }

  /** Become the same as other rows. */
  assign(from: IntRows): void {
    this.reserve(from.count);
    const all = { pairs: Int32Array.of(0, from.count), count: 1 };
    this.gather(from, all);
  }

  /** Take the rows of `from` that the runs name; room for them must be there. */
  gather(from: IntRows, runs: Runs): void {
    gatherRows(from.position, this.position, 3, runs);
    gatherRows(from.quat, this.quat, 4, runs);
    gatherRows(from.look, this.look, LOOK, runs);
    const sizes = groupSizes(this.degree);
    this.sh.forEach((array, d) => gatherRows(from.sh[d], array, sizes[d + 2], runs));
    this.residues.forEach((array, g) => gatherRows(from.residues[g], array, sizes[g], runs));
  }
}

/** Components of each group. */
export function groupSizes(degree: number): number[] {
  const sizes = [PLACE, LOOK];
  for (let d = 1; d <= degree; d++) sizes.push(shComponents(d));
  return sizes;
}

/** Rows that stay when others are removed, as runs of neighbours: starts and lengths in turn. */
export interface Runs {
  pairs: Int32Array;
  count: number;
}

/** The runs between removed rows; `pairs` needs room for 2 (removed + 1) numbers. */
export function runsBetween(removed: RowList, total: number, pairs: Int32Array): Runs {
  let count = 0;
  let start = 0;
  for (let i = 0; i <= removed.count; i++) {
    const end = i < removed.count ? removed.rows[i] : total;
    if (end > start) {
      pairs[2 * count] = start;
      pairs[2 * count + 1] = end - start;
      count++;
    }
    start = end + 1;
  }
  return { pairs, count };
}

type Rowed = Int16Array | Int32Array | Float32Array;

const SHORT = 64; // components below which a loop is quicker than a copy of memory

/** Copy runs of rows to the beginning of another array of the same kind. */
export function gatherRows(from: Rowed, to: Rowed, width: number, runs: Runs): void {
  let at = 0;
  for (let i = 0; i < runs.count; i++) {
    const start = runs.pairs[2 * i] * width;
    const length = runs.pairs[2 * i + 1] * width;
    if (length < SHORT) for (let j = 0; j < length; j++) to[at + j] = from[start + j];
    else to.set(from.subarray(start, start + length), at);
    at += length;
  }
}
