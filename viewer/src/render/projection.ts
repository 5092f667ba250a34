/** The order of drawing, and what the first pass leaves for the second: textures of a common shape. */

import { GlError } from "./gl.ts";
import { ROW } from "./shaders.ts";

export class Projection {
  readonly order: WebGLTexture;
  readonly place: WebGLTexture;
  readonly look: WebGLTexture;
  readonly framebuffer: WebGLFramebuffer;
  private room = 0; // rows

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.order = integerTexture(gl);
    this.place = integerTexture(gl);
    this.look = integerTexture(gl);
    this.framebuffer = gl.createFramebuffer();
  }

  /** Take the first `count` indices. @throws GlError if the GPU cannot hold as many. */
  setOrder(order: Uint32Array, count: number): void {
    const { gl } = this;
    const rows = Math.ceil(count / ROW);
    this.reserve(rows);
    gl.bindTexture(gl.TEXTURE_2D, this.order);
    const send = (y: number, width: number, height: number): void => {
      const part = order.subarray(y * ROW, y * ROW + width * height);
      gl.texSubImage2D(
        gl.TEXTURE_2D, 0, 0, y, width, height, gl.RED_INTEGER, gl.UNSIGNED_INT, part,
      );
    };
    const whole = Math.floor(count / ROW);
    if (whole > 0) send(0, ROW, whole);
    if (count > whole * ROW) send(whole, count - whole * ROW, 1);
  }

  /** Draw into `place` and `look` from now on. */
  begin(count: number): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.viewport(0, 0, ROW, Math.ceil(count / ROW));
  }

  private reserve(rows: number): void {
    if (rows <= this.room) return;
    const { gl } = this;
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    if (rows > most) {
      throw new GlError("this frame has more Gaussians than the graphics processor can hold");
    }
    this.room = Math.min(most, Math.ceil(rows * 1.25));
    const allocate = (texture: WebGLTexture, internal: number, format: number): void => {
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(
        gl.TEXTURE_2D, 0, internal, ROW, this.room, 0, format, gl.UNSIGNED_INT, null,
      );
    };
    allocate(this.order, gl.R32UI, gl.RED_INTEGER);
    allocate(this.place, gl.RGBA32UI, gl.RGBA_INTEGER);
    allocate(this.look, gl.RGBA32UI, gl.RGBA_INTEGER);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    [this.place, this.look].forEach((texture, i) => {
      const attachment = gl.COLOR_ATTACHMENT0 + i;
      gl.framebufferTexture2D(gl.FRAMEBUFFER, attachment, gl.TEXTURE_2D, texture, 0);
    });
    gl.drawBuffers([gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1]);
  }
}

function integerTexture(gl: WebGL2RenderingContext): WebGLTexture {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return made;
}
