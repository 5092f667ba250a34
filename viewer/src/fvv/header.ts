/** The stream's header, JSON in the first chunk; docs/fvv.md, section 3. */

import { HEAD, type OpenChunk } from "./chunks.ts";
import { FvvError, reasonOf } from "./errors.ts";
import type { StreamCamera } from "./types.ts";

export const MAX_DEGREE = 3;
const MOST_REFINED = 64;
const LARGEST_STEP = 1e6;
const LARGEST_ORIGIN = 1e12;

/** What one step of each integer is worth; docs/fvv.md, section 5. */
export interface Grid {
  origin: [number, number, number];
  position: number;
  quat: number;
  logScale: number;
  opacity: number;
  color: number;
  sh: [number, number, number];
}

export interface StreamHeader {
  grid: Grid;
  shDegree: 0 | 1 | 2 | 3;
  /** Seconds a tick: numerator / denominator. */
  timeBase: [number, number];
  bounds: { min: [number, number, number]; max: [number, number, number] };
  background: [number, number, number];
  cameras: StreamCamera[];
  /** Steps of the refinement layer in one of the grid; 1 without such a layer. */
  refine: number;
  extra: Record<string, unknown>;
}

type Json = Record<string, unknown>;

/**
 * Read the header chunk.
 *
 * @throws FvvError for another chunk, or values that cannot be used.
 */
export function readHeader(chunk: OpenChunk): StreamHeader {
  if (chunk.header.kind !== HEAD) throw new FvvError("The file's first chunk is not a header.");
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(chunk.data);
    return fromJson(object(JSON.parse(text), "header"));
  } catch (error) {
    if (error instanceof FvvError) throw error;
    throw new FvvError(`The file's header cannot be used (${reasonOf(error)}).`);
  }
}

function fromJson(value: Json): StreamHeader {
  const degree = whole(value["sh_degree"], "sh_degree", 0, MAX_DEGREE);
  const [numerator, denominator] = array(value["time_base"], "time_base", 2);
  const bounds = array(value["bounds"], "bounds", 2);
  const refine = value["refine"];
  return {
    grid: grid(object(value["grid"], "grid")),
    shDegree: degree as 0 | 1 | 2 | 3,
    timeBase: [
      whole(numerator, "time_base", 1, 2 ** 31 - 1),
      whole(denominator, "time_base", 1, 2 ** 31 - 1),
    ],
    bounds: { min: triple(bounds[0], "bounds"), max: triple(bounds[1], "bounds") },
    background: triple(value["background"] ?? [0, 0, 0], "background"),
    cameras: array(value["cameras"] ?? [], "cameras").map(camera),
    refine: refine == null ? 1 : whole(object(refine, "refine")["factor"], "refine.factor", 2, MOST_REFINED),
    extra: object(value["extra"] ?? {}, "extra"),
  };
}

function grid(value: Json): Grid {
  const made: Grid = {
    origin: triple(value["origin"], "grid.origin"),
    position: number(value["position"], "grid.position"),
    quat: whole(value["quat"], "grid.quat", 1, 32767),
    logScale: number(value["log_scale"], "grid.log_scale"),
    opacity: whole(value["opacity"], "grid.opacity", 1, 32767),
    color: number(value["color"], "grid.color"),
    sh: triple(value["sh"], "grid.sh"),
  };
  const steps = [made.position, made.logScale, made.color, ...made.sh];
  if (Math.min(...steps) <= 0 || Math.max(...steps) > LARGEST_STEP) {
    throw new FvvError("The file's header gives steps that are not within 0 and 1e6.");
  }
  if (made.origin.some((v) => Math.abs(v) > LARGEST_ORIGIN)) {
    throw new FvvError("The file's header gives an origin farther off than 1e12.");
  }
  return made;
}

function camera(value: unknown): StreamCamera {
  const entry = object(value, "camera");
  const rows = array(entry["world_to_camera"], "world_to_camera", 4);
  const of = (key: string) => number(entry[key], `camera ${key}`);
  return {
    name: String(entry["name"]),
    width: whole(entry["width"], "camera width", 1, 2 ** 31 - 1),
    height: whole(entry["height"], "camera height", 1, 2 ** 31 - 1),
    fx: of("fx"),
    fy: of("fy"),
    cx: of("cx"),
    cy: of("cy"),
    worldToCamera: rows.flatMap((row) =>
      array(row, "world_to_camera", 4).map((v) => number(v, "world_to_camera")),
    ),
  };
}

function wrong(name: string, right: string): FvvError {
  return new FvvError(`The file's header cannot be used: ${name} must be ${right}.`);
}

function object(value: unknown, name: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(name, "an object");
  }
  return value as Json;
}

function array(value: unknown, name: string, length?: number): unknown[] {
  if (Array.isArray(value) && (length === undefined || value.length === length)) return value;
  throw wrong(name, length === undefined ? "a list" : `a list of ${length}`);
}

function number(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw wrong(name, "a finite number");
}

function whole(value: unknown, name: string, least: number, most: number): number {
  const given = number(value, name);
  if (Number.isInteger(given) && given >= least && given <= most) return given;
  throw wrong(name, `a whole number from ${least} to ${most}`);
}

function triple(value: unknown, name: string): [number, number, number] {
  const [x, y, z] = array(value, name, 3).map((v) => number(v, name));
  return [x, y, z];
}
