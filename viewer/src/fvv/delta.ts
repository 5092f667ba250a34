/**
 * Rows that differ from those of an earlier frame; docs/fvv.md, section 7.
 *
 * Reading a delta changes nothing that is shown; `apply` then writes it into rows, and `undo` takes
 * it back, so that frames which no other refers to leave the reference as it was.
 */

import { FvvError, type Limits } from "./errors.ts";
import { readBase, readComponents, readHarmonics, short } from "./intra.ts";
import { carry, readBlocks } from "./motion.ts";
import type { PlaneReader, RowList, Scratch } from "./planes.ts";
import { type IntRows, LOOK, PLACE, type Runs, runsBetween, shComponents } from "./rows.ts";

/** A base delta, read and ready to be applied; row numbers are those after the removal. */
export interface BaseDelta {
  kept: number;
  added: number;
  /** Rows that stay, in runs; null if all do. */
  runs: Runs | null;
  /** Whether row numbers are those of the reference. */
  sameRows: boolean;
  moved: RowList;
  /** 7 numbers a moved row: where it is now. */
  place: Int32Array;
  /** 7 arrays: what was coded on top of the prediction. */
  residuals: Int32Array[];
  changed: RowList;
  /** 7 numbers a changed row: differences. */
  look: Int16Array;
}

/** One SH degree of a delta. */
export interface HarmonicsDelta {
  degree: number;
  changed: RowList;
  differences: Int16Array;
}

/**
 * Read a base delta. New rows go into `spare`, behind the kept ones.
 *
 * @throws FvvError for a payload that does not fit the reference, or is damaged.
 */
export function readDelta(
  reader: PlaneReader,
  state: IntRows,
  spare: IntRows,
  gridQuat: number,
  check: (count: number) => void,
  scratch: Scratch,
): BaseDelta {
  const before = reader.number();
  const numRemoved = reader.number();
  const added = reader.number();
  if (before !== state.count) {
    throw new FvvError(`payload: made for ${before} Gaussians, the frame before has ${state.count}`);
  }
  const removed = reader.bits(before, scratch.take("removed", before));
  if (removed.count !== numRemoved) {
    throw new FvvError(`payload: ${removed.count} rows removed, ${numRemoved} stated`);
  }
  const kept = before - numRemoved;
  check(kept + added);
  const runs = numRemoved
    ? runsBetween(removed, before, scratch.take("runs", 2 * numRemoved + 2))
    : null;
  const moved = reader.bits(kept, scratch.take("moved", kept));
  const blocks = readBlocks(reader, moved.count, scratch);
  const residuals = Array.from({ length: PLACE }, (_, i) => {
    const values = scratch.take(`residual${i}`, moved.count);
    reader.ints(moved.count, values);
    return values;
  });
  const place = scratch.take("place", PLACE * moved.count);
  carry(state, sourcesOf(moved, runs, scratch), blocks, residuals, gridQuat, place);
  const changed = reader.bits(kept, scratch.take("changed", kept));
  const look = scratch.take16("look", LOOK * changed.count);
  readLook(reader, changed.count, look, scratch);
  const sameRows = runs === null && added === 0;
  spare.reserve(sameRows ? 0 : kept + added);
  readBase(reader, added, gridQuat, spare, kept, scratch);
  reader.finish();
  return { kept, added, runs, sameRows, moved, place, residuals, changed, look };
}

/**
 * Read one SH degree of a delta; that of new rows goes into `spare`.
 *
 * @throws FvvError for a payload that does not fit the frame's base, or is damaged.
 */
export function readHarmonicsDelta(
  reader: PlaneReader,
  degree: number,
  base: BaseDelta,
  spare: IntRows,
  scratch: Scratch,
): HarmonicsDelta {
  if (reader.number() !== base.kept || reader.number() !== base.added) {
    throw new FvvError("payload: harmonics of another number of Gaussians than the base");
  }
  const width = shComponents(degree);
  const changed = reader.bits(base.kept, scratch.take(`sh rows ${degree}`, base.kept));
  const differences = scratch.take16(`sh ${degree}`, width * changed.count);
  readComponents(reader, changed.count, width, differences, width, scratch);
  readHarmonics(reader, degree, base.added, spare.sh[degree - 1], base.kept, scratch);
  reader.finish();
  return { degree, changed, differences };
}

/** Put the new places in and take out what was there, so that doing it twice undoes it. */
export function swapPlace(rows: IntRows, delta: BaseDelta): void {
  const { position, quat } = rows;
  const { place, moved } = delta;
  for (let k = 0, o = 0; k < moved.count; k++, o += PLACE) {
    const p = 3 * moved.rows[k];
    const q = 4 * moved.rows[k];
    for (let i = 0; i < 3; i++) {
      const old = position[p + i];
      position[p + i] = place[o + i];
      place[o + i] = old;
    }
    for (let i = 0; i < 4; i++) {
      const old = quat[q + i];
      quat[q + i] = place[o + 3 + i];
      place[o + 3 + i] = old;
    }
  }
}

/** Add differences to rows, or take them away again; all of it wraps at 16 bits. */
export function addRows(
  to: Int16Array,
  width: number,
  list: RowList,
  differences: Int16Array,
  sign: 1 | -1,
): void {
  for (let k = 0, d = 0; k < list.count; k++) {
    const at = width * list.rows[k];
    for (let i = 0; i < width; i++, d++) to[at + i] += sign * differences[d];
  }
}

function readLook(reader: PlaneReader, count: number, look: Int16Array, scratch: Scratch): void {
  readComponents(reader, count, LOOK, look, LOOK, scratch);
  for (let i = 0, at = 4; i < count; i++, at += LOOK) {
    const green = look[at + 2];
    const middle = look[at] - (green >> 1);
    const blue = middle - (look[at + 1] >> 1);
    look[at] = short(blue + look[at + 1]);
    look[at + 1] = green + middle;
    look[at + 2] = blue;
  }
}

/** Row numbers before the removal. */
function sourcesOf(moved: RowList, runs: Runs | null, scratch: Scratch): RowList {
  if (runs === null) return moved;
  const rows = scratch.take("sources", moved.count);
  let run = 0;
  let skipped = runs.count ? runs.pairs[0] : 0; // by how much rows of this run moved up
  let end = runs.count ? runs.pairs[1] : 0; // of this run, counted after the removal
  for (let k = 0; k < moved.count; k++) {
    while (moved.rows[k] >= end) {
      run++;
      skipped = runs.pairs[2 * run] - end;
      end += runs.pairs[2 * run + 1];
    }
    rows[k] = moved.rows[k] + skipped;
  }
  return { rows, count: moved.count };
}

/** A check of the number of rows of a frame. */
export function countCheck(limits: Limits, bytesPerRow: number): (count: number) => void {
  const most = Math.min(limits.gaussians, Math.floor(limits.stateBytes / bytesPerRow));
  return (count) => {
    if (count > most) {
      throw new FvvError(`payload: ${count} Gaussians in a frame, this player's limit is ${most}`);
    }
  };
}
