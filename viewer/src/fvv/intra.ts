/** Rows by themselves: frames that need no other, and rows that are new; docs/fvv.md, section 6. */

import { FvvError } from "./errors.ts";
import type { PlaneReader, Scratch } from "./planes.ts";
import { type IntRows, LOOK, shComponents } from "./rows.ts";

const IN_ORDER = 0;
const MORTON = 1;

/**
 * Read the base attributes of `count` rows into `to`, from row `first` on.
 *
 * @throws FvvError if the payload does not hold that.
 */
export function readBase(
  reader: PlaneReader,
  count: number,
  gridQuat: number,
  to: IntRows,
  first: number,
  scratch: Scratch,
): void {
  readPositions(reader, count, to.position.subarray(3 * first), scratch);
  readQuats(reader, count, gridQuat, to.quat.subarray(4 * first), scratch);
  const look = to.look.subarray(LOOK * first);
  readComponents(reader, count, 4, look, LOOK, scratch);
  const [y, o, g] = readThree(reader, count, scratch);
  for (let i = 0, at = 4; i < count; i++, at += LOOK) {
    const green = short(g[i]);
    const middle = short(y[i]) - (green >> 1);
    const orange = short(o[i]);
    const blue = middle - (orange >> 1);
    look[at] = blue + orange;
    look[at + 1] = green + middle;
    look[at + 2] = blue;
  }
}

/** Read one SH degree of `count` rows into `to`, from row `first` on. */
export function readHarmonics(
  reader: PlaneReader,
  degree: number,
  count: number,
  to: Int16Array,
  first: number,
  scratch: Scratch,
): void {
  const width = shComponents(degree);
  readComponents(reader, count, width, to.subarray(width * first), width, scratch);
}

/** Read `components` runs of integers into the first columns of rows of `width`. */
export function readComponents(
  reader: PlaneReader,
  count: number,
  components: number,
  to: Int16Array,
  width: number,
  scratch: Scratch,
): void {
  const values = scratch.take("component", count);
  for (let c = 0; c < components; c++) {
    reader.ints(count, values);
    for (let i = 0, at = c; i < count; i++, at += width) to[at] = values[i];
  }
}

/** What w should be, from x y z in steps of 1 / scale. */
export function fourth(x: number, y: number, z: number, scale: number): number {
  return Math.floor(Math.sqrt(Math.max(scale * scale - x * x - y * y - z * z, 0)) + 0.5);
}

/** An integer as 16 bits hold it. */
export function short(value: number): number {
  return (value << 16) >> 16;
}

function readPositions(
  reader: PlaneReader,
  count: number,
  to: Int32Array,
  scratch: Scratch,
): void {
  const mode = reader.number();
  if (mode === MORTON) {
    const low = [reader.number() | 0, reader.number() | 0, reader.number() | 0];
    reader.morton(count, low as [number, number, number], to);
  } else if (mode === IN_ORDER) {
    const [x, y, z] = readThree(reader, count, scratch);
    for (let i = 0, at = 0; i < count; i++, at += 3) {
      to[at] = x[i];
      to[at + 1] = y[i];
      to[at + 2] = z[i];
    }
  } else {
    throw new FvvError(`payload: ${mode} is no kind of positions`);
  }
}

function readQuats(
  reader: PlaneReader,
  count: number,
  scale: number,
  to: Int16Array,
  scratch: Scratch,
): void {
  const [x, y, z] = readThree(reader, count, scratch);
  const rest = scratch.take("fourth", count);
  reader.ints(count, rest);
  for (let i = 0, at = 0; i < count; i++, at += 4) {
    to[at] = rest[i] + fourth(x[i], y[i], z[i], scale);
    to[at + 1] = x[i];
    to[at + 2] = y[i];
    to[at + 3] = z[i];
  }
}

function readThree(reader: PlaneReader, count: number, scratch: Scratch): Int32Array[] {
  return ["first", "second", "third"].map((name) => {
    const values = scratch.take(name, count);
    reader.ints(count, values);
    return values;
  });
}
