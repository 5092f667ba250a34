/** From integers to what a renderer takes, all rows or only some; docs/fvv.md, section 5. */

import type { Grid } from "./header.ts";
import type { RowList } from "./planes.ts";
import { type IntRows, LOOK, PLACE, shComponents, shWidth } from "./rows.ts";

const SH_C0 = 0.28209479177387814;
const LEAST_OPACITY = 1e-4;
const MOST_LOG_SCALE = 80; // exp of it is finite in float32; encoders stay within 20
const LARGEST_TABLE = 1 << 17;

export interface PlaceArrays {
  centers: Float32Array;
  rotations: Float32Array;
}

export interface LookArrays {
  scales: Float32Array;
  opacities: Float32Array;
  colors: Float32Array;
}

/** Turns rows of one grid into float32; tables are made once. */
export class Dequantizer {
  private readonly factor: number;
  private readonly positionStep: number;
  private readonly origin: [number, number, number];
  private readonly logScaleStep: number;
  private readonly scales: Float32Array;
  private readonly mostOpacity: number;
  private readonly opacities: Float32Array;
  private readonly colorStep: number;
  private readonly shSteps: number[];

  /** @param factor steps of the refinement in one of the grid; 1 without. */
  constructor(grid: Grid, factor: number) {
    this.factor = factor;
    this.positionStep = grid.position / factor;
    this.origin = grid.origin;
    this.logScaleStep = Math.fround(grid.logScale / factor);
    const half = Math.min(Math.ceil(MOST_LOG_SCALE / this.logScaleStep), LARGEST_TABLE);
    this.scales = new Float32Array(2 * half + 1).map((_, i) => this.scaleOf(i - half));
    this.mostOpacity = grid.opacity * factor;
    this.opacities = new Float32Array(this.mostOpacity + 1).map((_, q) =>
      Math.min(Math.max(q / this.mostOpacity, LEAST_OPACITY), 1 - LEAST_OPACITY),
    );
    this.colorStep = Math.fround(grid.color / SH_C0 / factor);
    this.shSteps = grid.sh.map((step) => Math.fround(step / factor));
  }

  /**
   * Fill centres and rotations.
   *
   * @param residues of the refinement, 7 a row; null where it is not there.
   * @param list rows to fill; null for all.
   */
  place(rows: IntRows, residues: Int16Array | null, list: RowList | null, out: PlaceArrays): void {
    const { position, quat } = rows;
    const { centers, rotations } = out;
    const { factor, positionStep: step } = this;
    const [ox, oy, oz] = this.origin;
    const count = list ? list.count : rows.count;
    for (let k = 0; k < count; k++) {
      const row = list ? list.rows[k] : k;
      const p = 3 * row;
      const q = 4 * row;
      let x = position[p] * factor;
      let y = position[p + 1] * factor;
      let z = position[p + 2] * factor;
      let qw = quat[q] * factor;
      let qx = quat[q + 1] * factor;
      let qy = quat[q + 2] * factor;
      let qz = quat[q + 3] * factor;
      if (residues !== null) {
        const r = PLACE * row;
        x += residues[r];
        y += residues[r + 1];
        z += residues[r + 2];
        qw += residues[r + 3];
        qx += residues[r + 4];
        qy += residues[r + 5];
        qz += residues[r + 6];
      }
      centers[p] = x * step + ox;
      centers[p + 1] = y * step + oy;
      centers[p + 2] = z * step + oz;
      const squared = qw * qw + qx * qx + qy * qy + qz * qz;
      const scale = squared > 0 ? 1 / Math.sqrt(squared) : 0;
      rotations[q] = squared > 0 ? qw * scale : 1; // no encoder writes 0 0 0 0, a hostile one may
      rotations[q + 1] = qx * scale;
      rotations[q + 2] = qy * scale;
      rotations[q + 3] = qz * scale;
    }
  }

  /** Fill scales, opacities and colours; see `place`. */
  look(rows: IntRows, residues: Int16Array | null, list: RowList | null, out: LookArrays): void {
    const { scales, opacities, colors } = out;
    const { look } = rows;
    const { factor, colorStep } = this;
    const most = this.mostOpacity;
    const count = list ? list.count : rows.count;
    for (let k = 0; k < count; k++) {
      const row = list ? list.rows[k] : k;
      const at = LOOK * row;
      const to = 3 * row;
      for (let i = 0; i < 3; i++) {
        const more = residues !== null ? residues[at + i] : 0;
        scales[to + i] = this.scale(look[at + i] * factor + more);
      }
      const more = residues !== null ? residues[at + 3] : 0;
      const opacity = look[at + 3] * factor + more;
      opacities[row] = this.opacities[opacity < 0 ? 0 : opacity > most ? most : opacity];
      for (let i = 0; i < 3; i++) {
        const more = residues !== null ? residues[at + 4 + i] : 0;
        colors[to + i] = (look[at + 4 + i] * factor + more) * colorStep;
      }
    }
  }

  /**
   * Fill coefficients above degree 0; see `place`.
   *
   * @param degree of what comes out, which is `shWidth(degree)` a row.
   * @param residues by group, null where the refinement is not there.
   */
  harmonics(
    rows: IntRows,
    degree: number,
    residues: Int16Array[] | null,
    list: RowList | null,
    out: Float32Array,
  ): void {
    const width = shWidth(degree);
    for (let d = 1; d <= degree; d++) {
      const residue = residues === null ? null : residues[d + 1];
      this.oneDegree(rows.sh[d - 1], d, residue, list, rows.count, out, width);
    }
  }

  private oneDegree(
    sh: Int16Array,
    degree: number,
    residue: Int16Array | null,
    list: RowList | null,
    total: number,
    out: Float32Array,
    width: number,
  ): void {
    const components = shComponents(degree);
    const first = shWidth(degree - 1);
    const { factor } = this;
    const step = this.shSteps[degree - 1];
    const count = list ? list.count : total;
    for (let k = 0; k < count; k++) {
      const row = list ? list.rows[k] : k;
      const at = components * row;
      const to = width * row + first;
      for (let i = 0; i < components; i++) {
        const more = residue !== null ? residue[at + i] : 0;
        out[to + i] = (sh[at + i] * factor + more) * step;
      }
    }
  }

  private scale(steps: number): number {
    const at = steps + (this.scales.length >> 1);
    return at >= 0 && at < this.scales.length ? this.scales[at] : this.scaleOf(steps);
  }

  private scaleOf(steps: number): number {
    const log = Math.fround(steps * this.logScaleStep);
    return Math.exp(Math.min(Math.max(log, -MOST_LOG_SCALE), MOST_LOG_SCALE));
  }
}
