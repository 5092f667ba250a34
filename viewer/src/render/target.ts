/** Where the splats are blended before the picture goes to the canvas. */

import { COVER_VERTEX, PRESENT_FRAGMENT } from "./shaders.ts";
import { Program } from "./gl.ts";

/**
 * A floating-point picture (8 bits where the GPU cannot blend halves): hundreds of layers of 8 bits
 * each would round the picture away. It may be smaller than the canvas and is then enlarged.
 */
export class Target {
  readonly framebuffer: WebGLFramebuffer;
  readonly isFloat: boolean;
  private readonly texture: WebGLTexture;
  private readonly present: Program<"u_background">;
  private width = 0;
  private height = 0;

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.isFloat =
      gl.getExtension("EXT_color_buffer_float") !== null ||
      gl.getExtension("EXT_color_buffer_half_float") !== null;
    this.framebuffer = gl.createFramebuffer();
    this.texture = gl.createTexture();
    this.present = new Program(gl, COVER_VERTEX, PRESENT_FRAGMENT, ["u_background"], ["picture"]);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const [name, value] of [
      [gl.TEXTURE_MIN_FILTER, gl.LINEAR],
      [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
    ] as const) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
  }

  /** Make it `width` x `height` pixels and clear it. */
  begin(width: number, height: number): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    if (width !== this.width || height !== this.height) this.resize(width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** Draw into it from now on. */
  bind(): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.viewport(0, 0, this.width, this.height);
  }

  /** Whether presenting would not wait for the shader compiler. */
  get isReady(): boolean {
    return this.present.isReady;
  }

  /** Put the picture over the background into a part of another framebuffer (null: the canvas). */
  presentTo(
    framebuffer: WebGLFramebuffer | null,
    viewport: readonly [number, number, number, number],
    background: readonly number[],
  ): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.viewport(...viewport);
    gl.disable(gl.BLEND);
    const at = this.present.use();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.uniform3f(at.u_background, background[0] ?? 0, background[1] ?? 0, background[2] ?? 0);
    gl.bindVertexArray(null);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private resize(width: number, height: number): void {
    const { gl } = this;
    this.width = width;
    this.height = height;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    if (this.isFloat) {
      gl.texImage2D(
        gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, null,
      );
    } else {
      gl.texImage2D(
        gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null,
      );
    }
    gl.framebufferTexture2D(
      gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0,
    );
  }
}
