/** From opened chunks to frames: the state of one stream, its newest reference frame. */

import { FRAME, INTRA, type OpenChunk, REFERENCE } from "./chunks.ts";
import {
  addRows,
  type BaseDelta,
  countCheck,
  type HarmonicsDelta,
  readDelta,
  readHarmonicsDelta,
  swapPlace,
} from "./delta.ts";
import { DEFAULT_LIMITS, FvvError, type Limits } from "./errors.ts";
import { type Arrays, FloatState, type Group, type Held, type Versions } from "./floats.ts";
import type { StreamHeader } from "./header.ts";
import { readBase, readHarmonics } from "./intra.ts";
import { PlaneReader, type RowList, Scratch } from "./planes.ts";
import { BufferPool } from "./pool.ts";
import {
  applyRefinement,
  readRefinementDelta,
  readResidues,
  REFINEMENT_LAYER,
  type RefinementDelta,
  undoRefinement,
} from "./refine.ts";
import { IntRows } from "./rows.ts";
import { Dequantizer } from "./values.ts";

/** A frame as it goes out; groups whose version the receiver has are null. */
export interface DecodedFrame extends About, Arrays {
  count: number;
  /** SH degree of `sh`. */
  shDegree: number;
  versions: Versions;
}

/** What is known of a frame without its Gaussians. */
interface About {
  number: number;
  time: number;
  isKey: boolean;
}

/** The reference frame, kept aside. */
export interface Snapshot extends Held {
  about: About;
  versions: Versions;
  bytes: number;
}

interface Delta {
  base: BaseDelta;
  harmonics: HarmonicsDelta[];
  refinement: RefinementDelta | null;
  intact: number;
}

const GROUPS: Group[] = ["place", "look", "sh"];

export class StreamDecoder {
  private held: Held;
  private spare: IntRows;
  private about: About | null = null; // of the reference
  private versions: Versions = { place: 0, look: 0, sh: 0 };
  private newest = 0; // version
  private readonly floats: FloatState;
  private readonly scratch = new Scratch();
  private readonly check: (count: number) => void;
  private readonly degree: number;
  private readonly refined: boolean;

  readonly header: StreamHeader;
  readonly pool: BufferPool;

  constructor(header: StreamHeader, limits: Limits = DEFAULT_LIMITS, pool = new BufferPool()) {
    this.header = header;
    this.pool = pool;
    this.degree = header.shDegree;
    this.refined = header.refine > 1;
    this.held = { rows: this.newRows(), intact: 0, refined: false };
    this.spare = this.newRows();
    this.floats = new FloatState(new Dequantizer(header.grid, header.refine), pool);
    const bytes = IntRows.bytes(this.degree, this.refined) + FloatState.bytes(this.degree);
    this.check = countCheck(limits, bytes);
  }

  /** Number of the newest reference frame, null before the first. */
  get reference(): number | null {
    return this.about && this.about.number;
  }

  /** Bytes that a snapshot of the frame at hand takes. */
  get snapshotBytes(): number {
    return this.held.rows.count * IntRows.bytes(this.degree, this.refined);
  }

  /** Give versions that come after those of a decoder before this one. */
  continueVersions(before: StreamDecoder): void {
    this.newest = before.newest;
  }

  /** Go on without a reference, as at the beginning. */
  reset(): void {
    this.about = null;
  }

  snapshot(): Snapshot {
    const { rows, intact, refined } = this.held;
    const { about, versions, snapshotBytes: bytes } = this;
    if (!about) throw new Error("snapshot: there is no reference frame yet");
    return { rows: rows.copy(), intact, refined, about, versions: { ...versions }, bytes };
  }

  /** Go back (or ahead) to a reference frame that was kept. */
  restore(kept: Snapshot): void {
    const { intact, refined, about, versions } = kept;
    this.held.rows.assign(kept.rows);
    this.held = { rows: this.held.rows, intact, refined };
    this.about = about;
    this.versions = { ...versions };
    for (const group of GROUPS) this.floats.forget(group);
  }

