/**
 * Prediction of moved rows: blocks of rows, each carried by one affine map and one rotation;
 * docs/fvv.md, section 7. All on integers, held exactly by doubles, as every decoder does it.
 */

import { FvvError } from "./errors.ts";
import { fourth } from "./intra.ts";
import type { PlaneReader, RowList, Scratch } from "./planes.ts";
import { type IntRows, PLACE } from "./rows.ts";

const ROTATION_UNIT = (1 << 15) - 1;
const LIMITS = { t: 2 ** 28 - 1, m: 2 ** 15 - 1, r: 2 ** 15 - 1 };

/** How blocks of consecutive moved rows move: tables of one number a block. */
export interface Blocks {
  count: number;
  lengths: Int32Array;
  /** 3, quarter steps. */
  translation: Int32Array[];
  /** 9, row by row, in 2^-14. */
  matrix: Int32Array[];
  /** 3: x y z of a unit quaternion times 32767; all zero: no turn. */
  rotation: Int32Array[];
}

/**
 * Read the blocks of `moved` rows.
 *
 * @throws FvvError for lengths that do not add up, or numbers out of range.
 */
export function readBlocks(reader: PlaneReader, moved: number, scratch: Scratch): Blocks {
  const count = reader.number();
  if (count > moved) throw new FvvError(`payload: ${count} blocks for ${moved} moved rows`);
  const lengths = scratch.take("lengths", count);
  reader.ints(count, lengths);
  let total = 0;
  let least = 1;
  for (let b = 0; b < count; b++) {
    total += lengths[b];
    least = Math.min(least, lengths[b]);
  }
  if (least < 1 || total !== moved) {
    throw new FvvError(`payload: blocks do not add up to ${moved} moved rows`);
  }
  const table = (name: "t" | "m" | "r", rows: number) =>
    Array.from({ length: rows }, (_, i) => {
      const values = scratch.take(`${name}${i}`, count);
      const any = reader.ints(count, values);
      if (any) checkRange(values, count, LIMITS[name]);
      return values;
    });
  const translation = table("t", 3);
  const matrix = table("m", 9);
  return { count, lengths, translation, matrix, rotation: table("r", 3) };
}

function checkRange(values: Int32Array, count: number, limit: number): void {
  for (let i = 0; i < count; i++) {
    if (values[i] > limit || values[i] < -limit) {
      throw new FvvError("payload: motion of a block is out of range");
    }
  }
}

/**
 * Where the moved rows are now.
 *
 * @param state rows before.
 * @param sources rows of `state` that move, in order.
 * @param residuals 7 arrays: position x y z, quaternion w x y z.
 * @param scale length of a unit quaternion on the grid.
 * @param out 7 numbers a row: position, quaternion.
 */
export function carry(
  state: IntRows,
  sources: RowList,
  blocks: Blocks,
  residuals: Int32Array[],
  scale: number,
  out: Int32Array,
): void {
  let first = 0;
  for (let b = 0; b < blocks.count; b++) {
    const end = first + blocks.lengths[b];
    carryPositions(state.position, sources.rows, first, end, blocks, b, residuals, out);
    carryQuats(state.quat, sources.rows, first, end, blocks, b, residuals, scale, out);
    first = end;
  }
}

function carryPositions(
  position: Int32Array,
  rows: Int32Array,
  first: number,
  end: number,
  blocks: Blocks,
  b: number,
  residuals: Int32Array[],
  out: Int32Array,
): void {
  const [rx, ry, rz] = residuals;
  const t = blocks.translation.map((table) => table[b] * 4096 + 8192);
  const m = blocks.matrix.map((table) => table[b]);
  const still = t.every((v) => v === 8192) && m.every((v) => v === 0);
  if (still) {
    for (let k = first, o = PLACE * first; k < end; k++, o += PLACE) {
      const at = 3 * rows[k];
      out[o] = position[at] + rx[k];
      out[o + 1] = position[at + 1] + ry[k];
      out[o + 2] = position[at + 2] + rz[k];
    }
    return;
  }
  const [cx, cy, cz] = centre(position, rows, first, end);
  const [tx, ty, tz] = t;
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = m;
  for (let k = first, o = PLACE * first; k < end; k++, o += PLACE) {
    const at = 3 * rows[k];
    const [x, y, z] = [position[at], position[at + 1], position[at + 2]];
    const dx = x - cx;
    const dy = y - cy;
    const dz = z - cz;
    out[o] = x + Math.floor((tx + xx * dx + xy * dy + xz * dz) / 16384) + rx[k];
    out[o + 1] = y + Math.floor((ty + yx * dx + yy * dy + yz * dz) / 16384) + ry[k];
    out[o + 2] = z + Math.floor((tz + zx * dx + zy * dy + zz * dz) / 16384) + rz[k];
  }
}

function centre(position: Int32Array, rows: Int32Array, first: number, end: number): number[] {
  let [x, y, z] = [0, 0, 0];
  for (let k = first; k < end; k++) {
    const at = 3 * rows[k];
    x += position[at];
    y += position[at + 1];
    z += position[at + 2];
  }
  return [x, y, z].map((sum) => floorDivide(sum, end - first));
}

/** Exact for whole numbers up to 2^53, where the quotient alone may be rounded up. */
function floorDivide(sum: number, count: number): number {
  const quotient = Math.floor(sum / count);
  return quotient * count > sum ? quotient - 1 : quotient;
}

function carryQuats(
  quat: Int16Array,
  rows: Int32Array,
  first: number,
  end: number,
  blocks: Blocks,
  b: number,
  residuals: Int32Array[],
  scale: number,
  out: Int32Array,
): void {
  const [, , , rw, rx, ry, rz] = residuals;
  const [bx, by, bz] = blocks.rotation.map((table) => table[b]);
  const turns = bx !== 0 || by !== 0 || bz !== 0;
  const bw = turns ? fourth(bx, by, bz, ROTATION_UNIT) : 0;
  for (let k = first, o = PLACE * first + 3; k < end; k++, o += PLACE) {
    const at = 4 * rows[k];
    let w = quat[at];
    let x = quat[at + 1];
    let y = quat[at + 2];
    let z = quat[at + 3];
    if (turns) {
      const hw = bw * w - bx * x - by * y - bz * z;
      const hx = bw * x + bx * w + by * z - bz * y;
      const hy = bw * y - bx * z + by * w + bz * x;
      const hz = bw * z + bx * y - by * x + bz * w;
      const squared = hw * hw + hx * hx + hy * hy + hz * hz;
      const factor = scale / Math.sqrt(Math.max(squared, 1));
      w = Math.floor(hw * factor + 0.5);
      x = Math.floor(hx * factor + 0.5);
      y = Math.floor(hy * factor + 0.5);
      z = Math.floor(hz * factor + 0.5);
    }
    out[o] = w + rw[k];
    out[o + 1] = x + rx[k];
    out[o + 2] = y + ry[k];
    out[o + 3] = z + rz[k];
  }
}
