/** Pinhole cameras and the little linear algebra that they need. OpenCV axes: x right, y down, z forward. */

export type Vec3 = readonly [number, number, number];

/** A view to render. Pixel centres lie at +0.5; row 0 is the top. */
export interface View {
  /** Pixels. */
  width: number;
  height: number;
  fx: number;
  fy: number;
  cx: number;
  cy: number;
  /** Rotation of the world-to-camera transform, 9 numbers, row by row. */
  rotation: readonly number[];
  /** Translation of the world-to-camera transform, world units. */
  translation: Vec3;
}

export interface Intrinsics {
  width: number;
  height: number;
  fx: number;
  fy: number;
  cx: number;
  cy: number;
}

export const add = (a: Vec3, b: Vec3): Vec3 => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const subtract = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scaled = (a: Vec3, s: number): Vec3 => [a[0] * s, a[1] * s, a[2] * s];
export const dot = (a: Vec3, b: Vec3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a: Vec3): number => Math.hypot(a[0], a[1], a[2]);

export const cross = (a: Vec3, b: Vec3): Vec3 => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** Unit vector; `fallback` where the length is 0 or not finite. */
export function unit(a: Vec3, fallback: Vec3 = [0, 0, 1]): Vec3 {
  const size = length(a);
  return size > 1e-12 && Number.isFinite(size) ? scaled(a, 1 / size) : fallback;
}

/** Turn a vector about a unit axis by an angle in radians (Rodrigues). */
export function turned(a: Vec3, axis: Vec3, angle: number): Vec3 {
  const cosine = Math.cos(angle);
  const along = scaled(axis, dot(axis, a) * (1 - cosine));
  return add(add(scaled(a, cosine), scaled(cross(axis, a), Math.sin(angle))), along);
}

/** Row `i` of a rotation: the camera's right, down or forward axis in world axes. */
export function axis(rotation: readonly number[], i: 0 | 1 | 2): Vec3 {
  return [rotation[3 * i]!, rotation[3 * i + 1]!, rotation[3 * i + 2]!];
}

/** Centre of projection, world axes. */
export function center(rotation: readonly number[], t: Vec3): Vec3 {
  const column = (i: number): number =>
    -(rotation[i]! * t[0] + rotation[3 + i]! * t[1] + rotation[6 + i]! * t[2]);
  return [column(0), column(1), column(2)];
}

/** World point to camera axes. */
export function toCamera(rotation: readonly number[], t: Vec3, point: Vec3): Vec3 {
  return [
    dot(axis(rotation, 0), point) + t[0],
    dot(axis(rotation, 1), point) + t[1],
    dot(axis(rotation, 2), point) + t[2],
  ];
}

/** World-to-camera transform of a camera at `position` that looks along `forward`. */
export function lookAlong(
  position: Vec3,
  forward: Vec3,
  up: Vec3,
): { rotation: number[]; translation: Vec3 } {
  const z = unit(forward);
  const spare: Vec3 = Math.abs(z[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0];
  const x = unit(cross(z, up), unit(cross(z, spare)));
  const y = cross(z, x);
  return {
    rotation: [...x, ...y, ...z],
    translation: [-dot(x, position), -dot(y, position), -dot(z, position)],
  };
}

/** 4 x 4 world-to-camera matrix (row by row) as rotation and translation. */
export function fromMatrix(m: readonly number[]): { rotation: number[]; translation: Vec3 } {
  const rotation = [0, 1, 2, 4, 5, 6, 8, 9, 10].map((i) => m[i]!);
  return { rotation, translation: [m[3]!, m[7]!, m[11]!] };
}

/** Intrinsics whose whole image is seen, as large as fits, in the middle of `width` x `height`. */
export function fitted(camera: Intrinsics, width: number, height: number): Intrinsics {
  const scale = Math.min(width / camera.width, height / camera.height);
  return {
    width,
    height,
    fx: camera.fx * scale,
    fy: camera.fy * scale,
    cx: camera.cx * scale + (width - camera.width * scale) / 2,
    cy: camera.cy * scale + (height - camera.height * scale) / 2,
  };
}

/** Centred intrinsics with a vertical field of view in radians. */
export function fromFieldOfView(fovY: number, width: number, height: number): Intrinsics {
  const focal = height / (2 * Math.tan(fovY / 2));
  return { width, height, fx: focal, fy: focal, cx: width / 2, cy: height / 2 };
}

/**
 * Intrinsics of an OpenGL projection matrix (column by column, as WebXR gives it), which may be
 * off-centre, for a viewport of `width` x `height` pixels.
 */
export function fromProjection(p: ArrayLike<number>, width: number, height: number): Intrinsics {
  return {
    width,
    height,
    fx: (p[0]! * width) / 2,
    fy: (p[5]! * height) / 2,
    cx: ((1 - p[8]!) * width) / 2,
    cy: ((1 + p[9]!) * height) / 2,
  };
}
