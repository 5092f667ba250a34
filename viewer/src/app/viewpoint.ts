/** Where the viewer stands: orbiting a point, flying, or in the place of a capture camera. */

import type { StreamCamera, StreamInfo } from "../fvv/types.ts";
import {
  add, axis, center, cross, dot, fitted, fromMatrix, length, lookAlong, scaled, subtract, turned,
  unit, type Vec3, type View,
} from "../render/camera.ts";

export type Mode = "orbit" | "fly" | "camera";

/** A free view as a link carries it. */
export interface Place {
  position: Vec3;
  forward: Vec3;
  /** World units from the position to the point that is orbited. */
  distance: number;
  /** Radians across the shorter side of the picture. */
  fov: number;
}

const STEEPEST = (89 * Math.PI) / 180;
const NARROWEST = (5 * Math.PI) / 180;
const WIDEST = (120 * Math.PI) / 180;
const DEFAULT_FOV = (50 * Math.PI) / 180;

export class Viewpoint {
  mode: Mode = "orbit";
  /** Called after every change. */
  onChange: () => void = () => undefined;
  /** Points up in pictures: the mean up axis of the cameras. */
  readonly up: Vec3;
  private readonly cameras: readonly StreamCamera[];
  private readonly start: Place;
  private place: Place;
  private chosen: StreamCamera | null = null;

  constructor(info: Pick<StreamInfo, "bounds" | "cameras">) {
    this.cameras = info.cameras;
    this.up = upOf(info.cameras);
    this.start = startOf(info);
    this.place = this.start;
  }

  /** Name of the capture camera that is looked through, or null. */
  get camera(): string | null {
    return this.mode === "camera" ? (this.chosen?.name ?? null) : null;
  }

  /** The free view; that of the capture camera while one is looked through. */
  get free(): Place {
    return this.place;
  }

  get target(): Vec3 {
    return add(this.place.position, scaled(this.place.forward, this.place.distance));
  }

  reset(): void {
    this.mode = "orbit";
    this.set(this.start);
  }

  setMode(mode: "orbit" | "fly"): void {
    this.mode = mode;
    this.onChange();
  }

  setFree(place: Place): void {
    if (this.mode === "camera") this.mode = "orbit";
    this.set(place);
  }

  /** Look through a capture camera. @returns whether there is one of that name. */
  setCamera(name: string): boolean {
    const found = this.cameras.find((camera) => camera.name === name);
    if (!found) return false;
    this.mode = "camera";
    this.chosen = found;
    const target = this.target;
    const place = placeOf(found, 1);
    const ahead = dot(subtract(target, place.position), place.forward);
    this.set({ ...place, distance: ahead > 0 ? ahead : this.start.distance });
    return true;
  }

  /** The camera `step` places after the present one, going round. */
  stepCamera(step: number): void {
    const n = this.cameras.length;
    if (n === 0) return;
    const now = this.cameras.findIndex((camera) => camera.name === this.camera);
    const next = now < 0 ? (step > 0 ? 0 : n - 1) : (now + step + n) % n;
    this.setCamera(this.cameras[next]!.name);
  }

  /**
   * Turn the view to the right and down, radians: about the target when orbiting (the scene follows
   * the hand), else on the spot.
   */
  turn(right: number, down: number): void {
    this.leaveCamera();
    const { position, forward, distance } = this.place;
    const target = this.target;
    const sideways = unit(cross(forward, this.up), [1, 0, 0]);
    const steepness = Math.asin(Math.max(-1, Math.min(1, dot(forward, this.up))));
    const goal = Math.max(-STEEPEST, Math.min(STEEPEST, steepness - down));
    const tilted = turned(forward, sideways, goal - steepness);
    const turnedForward = unit(turned(tilted, this.up, -right));
    const moved =
      this.mode === "orbit" ? subtract(target, scaled(turnedForward, distance)) : position;
    this.set({ ...this.place, forward: turnedForward, position: moved });
  }

  /** Shift by shares of the distance to the target: right, up, forward. */
  shift(right: number, upward: number, ahead: number): void {
    this.leaveCamera();
    const { position, forward, distance } = this.place;
    const { rotation } = lookAlong(position, forward, this.up);
    const step = add(
      add(scaled(axis(rotation, 0), right * distance), scaled(axis(rotation, 1), -upward * distance)),
      scaled(forward, ahead * distance),
    );
    this.set({ ...this.place, position: add(position, step) });
  }