  /**
   * Decode one frame.
   *
   * @param chunks all at hand of this frame, the base among them.
   * @param have versions that the receiver has; null if the frame is not to be shown.
   * @returns null if it is not to be shown.
   * @throws FvvError for damage, or a frame that refers to another than the reference at hand; the
   *   decoder then stays as it was.
   */
  decode(chunks: OpenChunk[], have: Versions | null): DecodedFrame | null {
    const layers = byLayer(chunks);
    const { flags, frame, refersTo, ticks } = layers.get(0)!.header;
    const [numerator, denominator] = this.header.timeBase;
    const about: About = {
      number: frame,
      time: (ticks * numerator) / denominator,
      isKey: (flags & REFERENCE) !== 0,
    };
    if (flags & INTRA) {
      this.intra(layers);
    } else if (refersTo !== this.reference) {
      throw new FvvError(`frame ${frame}: needs frame ${refersTo}, which is not at hand`);
    } else if (flags & REFERENCE) {
      this.advance(this.readDelta(layers), have !== null);
    } else {
      return have && { ...about, ...this.candidate(this.readDelta(layers), have) };
    }
    this.about = about;
    return have && { ...about, ...this.emit(have) };
  }

  /** The reference at hand once more, as `decode` gives it. */
  again(have: Versions): DecodedFrame {
    if (!this.about) throw new Error("again: there is no reference frame yet");
    return { ...this.about, ...this.emit(have) };
  }

  private newRows(): IntRows {
    return new IntRows(this.degree, this.refined);
  }

  private intra(layers: Map<number, OpenChunk>): void {
    const { spare, scratch } = this;
    const reader = new PlaneReader(layers.get(0)!.data);
    const count = reader.number();
    this.check(count);
    spare.reserve(count);
    readBase(reader, count, this.header.grid.quat, spare, 0, scratch);
    reader.finish();
    const above = (layer: number) => {
      const reader = new PlaneReader(layers.get(layer)!.data);
      if (reader.number() === count) return reader;
      throw new FvvError("payload: a layer of another number of Gaussians than the base");
    };
    let intact = 0;
    for (let d = 1; d <= this.degree && intact === d - 1 && layers.has(d); d++) {
      const reader = above(d);
      readHarmonics(reader, d, count, spare.sh[d - 1], 0, scratch);
      reader.finish();
      intact = d;
    }
    const refined = this.refined && intact === this.degree && layers.has(REFINEMENT_LAYER);
    if (refined) {
      const reader = above(REFINEMENT_LAYER);
      readResidues(reader, this.degree, count, spare, 0, scratch);
      reader.finish();
    }
    this.spare = this.held.rows;
    this.held = { rows: spare, intact, refined };
    for (const group of GROUPS) this.change(group);
  }

  private readDelta(layers: Map<number, OpenChunk>): Delta {
    const { held, spare, scratch, check } = this;
    const reader = new PlaneReader(layers.get(0)!.data);
    const base = readDelta(reader, held.rows, spare, this.header.grid.quat, check, scratch);
    const harmonics: HarmonicsDelta[] = [];
    for (let d = 1; d <= held.intact && harmonics.length === d - 1 && layers.has(d); d++) {
      const reader = new PlaneReader(layers.get(d)!.data);
      harmonics.push(readHarmonicsDelta(reader, d, base, spare, scratch));
    }
    const intact = harmonics.length;
    let refinement: RefinementDelta | null = null;
    if (held.refined && intact === this.degree && layers.has(REFINEMENT_LAYER)) {
      const reader = new PlaneReader(layers.get(REFINEMENT_LAYER)!.data);
      refinement = readRefinementDelta(reader, this.degree, base, spare, scratch);
    }
    return { base, harmonics, refinement, intact };
  }

  /** Rows of the frame: the reference's own, or a copy where rows come or go. */
  private target(base: BaseDelta): IntRows {
    const { held, spare } = this;
    if (base.sameRows) return held.rows;
    spare.gather(held.rows, base.runs ?? { pairs: Int32Array.of(0, base.kept), count: 1 });
    return spare;
  }

  /** Make a delta the reference; floats of one that is not shown are made when they are needed. */
  private advance(delta: Delta, shown: boolean): void {
    const { base, intact } = delta;
    const before = this.held;
    const rows = this.target(base);
    apply(rows, delta, 1);
    if (delta.refinement) {
      applyRefinement(rows, delta.refinement, base, delta.harmonics, this.scratch);
    }
    if (!base.sameRows) this.spare = before.rows;
    this.held = { rows, intact, refined: delta.refinement !== null };
    const toggled = before.refined !== this.held.refined;
    for (const group of GROUPS) {
      const lists = changedRows(group, delta);
      if (!base.sameRows || toggled || (group === "sh" && intact !== before.intact)) {
        this.change(group);
      } else if (lists.length) {
        if (!shown) this.floats.forget(group);
        this.versions[group] = ++this.newest;
        for (const list of lists) this.floats.update(group, this.held, list);
      }
    }
  }

