/** The few WebGL2 helpers the renderer needs. */

export class GlError extends Error {}

/**
 * A program that is compiled in the background: asking for its state would wait for the compiler,
 * so nothing is asked before it is used.
 */
export class Program<Name extends string> {
  private readonly made: WebGLProgram;
  private locations: Record<Name, WebGLUniformLocation | null> | null = null;

  /**
   * @param names its uniforms.
   * @param samplers its textures `u_...`, which take units 0, 1, 2 ...
   * @throws GlError if the context is lost.
   */
  constructor(
    private readonly gl: WebGL2RenderingContext,
    vertex: string,
    fragment: string,
    private readonly names: readonly Name[],
    private readonly samplers: readonly string[] = [],
  ) {
    this.made = gl.createProgram();
    for (const [kind, source] of [
      [gl.VERTEX_SHADER, vertex],
      [gl.FRAGMENT_SHADER, fragment],
    ] as const) {
      const shader = gl.createShader(kind);
      if (!shader) throw new GlError("the graphics context is lost");
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.made, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(this.made);
  }

  /** Whether it can be used without waiting; true where the browser does not tell. */
  get isReady(): boolean {
    const { gl } = this;
    const told = gl.getExtension("KHR_parallel_shader_compile");
    return !told || gl.getProgramParameter(this.made, told.COMPLETION_STATUS_KHR) === true;
  }

  /**
   * Draw with it from now on.
   *
   * @returns locations of its uniforms by name.
   * @throws GlError if it does not compile.
   */
  use(): Record<Name, WebGLUniformLocation | null> {
    const { gl, made } = this;
    gl.useProgram(made);
    if (this.locations) return this.locations;
    this.check();
    const found = this.names.map((name) => [name, gl.getUniformLocation(made, name)]);
    this.locations = Object.fromEntries(found) as Record<Name, WebGLUniformLocation | null>;
    this.samplers.forEach((name, unit) => {
      gl.uniform1i(gl.getUniformLocation(made, `u_${name}`), unit);
    });
    return this.locations;
  }

  private check(): void {
    const { gl, made } = this;
    if (gl.getProgramParameter(made, gl.LINK_STATUS) || gl.isContextLost()) return;
    const shaders = gl.getAttachedShaders(made) ?? [];
    const logs = shaders.map((shader) => gl.getShaderInfoLog(shader)).join(" ");
    throw new GlError(`a shader does not compile: ${logs} ${gl.getProgramInfoLog(made)}`);
  }
}

export interface TexelFormat {
  internal: number;
  format: number;
  channels: 1 | 3 | 4;
}

/**
 * A texture that holds a flat array of texels, row after row, and takes from a new array only those
 * rows that differ from the one before.
 */
export class ArrayTexture {
  readonly texture: WebGLTexture;
  /** Bytes handed to the GPU by the last `upload`. */
  uploaded = 0;
  private rows = 0;
  private last: Float32Array | null = null;
  private version: number | null = null;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly kind: TexelFormat,
    private readonly width: number,
  ) {
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  /**
   * Bring the texture to `data`; nothing is done if `version` is the one it holds.
   *
   * `data` must stay as it is until the next upload: it is what the next one is compared with.
   *
   * @throws GlError if it needs more rows than the GPU has.
   */
  upload(data: Float32Array, version: number): void {
    this.uploaded = 0;
    if (this.version === version) return;
    const perRow = this.width * this.kind.channels;
    const rows = Math.max(1, Math.ceil(data.length / perRow));
    this.reserve(rows);
    const { gl, last } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    let from = 0;
    while (from < rows) {
      if (last && sameRow(last, data, from * perRow, perRow)) {
        from += 1;
        continue;
      }
      let to = from + 1;
      while (to < rows && !(last && sameRow(last, data, to * perRow, perRow))) to += 1;
      this.write(data, from, to, perRow);
      from = to;
    }
    this.last = data;
    this.version = version;
  }

  delete(): void {
    this.gl.deleteTexture(this.texture);
  }

  private write(data: Float32Array, from: number, to: number, perRow: number): void {
    const { gl, kind, width } = this;
    const whole = Math.min(to, Math.floor(data.length / perRow));
    const send = (y: number, w: number, h: number): void => {
      const start = y * perRow;
      const part = data.subarray(start, start + w * h * kind.channels);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, y, w, h, kind.format, gl.FLOAT, part);
      this.uploaded += part.byteLength;
    };
    if (whole > from) send(from, width, whole - from);
    const rest = (data.length - whole * perRow) / kind.channels;
    if (whole < to && rest > 0) send(whole, rest, 1);
  }

  private reserve(rows: number): void {
    if (rows <= this.rows) return;
    const { gl } = this;
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    if (rows > most) {
      throw new GlError("this frame has more Gaussians than the graphics processor can hold");
    }
    this.rows = Math.min(most, Math.ceil(rows * 1.25));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    const { internal, format } = this.kind;
    gl.texImage2D(
      gl.TEXTURE_2D, 0, internal, this.width, this.rows, 0, format, gl.FLOAT, null,
    );
    this.last = null;
  }
}

function sameRow(a: Float32Array, b: Float32Array, start: number, count: number): boolean {
  const end = Math.min(start + count, b.length);
  if (a.length < end) return false;
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return false;
  return true;
}