  /** Come closer to the target (below 1) or go away from it; when flying, go ahead or back. */
  approach(factor: number): void {
    this.leaveCamera();
    if (this.mode === "fly") {
      this.shift(0, 0, 1 - factor);
      return;
    }
    const target = this.target;
    const nearest = this.start.distance * 1e-3;
    const farthest = this.start.distance * 1e3;
    const distance = Math.max(nearest, Math.min(farthest, this.place.distance * factor));
    const position = subtract(target, scaled(this.place.forward, distance));
    this.set({ ...this.place, distance, position });
  }

  zoom(factor: number): void {
    this.leaveCamera();
    const fov = Math.max(NARROWEST, Math.min(WIDEST, this.place.fov * factor));
    this.set({ ...this.place, fov });
  }

  /** The view for a picture of `width` x `height` pixels. */
  view(width: number, height: number): View {
    if (this.mode === "camera" && this.chosen) {
      return { ...fitted(this.chosen, width, height), ...fromMatrix(this.chosen.worldToCamera) };
    }
    const { position, forward, fov } = this.place;
    const focal = Math.min(width, height) / (2 * Math.tan(fov / 2));
    return {
      width, height, fx: focal, fy: focal, cx: width / 2, cy: height / 2,
      ...lookAlong(position, forward, this.up),
    };
  }

  private leaveCamera(): void {
    if (this.mode === "camera") this.mode = "orbit";
  }

  private set(place: Place): void {
    this.place = place;
    this.onChange();
  }
}

/** Mean up axis of cameras; against y where there are none, or they have none in common. */
export function upOf(cameras: readonly StreamCamera[]): Vec3 {
  const sum = cameras
    .map((camera) => scaled(axis(fromMatrix(camera.worldToCamera).rotation, 1), -1))
    .reduce<Vec3>(add, [0, 0, 0]);
  return length(sum) > 0.1 * cameras.length ? unit(sum) : [0, -1, 0];
}

/** Point nearest to all optical axes (least squares), or null where they do not meet in front. */
export function focusOf(cameras: readonly StreamCamera[]): Vec3 | null {
  const rays = cameras.map((camera) => {
    const { rotation, translation } = fromMatrix(camera.worldToCamera);
    return { eye: center(rotation, translation), forward: axis(rotation, 2) };
  });
  const m = [0, 0, 0, 0, 0, 0, 0, 0, 0];
  const v = [0, 0, 0];
  for (const { eye, forward } of rays) {
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) {
        const entry = (i === j ? 1 : 0) - forward[i]! * forward[j]!;
        m[3 * i + j]! += entry;
        v[i]! += entry * eye[j]!;
      }
    }
  }
  const point = solved(m, v as unknown as Vec3);
  if (!point) return null;
  const depths = rays.map(({ eye, forward }) => dot(subtract(point, eye), forward));
  const inFront = depths.filter((depth) => depth > 0).length;
  return 2 * inFront > depths.length ? point : null;
}

function solved(m: readonly number[], v: Vec3): Vec3 | null {
  const columns = [0, 1, 2].map((j) => [m[j]!, m[3 + j]!, m[6 + j]!] as Vec3);
  const [a, b, c] = columns as [Vec3, Vec3, Vec3];
  const determinant = dot(a, cross(b, c));
  const size = m[0]! + m[4]! + m[8]!;
  if (!(Math.abs(determinant) > 1e-6 * size ** 3)) return null;
  return [
    dot(v, cross(b, c)) / determinant,
    dot(a, cross(v, c)) / determinant,
    dot(a, cross(b, v)) / determinant,
  ];
}

function placeOf(camera: StreamCamera, distance: number): Place {
  const { rotation, translation } = fromMatrix(camera.worldToCamera);
  const focal = Math.min(camera.width / camera.fx, camera.height / camera.fy);
  return {
    position: center(rotation, translation),
    forward: axis(rotation, 2),
    distance,
    fov: 2 * Math.atan(focal / 2),
  };
}

/** The first camera's place, about the point that the cameras look at. */
function startOf(info: Pick<StreamInfo, "bounds" | "cameras">): Place {
  const { min, max } = info.bounds;
  const middle = scaled(add(min, max), 0.5);
  const radius = Math.max(1e-3, length(subtract(max, min)) / 2);
  const first = info.cameras[0];
  if (!first) {
    const forward: Vec3 = [0, 0, 1];
    const distance = (1.2 * radius) / Math.tan(DEFAULT_FOV / 2);
    const position = subtract(middle, scaled(forward, distance));
    return { position, forward, distance, fov: DEFAULT_FOV };
  }
  const focus = focusOf(info.cameras) ?? middle;
  const place = placeOf(first, 1);
  const ahead = dot(subtract(focus, place.position), place.forward);
  return { ...place, distance: ahead > 0 ? ahead : radius };
}