  /** Show a delta and leave the reference as it is. */
  private candidate(delta: Delta, have: Versions): Omit<DecodedFrame, keyof About> {
    const { base, intact, refinement } = delta;
    const before = this.held;
    // By group: a copy of the reference's to write over, taken before anything is applied to it;
    // null if the receiver has it and nothing changes; none if all rows are to be made anew.
    const copies = new Map<Group, Partial<Arrays> | null>();
    for (const group of GROUPS) {
      const toggled = before.refined !== (refinement !== null);
      if (!base.sameRows || toggled || (group === "sh" && before.intact !== intact)) continue;
      const known = this.versions[group] === have[group] && !changedRows(group, delta).length;
      copies.set(group, known ? null : this.floats.copy(group, before));
    }
    const rows = this.target(base);
    apply(rows, delta, 1);
    if (refinement) applyRefinement(rows, refinement, base, delta.harmonics, this.scratch);
    try {
      const now: Held = { rows, intact, refined: refinement !== null };
      const made = this.filled(now, delta, copies);
      return { ...made, count: rows.count, shDegree: intact };
    } finally {
      if (base.sameRows) {
        if (refinement) undoRefinement(rows, refinement);
        apply(rows, delta, -1);
      }
    }
  }

  /** Arrays of a candidate: copies of the reference's brought up to date, or new ones. */
  private filled(
    now: Held,
    delta: Delta,
    copies: Map<Group, Partial<Arrays> | null>,
  ): Arrays & { versions: Versions } {
    const versions = { ...this.versions };
    const arrays: Arrays = { place: null, look: null, sh: null };
    for (const group of GROUPS) {
      const lists = changedRows(group, delta);
      const copy = copies.get(group);
      if (copy === undefined || lists.length) versions[group] = ++this.newest;
      if (copy === undefined) Object.assign(arrays, this.floats.fresh(group, now));
      else if (copy) Object.assign(arrays, this.floats.overwrite(group, copy, now, lists));
    }
    return { ...arrays, versions };
  }

  private emit(have: Versions): Omit<DecodedFrame, keyof About> {
    const { held, versions } = this;
    const arrays: Arrays = { place: null, look: null, sh: null };
    for (const group of GROUPS) {
      if (versions[group] !== have[group]) Object.assign(arrays, this.floats.copy(group, held));
    }
    return { ...arrays, versions: { ...versions }, count: held.rows.count, shDegree: held.intact };
  }

  private change(group: Group): void {
    this.versions[group] = ++this.newest;
    this.floats.forget(group);
  }
}

/** Write a delta into rows, or take it back with sign -1. */
function apply(rows: IntRows, { base, harmonics }: Delta, sign: 1 | -1): void {
  swapPlace(rows, base);
  addRows(rows.look, 7, base.changed, base.look, sign);
  for (const { degree, changed, differences } of harmonics) {
    addRows(rows.sh[degree - 1], 3 * (2 * degree + 1), changed, differences, sign);
  }
}

/** Rows of a group that a delta changes; lists may overlap. */
function changedRows(group: Group, { base, harmonics, refinement }: Delta): RowList[] {
  const finer = refinement ? refinement.changed : [];
  const lists =
    group === "place"
      ? [base.moved, ...finer.slice(0, 1)]
      : group === "look"
        ? [base.changed, ...finer.slice(1, 2)]
        : [...harmonics.map(({ changed }) => changed), ...finer.slice(2)];
  return lists.filter((list) => list.count > 0);
}

function byLayer(chunks: OpenChunk[]): Map<number, OpenChunk> {
  const layers = new Map<number, OpenChunk>();
  for (const chunk of chunks) {
    const { kind, layer } = chunk.header;
    if (kind === FRAME && !layers.has(layer)) layers.set(layer, chunk);
  }
  const base = layers.get(0)?.header;
  if (!base) throw new FvvError("frame: its base layer is missing");
  for (const { header } of layers.values()) {
    const { frame, refersTo, flags } = header;
    if (frame !== base.frame || refersTo !== base.refersTo || flags !== base.flags) {
      throw new FvvError(`frame ${base.frame}: layer ${header.layer} belongs to another frame`);
    }
  }
  return layers;
}
