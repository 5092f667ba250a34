/**
 * The refinement layer: finer steps for all attributes; docs/fvv.md.
 *
 * An integer q of the other layers is refined by a residue r: the value is that of q + r / factor
 * steps. A residue stays until it is coded anew; where the other layers coded a change of its
 * component, it begins at zero.
 */

import type { BaseDelta, HarmonicsDelta } from "./delta.ts";
import { addRows } from "./delta.ts";
import { FvvError } from "./errors.ts";
import { readComponents } from "./intra.ts";
import type { PlaneReader, RowList, Scratch } from "./planes.ts";
import { type IntRows, groupSizes, LOOK, PLACE, shComponents } from "./rows.ts";

export const REFINEMENT_LAYER = 4;

/** The refinement of a frame: rows of each group that change, and by how much. */
export interface RefinementDelta {
  changed: RowList[];
  differences: Int16Array[];
  /** What `apply` overwrote, for `undo`. */
  saved: { rows: RowList; width: number; values: Int16Array }[];
}

/**
 * Read the residues of `count` rows into `to`, from row `first` on.
 *
 * @throws FvvError if the payload does not hold that.
 */
export function readResidues(
  reader: PlaneReader,
  degree: number,
  count: number,
  to: IntRows,
  first: number,
  scratch: Scratch,
): void {
  groupSizes(degree).forEach((width, group) => {
    const rows = to.residues[group].subarray(width * first);
    readComponents(reader, count, width, rows, width, scratch);
  });
}

/**
 * Read the refinement of a delta; that of new rows goes into `spare`.
 *
 * @throws FvvError for a payload that does not fit the frame's base, or is damaged.
 */
export function readRefinementDelta(
  reader: PlaneReader,
  degree: number,
  base: BaseDelta,
  spare: IntRows,
  scratch: Scratch,
): RefinementDelta {
  if (reader.number() !== base.kept || reader.number() !== base.added) {
    throw new FvvError("payload: refinement of another number of Gaussians than the base");
  }
  const changed: RowList[] = [];
  const differences: Int16Array[] = [];
  groupSizes(degree).forEach((width, group) => {
    const list = reader.bits(base.kept, scratch.take(`refined rows ${group}`, base.kept));
    const values = scratch.take16(`refined ${group}`, width * list.count);
    readComponents(reader, list.count, width, values, width, scratch);
    changed.push(list);
    differences.push(values);
  });
  readResidues(reader, degree, base.added, spare, base.kept, scratch);
  reader.finish();
  return { changed, differences, saved: [] };
}

/** Bring the residues of `rows` to this frame. */
export function applyRefinement(
  rows: IntRows,
  delta: RefinementDelta,
  base: BaseDelta,
  harmonics: HarmonicsDelta[],
  scratch: Scratch,
): void {
  const { residues } = rows;
  delta.saved = [
    save(residues[0], PLACE, base.moved, scratch, "saved place"),
    save(residues[1], LOOK, base.changed, scratch, "saved look"),
    ...harmonics.map(({ degree, changed }) =>
      save(residues[degree + 1], shComponents(degree), changed, scratch, `saved ${degree}`),
    ),
  ];
  base.residuals.forEach((coded, i) => {
    for (let k = 0; k < base.moved.count; k++) {
      if (coded[k] !== 0) residues[0][PLACE * base.moved.rows[k] + i] = 0;
    }
  });
  clearCoded(residues[1], LOOK, base.changed, base.look);
  for (const { degree, changed, differences } of harmonics) {
    clearCoded(residues[degree + 1], shComponents(degree), changed, differences);
  }
  residues.forEach((array, group) => add(array, group, delta, 1));
}

/** Take `applyRefinement` back. */
export function undoRefinement(rows: IntRows, delta: RefinementDelta): void {
  rows.residues.forEach((array, group) => add(array, group, delta, -1));
  delta.saved.forEach(({ rows: list, width, values }, group) => {
    const array = rows.residues[group];
    for (let k = 0, s = 0; k < list.count; k++) {
      const at = width * list.rows[k];
      for (let i = 0; i < width; i++, s++) array[at + i] = values[s];
    }
  });
}

function add(array: Int16Array, group: number, delta: RefinementDelta, sign: 1 | -1): void {
  const width = group < 2 ? PLACE : shComponents(group - 1);
  addRows(array, width, delta.changed[group], delta.differences[group], sign);
}

function save(
  from: Int16Array,
  width: number,
  rows: RowList,
  scratch: Scratch,
  name: string,
): { rows: RowList; width: number; values: Int16Array } {
  const values = scratch.take16(name, width * rows.count);
  for (let k = 0, s = 0; k < rows.count; k++) {
    const at = width * rows.rows[k];
    for (let i = 0; i < width; i++, s++) values[s] = from[at + i];
  }
  return { rows, width, values };
}

function clearCoded(
  residues: Int16Array,
  width: number,
  rows: RowList,
  differences: Int16Array,
): void {
  for (let k = 0, s = 0; k < rows.count; k++) {
    const at = width * rows.rows[k];
    for (let i = 0; i < width; i++, s++) if (differences[s] !== 0) residues[at + i] = 0;
  }
}
