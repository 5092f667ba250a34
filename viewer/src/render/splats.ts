/** The Gaussians of one frame on the GPU, and drawing them. */

import type { FrameData } from "../fvv/types.ts";
import { center, type View } from "./camera.ts";
import { ArrayTexture, program, uniforms } from "./gl.ts";
import { ROW, SH_ROW, SPLAT_FRAGMENT, SPLAT_VERTEX } from "./shaders.ts";

const UNIFORMS = [
  "u_centers", "u_rotations", "u_scales", "u_opacities", "u_colors", "u_sh",
  "u_rotation", "u_translation", "u_eye", "u_intrinsics", "u_size", "u_limit",
  "u_kernel", "u_degree", "u_origin",
] as const;

const GUARD = 1.3; // fields of view, as in the rasterizer

export class Splats {
  private readonly program: WebGLProgram;
  private readonly at: Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;
  private readonly vertices: WebGLVertexArrayObject;
  private readonly orderBuffer: WebGLBuffer;
  private readonly textures: Record<
    "centers" | "rotations" | "scales" | "opacities" | "colors" | "sh",
    ArrayTexture
  >;
  private degree = 0;
  private drawn = 0;

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.program = program(gl, SPLAT_VERTEX, SPLAT_FRAGMENT);
    this.at = uniforms(gl, this.program, UNIFORMS);
    const rgb = { internal: gl.RGB32F, format: gl.RGB, channels: 3 } as const;
    const rgba = { internal: gl.RGBA32F, format: gl.RGBA, channels: 4 } as const;
    const red = { internal: gl.R32F, format: gl.RED, channels: 1 } as const;
    const halves = { internal: gl.RGB16F, format: gl.RGB, channels: 3 } as const;
    this.textures = {
      centers: new ArrayTexture(gl, rgb, ROW),
      rotations: new ArrayTexture(gl, rgba, ROW),
      scales: new ArrayTexture(gl, rgb, ROW),
      opacities: new ArrayTexture(gl, red, ROW),
      colors: new ArrayTexture(gl, rgb, ROW),
      sh: new ArrayTexture(gl, halves, SH_ROW),
    };
    this.vertices = gl.createVertexArray();
    this.orderBuffer = gl.createBuffer();
    gl.bindVertexArray(this.vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.orderBuffer);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.bindVertexArray(null);
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
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.orderBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, order.subarray(0, count), gl.DYNAMIC_DRAW);
    this.drawn = count;
  }

  /**
   * Draw into the framebuffer that is bound, premultiplied, back to front.
   *
   * @param origin lower left corner of the viewport, pixels.
   * @param kernel variance of the low-pass on screen, square pixels.
   */
  draw(view: View, kernel: number, origin: readonly [number, number] = [0, 0]): void {
    const { gl, at } = this;
    if (this.drawn === 0) return;
    gl.useProgram(this.program);
    Object.values(this.textures).forEach((texture, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture.texture);
    });
    gl.uniform1i(at.u_centers, 0);
    gl.uniform1i(at.u_rotations, 1);
    gl.uniform1i(at.u_scales, 2);
    gl.uniform1i(at.u_opacities, 3);
    gl.uniform1i(at.u_colors, 4);
    gl.uniform1i(at.u_sh, 5);
    setView(gl, at, view);
    gl.uniform3fv(at.u_eye, [...center(view.rotation, view.translation)]);
    const { width, height, fx, fy } = view;
    gl.uniform2f(at.u_limit, (GUARD * width) / (2 * fx), (GUARD * height) / (2 * fy));
    gl.uniform1f(at.u_kernel, kernel);
    gl.uniform1i(at.u_degree, this.degree);
    gl.uniform2f(at.u_origin, origin[0], origin[1]);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.vertices);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.drawn);
    gl.bindVertexArray(null);
    gl.disable(gl.BLEND);
  }
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
