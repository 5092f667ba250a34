/** The Gaussians of one frame on the GPU, and drawing them. */

import type { FrameData } from "../fvv/types.ts";
import { center, type View } from "./camera.ts";
import { ArrayTexture, Program } from "./gl.ts";
import { Projection } from "./projection.ts";
import {
  BATCH, COVER_VERTEX, PROJECT_FRAGMENT, ROW, SH_ROW, SPLAT_FRAGMENT, SPLAT_VERTEX,
} from "./shaders.ts";

const ARRAYS = ["centers", "rotations", "scales", "opacities", "colors", "sh"] as const;
const PROJECT_UNIFORMS = [
  "u_rotation", "u_translation", "u_intrinsics", "u_size", "u_eye", "u_limit", "u_kernel",
  "u_degree", "u_count",
] as const;
const SPLAT_UNIFORMS = ["u_size", "u_count", "u_first"] as const;

const GUARD = 1.3; // fields of view, as in the rasterizer

export class Splats {
  private readonly project: Program<(typeof PROJECT_UNIFORMS)[number]>;
  private readonly splat: Program<(typeof SPLAT_UNIFORMS)[number]>;
  private readonly projection: Projection;
  private readonly quads: WebGLVertexArrayObject;
  private readonly textures: Record<(typeof ARRAYS)[number], ArrayTexture>;
  private degree = 0;
  private drawn = 0;

  constructor(private readonly gl: WebGL2RenderingContext) {
    const samplers = [...ARRAYS, "order"];
    this.project = new Program(gl, COVER_VERTEX, PROJECT_FRAGMENT, PROJECT_UNIFORMS, samplers);
    const made = ["place", "look"];
    this.splat = new Program(gl, SPLAT_VERTEX, SPLAT_FRAGMENT, SPLAT_UNIFORMS, made);
    this.textures = makeTextures(gl);
    this.projection = new Projection(gl);
    this.quads = makeQuads(gl);
  }

  /** Whether drawing would not wait for the shader compiler. */
  get isReady(): boolean {
    return this.project.isReady && this.splat.isReady;
  }

  /** Bytes that the last frame sent to the GPU. */
  get uploadedBytes(): number {
    return Object.values(this.textures).reduce((sum, texture) => sum + texture.uploaded, 0);
  }

  /** Send what of a frame is new. Its arrays must stay untouched until the next frame is set. */
  setFrame(frame: FrameData): void {
    const { textures } = this;
    textures.centers.upload(frame.centers, frame.placeVersion);
    textures.rotations.upload(frame.rotations, frame.placeVersion);
    textures.scales.upload(frame.scales, frame.lookVersion);
    textures.opacities.upload(frame.opacities, frame.lookVersion);
    textures.colors.upload(frame.colors, frame.lookVersion);
    if (frame.sh && frame.shDegree > 0) textures.sh.upload(frame.sh, frame.shVersion);
    this.degree = frame.sh ? frame.shDegree : 0;
  }

  /** Indices in drawing order; the first `count` are drawn. */
  setOrder(order: Uint32Array, count: number): void {
    this.projection.setOrder(order, count);
    this.drawn = count;
  }

  /** First pass: ellipses and colours of all Gaussians in a view. Binds a framebuffer of its own. */
  prepare(view: View, kernel: number): void {
    const { gl } = this;
    if (this.drawn === 0) return;
    const at = this.project.use();
    bind(gl, [...ARRAYS.map((name) => this.textures[name].texture), this.projection.order]);
    setView(gl, at, view);
    gl.uniform3fv(at.u_eye, [...center(view.rotation, view.translation)]);
    const { width, height, fx, fy } = view;
    gl.uniform2f(at.u_limit, (GUARD * width) / (2 * fx), (GUARD * height) / (2 * fy));
    gl.uniform1f(at.u_kernel, kernel);
    gl.uniform1i(at.u_degree, this.degree);
    gl.uniform1i(at.u_count, this.drawn);
    gl.disable(gl.BLEND);
    gl.bindVertexArray(null);
    this.projection.begin(this.drawn);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * Second pass: into the framebuffer that is bound, premultiplied, back to front.
   *
   * @param part of `parts` that are drawn one after the other, the farthest first.
   */
  draw(view: View, part = 0, parts = 1): void {
    const { gl } = this;
    const batches = Math.ceil(this.drawn / BATCH);
    const [from, to] = [part, part + 1].map((i) => Math.round((i * batches) / parts)) as [number, number];
    if (from === to) return;
    const at = this.splat.use();
    bind(gl, [this.projection.place, this.projection.look]);
    gl.uniform2f(at.u_size, view.width, view.height);
    gl.uniform1i(at.u_count, this.drawn);
    gl.uniform1i(at.u_first, from);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.quads);
    const quads = Math.min(this.drawn, BATCH);
    gl.drawElementsInstanced(gl.TRIANGLES, 6 * quads, gl.UNSIGNED_SHORT, 0, to - from);
    gl.bindVertexArray(null);
    gl.disable(gl.BLEND);
  }
}

/** Bind textures to units 0, 1, 2 ... */
function bind(gl: WebGL2RenderingContext, textures: readonly WebGLTexture[]): void {
  textures.forEach((texture, unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
  });
  gl.activeTexture(gl.TEXTURE0);
}

function makeTextures(gl: WebGL2RenderingContext): Record<(typeof ARRAYS)[number], ArrayTexture> {
  const rgb = { internal: gl.RGB32F, format: gl.RGB, channels: 3 } as const;
  const rgba = { internal: gl.RGBA32F, format: gl.RGBA, channels: 4 } as const;
  const red = { internal: gl.R32F, format: gl.RED, channels: 1 } as const;
  const halves = { internal: gl.RGB16F, format: gl.RGB, channels: 3 } as const;
  return {
    centers: new ArrayTexture(gl, rgb, ROW),
    rotations: new ArrayTexture(gl, rgba, ROW),
    scales: new ArrayTexture(gl, rgb, ROW),
    opacities: new ArrayTexture(gl, red, ROW),
    colors: new ArrayTexture(gl, rgb, ROW),
    sh: new ArrayTexture(gl, halves, SH_ROW),
  };
}

/** Corners of a batch of quads, by index alone. */
function makeQuads(gl: WebGL2RenderingContext): WebGLVertexArrayObject {
  const made = gl.createVertexArray();
  const indices = new Uint16Array(6 * BATCH);
  for (let i = 0; i < BATCH; i++) {
    [0, 1, 2, 2, 1, 3].forEach((corner, j) => (indices[6 * i + j] = 4 * i + corner));
  }
  gl.bindVertexArray(made);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
  gl.bindVertexArray(null);
  return made;
}

type ViewUniforms = Record<
  "u_rotation" | "u_translation" | "u_intrinsics" | "u_size",
  WebGLUniformLocation | null
>;

/** Set the uniforms that describe a view; shared with the lines. */
export function setView(gl: WebGL2RenderingContext, at: ViewUniforms, view: View): void {
  gl.uniformMatrix3fv(at.u_rotation, true, [...view.rotation]);
  gl.uniform3f(at.u_translation, ...view.translation);
  gl.uniform4f(at.u_intrinsics, view.fx, view.fy, view.cx, view.cy);
  gl.uniform2f(at.u_size, view.width, view.height);
}
