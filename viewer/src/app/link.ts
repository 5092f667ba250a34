/** Links: what to play stands in the query, time and viewpoint behind the `#`. */

import { length, unit, type Vec3 } from "../render/camera.ts";
import type { Place } from "./viewpoint.ts";

/** Time and viewpoint of a link; absent parts are left as they are. */
export interface Moment {
  /** Seconds from the first frame. */
  time?: number;
  /** A capture camera's name. */
  camera?: string;
  mode?: "orbit" | "fly";
  place?: Place;
}

const DEGREE = Math.PI / 180;

/** `t=1.5&camera=cam03`, or `t=1.5&mode=orbit&at=x,y,z&to=x,y,z&fov=50`. */
export function formatMoment(moment: Moment): string {
  const parts: string[] = [];
  if (moment.time !== undefined) parts.push(`t=${short(moment.time, 3)}`);
  if (moment.camera !== undefined) {
    parts.push(`camera=${encodeURIComponent(moment.camera)}`);
  } else if (moment.place) {
    const { position, forward, distance, fov } = moment.place;
    const target = position.map((value, i) => value + forward[i]! * distance);
    parts.push(`mode=${moment.mode ?? "orbit"}`);
    parts.push(`at=${position.map((value) => short(value, 5)).join(",")}`);
    parts.push(`to=${target.map((value) => short(value, 5)).join(",")}`);
    parts.push(`fov=${short(fov / DEGREE, 2)}`);
  }
  return parts.join("&");
}

/** The moment of a link's fragment; parts that make no sense are left out. */
export function parseMoment(fragment: string): Moment {
  const words = new URLSearchParams(fragment.replace(/^#/, ""));
  const moment: Moment = {};
  const time = numberOf(words.get("t"));
  if (time !== null && time >= 0) moment.time = time;
  const camera = words.get("camera");
  if (camera) {
    moment.camera = camera;
    return moment;
  }
  const at = vectorOf(words.get("at"));
  const to = vectorOf(words.get("to"));
  const fov = numberOf(words.get("fov"));
  if (at && to && fov !== null && fov >= 1 && fov <= 160) {
    const arm: Vec3 = [to[0] - at[0], to[1] - at[1], to[2] - at[2]];
    const distance = length(arm);
    if (distance > 0) {
      moment.place = { position: at, forward: unit(arm), distance, fov: fov * DEGREE };
      moment.mode = words.get("mode") === "fly" ? "fly" : "orbit";
    }
  }
  return moment;
}

function short(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

function numberOf(word: string | null): number | null {
  const value = word === null || word.trim() === "" ? NaN : Number(word);
  return Number.isFinite(value) ? value : null;
}

function vectorOf(word: string | null): Vec3 | null {
  const values = (word ?? "").split(",").map(numberOf);
  if (values.length !== 3 || values.some((value) => value === null)) return null;
  return values as unknown as Vec3;
}
