/** Overlays: the box of the scene and the cameras of the rig, as lines. */

import type { StreamCamera } from "../fvv/types.ts";
import { add, axis, center, fromMatrix, scaled, type Vec3, type View } from "./camera.ts";
import { Program } from "./gl.ts";
import { LINE_FRAGMENT, LINE_VERTEX } from "./shaders.ts";
import { setView } from "./splats.ts";

const BOX_COLOR: Vec3 = [1, 0.72, 0.2];
const CAMERA_COLOR: Vec3 = [0.35, 0.75, 1];
const CHOSEN_COLOR: Vec3 = [1, 1, 1];

const UNIFORMS = ["u_rotation", "u_translation", "u_intrinsics", "u_size"] as const;

export interface Segment {
  from: Vec3;
  to: Vec3;
  color: Vec3;
}

/** The twelve edges of an axis-aligned box. */
export function boxSegments(min: Vec3, max: Vec3): Segment[] {
  const corner = (i: number): Vec3 => [
    i & 1 ? max[0] : min[0],
    i & 2 ? max[1] : min[1],
    i & 4 ? max[2] : min[2],
  ];
  const edges: Segment[] = [];
  for (let i = 0; i < 8; i++) {
    for (const bit of [1, 2, 4]) {
      if (!(i & bit)) edges.push({ from: corner(i), to: corner(i | bit), color: BOX_COLOR });
    }
  }
  return edges;
}

/** A pyramid for each camera: its centre and the four corners of its image, `size` units deep. */
export function cameraSegments(
  cameras: readonly StreamCamera[],
  size: number,
  chosen: string | null,
): Segment[] {
  return cameras.flatMap((camera) => {
    const { rotation, translation } = fromMatrix(camera.worldToCamera);
    const eye = center(rotation, translation);
    const color = camera.name === chosen ? CHOSEN_COLOR : CAMERA_COLOR;
    const at = (u: number, v: number): Vec3 => {
      const x = scaled(axis(rotation, 0), ((u - camera.cx) / camera.fx) * size);
      const y = scaled(axis(rotation, 1), ((v - camera.cy) / camera.fy) * size);
      return add(add(add(eye, x), y), scaled(axis(rotation, 2), size));
    };
    const { width, height } = camera;
    const corners = [at(0, 0), at(width, 0), at(width, height), at(0, height)];
    return corners.flatMap((from, i) => [
      { from, to: corners[(i + 1) % 4]!, color },
      { from: eye, to: from, color },
    ]);
  });
}

export class Lines {
  private program: Program<(typeof UNIFORMS)[number]> | null = null; // once there are any
  private readonly vertices: WebGLVertexArrayObject;
  private readonly buffer: WebGLBuffer;
  private count = 0;

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.vertices = gl.createVertexArray();
    this.buffer = gl.createBuffer();
    gl.bindVertexArray(this.vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    for (const [place, offset] of [[0, 0], [1, 12]] as const) {
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 24, offset);
    }
    gl.bindVertexArray(null);
  }

  set(segments: readonly Segment[]): void {
    const { gl } = this;
    const data = segments.flatMap(({ from, to, color }) => [...from, ...color, ...to, ...color]);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(data), gl.STATIC_DRAW);
    this.count = 2 * segments.length;
  }

  /** Draw over what is in the framebuffer that is bound. */
  draw(view: View): void {
    if (this.count === 0) return;
    const { gl } = this;
    this.program ??= new Program(gl, LINE_VERTEX, LINE_FRAGMENT, UNIFORMS);
    setView(gl, this.program.use(), view);
    gl.bindVertexArray(this.vertices);
    gl.drawArrays(gl.LINES, 0, this.count);
    gl.bindVertexArray(null);
  }
}
