/** Floats of the reference frame, kept so that frames which change little cost little. */

import type { RowList } from "./planes.ts";
import type { BufferPool } from "./pool.ts";
import { type IntRows, shWidth } from "./rows.ts";
import type { Dequantizer, LookArrays, PlaceArrays } from "./values.ts";

/** Versions of the groups of a frame. */
export interface Versions {
  place: number;
  look: number;
  sh: number;
}

/** Rows and what of them is intact. */
export interface Held {
  rows: IntRows;
  /** SH degrees that are those of the encoder. */
  intact: number;
  /** Whether residues of the refinement are. */
  refined: boolean;
}

export interface Arrays {
  place: PlaceArrays | null;
  look: LookArrays | null;
  sh: Float32Array | null;
}

export type Group = "place" | "look" | "sh";

const EMPTY = new Float32Array(0);

export class FloatState {
  private place: PlaceArrays = { centers: EMPTY, rotations: EMPTY };
  private look: LookArrays = { scales: EMPTY, opacities: EMPTY, colors: EMPTY };
  private sh = EMPTY;
  private readonly stale: Record<Group, boolean> = { place: true, look: true, sh: true };

  private readonly dequantizer: Dequantizer;
  private readonly pool: BufferPool;

  constructor(dequantizer: Dequantizer, pool: BufferPool) {
    this.dequantizer = dequantizer;
    this.pool = pool;
  }

  /** Bytes of a row. */
  static bytes(degree: number): number {
    return 4 * (3 + 4 + 3 + 1 + 3 + shWidth(degree));
  }

  /** Note that integers of a group are others than they were. */
  forget(group: Group): void {
    this.stale[group] = true;
  }

  /** Bring some rows of a group up to date, if the others are. */
  update(group: Group, held: Held, list: RowList): void {
    if (!this.stale[group]) fill(this.dequantizer, group, held, list, this.own());
  }

  /** A copy of a group for who receives frames. */
  copy(group: Group, held: Held): Partial<Arrays> {
    this.refresh(group, held);
    const { pool, place, look } = this;
    const n = held.rows.count;
    const copied = (array: Float32Array, length: number) => {
      const out = pool.floats(length);
      out.set(array.subarray(0, length));
      return out;
    };
    if (group === "place") {
      const { centers, rotations } = place;
      return { place: { centers: copied(centers, 3 * n), rotations: copied(rotations, 4 * n) } };
    }
    if (group === "look") {
      const { scales, opacities, colors } = look;
      return {
        look: {
          scales: copied(scales, 3 * n),
          opacities: copied(opacities, n),
          colors: copied(colors, 3 * n),
        },
      };
    }
    return { sh: held.intact ? copied(this.sh, shWidth(held.intact) * n) : null };
  }

  /** Bring some rows of a copy to what `held` says now. */
  overwrite(group: Group, copy: Partial<Arrays>, held: Held, lists: RowList[]): Partial<Arrays> {
    for (const list of lists) fill(this.dequantizer, group, held, list, copy);
    return copy;
  }

  /** A group of rows that are not the reference's. */
  fresh(group: Group, held: Held): Partial<Arrays> {
    const { rows, intact } = held;
    const arrays = empty(group, rows.count, intact, (length) => this.pool.floats(length));
    fill(this.dequantizer, group, held, null, arrays);
    return arrays;
  }

  private refresh(group: Group, held: Held): void {
    if (!this.stale[group]) return;
    const made = empty(group, held.rows.count, held.intact, (length, old) =>
      old && old.length >= length ? old : new Float32Array(length + (length >> 4)), this.own());
    if (made.place) this.place = made.place;
    if (made.look) this.look = made.look;
    if (made.sh) this.sh = made.sh as Float32Array<ArrayBuffer>;
    fill(this.dequantizer, group, held, null, made);
    this.stale[group] = false;
  }

  private own(): Arrays {
    return { place: this.place, look: this.look, sh: this.sh };
  }
}

function empty(
  group: Group,
  count: number,
  degree: number,
  make: (length: number, old?: Float32Array | null) => Float32Array,
  old?: Arrays,
): Partial<Arrays> {
  if (group === "place") {
    const centers = make(3 * count, old?.place?.centers);
    return { place: { centers, rotations: make(4 * count, old?.place?.rotations) } };
  }
  if (group === "look") {
    const scales = make(3 * count, old?.look?.scales);
    const opacities = make(count, old?.look?.opacities);
    return { look: { scales, opacities, colors: make(3 * count, old?.look?.colors) } };
  }
  return { sh: degree ? make(shWidth(degree) * count, old?.sh) : null };
}

function fill(
  dequantizer: Dequantizer,
  group: Group,
  held: Held,
  list: RowList | null,
  out: Partial<Arrays>,
): void {
  const { rows, intact, refined } = held;
  const residues = refined ? rows.residues : null;
  if (group === "place" && out.place) {
    dequantizer.place(rows, residues && residues[0], list, out.place);
  } else if (group === "look" && out.look) {
    dequantizer.look(rows, residues && residues[1], list, out.look);
  } else if (out.sh) {
    dequantizer.harmonics(rows, intact, residues, list, out.sh);
  }
}
