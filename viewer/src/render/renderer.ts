/** One canvas that shows frames of Gaussians from any view. */

import type { FrameData } from "../fvv/types.ts";
import type { View } from "./camera.ts";
import { Lines, type Segment } from "./lines.ts";
import { Sorter } from "./sorter.ts";
import { Splats } from "./splats.ts";
import { Target } from "./target.ts";

export class NoWebGl extends Error {}

/** What the renderer tells its owner. */
export interface RendererEvents {
  /** There is something new to draw: call `draw` soon. */
  onChange(): void;
  /** The same, and it is a new frame. */
  onFrame(): void;
  /** The renderer has taken a frame's place by another and needs the old one no more. */
  onRelease(frame: FrameData): void;
  onError(error: Error): void;
}

interface Gpu {
  splats: Splats;
  lines: Lines;
  target: Target;
}

/** A part of a framebuffer: null is the canvas; lower left corner and size in pixels. */
export interface Output {
  framebuffer: WebGLFramebuffer | null;
  viewport: readonly [number, number, number, number];
}

const SILENT: RendererEvents = {
  onChange: () => undefined,
  onFrame: () => undefined,
  onRelease: () => undefined,
  onError: () => undefined,
};

/**
 * Frame and depth order change together: a frame that is shown waits for its order, so that no
 * picture is ever drawn in the order of another frame. When only the view changes, the old order is
 * drawn until the new one is there.
 */
export class Renderer {
  readonly gl: WebGL2RenderingContext;
  /** Variance of the low-pass on screen, square pixels; 0 shows what `igs.render.render` does. */
  kernel = 0;
  background: readonly number[] = [0, 0, 0];
  events = SILENT;
  /** Whether the processor does the graphics. */
  readonly isSlow: boolean;
  private gpu: Gpu | null = null;
  private readonly sorter: Sorter;
  private shown: FrameData | null = null;
  private next: { frame: FrameData; done: (shown: boolean) => void } | null = null;
  private view: View | null = null;
  private sortedFor: readonly number[] = [];
  private sortedVersion: number | null = null; // of the centres that the sorter holds
  private segments: readonly Segment[] = [];
  private idle: (() => void)[] = [];

  /** @throws NoWebGl if the browser offers no WebGL2. */
  constructor(
    readonly canvas: HTMLCanvasElement,
    sortScript: URL,
  ) {
    this.sorter = new Sorter(sortScript);
    const gl = canvas.getContext("webgl2", {
      alpha: false,
      antialias: false,
      depth: false,
      powerPreference: "high-performance",
      preserveDrawingBuffer: true, // pictures are saved and measured from the canvas
    });
    if (!gl) {
      this.sorter.close();
      throw new NoWebGl("this browser offers no WebGL2");
    }
    this.gl = gl;
    this.isSlow = isSoftware(gl);
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.gpu = null;
    });
    canvas.addEventListener("webglcontextrestored", () => this.restore());
  }

  /** The frame on screen. */
  get frame(): FrameData | null {
    return this.shown;
  }

  /** Whether blending is in floating point. */
  get isFloat(): boolean {
    return this.gpu?.target.isFloat ?? false;
  }

  get uploadedBytes(): number {
    return this.gpu?.splats.uploadedBytes ?? 0;
  }

  /** Look from elsewhere. */
  setView(view: View): void {
    this.view = view;
    this.pump();
    this.events.onChange();
  }

  /**
   * Show a frame as soon as it is sorted; a newer one takes the place of one that waits.
   *
   * @returns whether it came on screen.
   */
  setFrame(frame: FrameData): Promise<boolean> {
    this.dropNext();
    return new Promise((done) => {
      this.next = { frame, done };
      this.pump();
    });
  }

  /** Lines over the picture; none by default. */
  setSegments(segments: readonly Segment[]): void {
    this.segments = segments;
    this.gpu?.lines.set(segments);
    this.events.onChange();
  }

  /** Resolves once the picture's depth order is that of the newest view and frame. */
  settled(): Promise<void> {
    if (!this.sorter.busy && !this.next && !this.orderIsOld()) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /**
   * Draw the picture.
   *
   * @param view instead of the one set, such as one eye's; depth order is that of the one set.
   * @param scale pixels of the blended picture for each pixel of the output, at most 1.
   */
  draw(view = this.view, scale = 1, output?: Output): void {
    if (view) this.paint(view, scale, 1, output).next();
  }

  /**
   * The same in several parts, one with each step, so that a slow picture can be given up half way;
   * it comes to the output with the last. To give it up, do not go on.
   */
  *paint(view: View, scale: number, parts: number, output?: Output): Generator<void, void, void> {
    const { gpu } = this;
    if (!gpu || this.gl.isContextLost()) return;
    const { splats, lines, target } = gpu;
    const small = resized(view, scale);
    splats.prepare(small, this.kernel);
    target.begin(small.width, small.height);
    for (let i = 0; i < parts; i++) {
      if (i > 0) yield;
      if (gpu !== this.gpu) return;
      target.bind();
      splats.draw(small, i, parts);
    }
    const to = output ?? { framebuffer: null, viewport: [0, 0, view.width, view.height] as const };
    target.presentTo(to.framebuffer, to.viewport, this.background);
    lines.draw(view);
  }

  /**
   * Draw what is not seen as soon as the shaders are compiled, for what graphics drivers do at a first draw;
   * so the first frame need not wait for it.
   */
  async warmUp(view: View, scale: number): Promise<void> {
    // Where the compiler's state cannot be asked for, it is ready once the GPU comes to a fence.
    const { gl } = this;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    const isReady = (): boolean =>
      (!fence || gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED) &&
      this.gpu!.splats.isReady &&
      this.gpu!.target.isReady;
    do await new Promise((resolve) => requestAnimationFrame(resolve));
    while (this.gpu && !isReady());
    if (this.shown || !this.gpu) return;
    this.gpu.splats.setFrame(NOTHING);
    this.gpu.splats.setOrder(Uint32Array.of(0), 1);
    this.draw(view, scale);
    this.gl.flush();
  }

  /** RGBA bytes of the canvas, top row first. */
  pixels(): Uint8Array {
    const { gl } = this;
    const { width, height } = this.canvas;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const upside = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upside);
    const rows = new Uint8Array(upside.length);
    for (let y = 0; y < height; y++) {
      rows.set(upside.subarray(4 * width * (height - 1 - y), 4 * width * (height - y)), 4 * width * y);
    }
    return rows;
  }

  close(): void {
    this.dropNext();
    this.sorter.close();
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private build(): void {
    const { gl } = this;
    this.gpu = { splats: new Splats(gl), lines: new Lines(gl), target: new Target(gl) };
    this.gpu.lines.set(this.segments);
  }

  private restore(): void {
    try {
      this.build();
    } catch (error) {
      this.events.onError(error as Error);
      return;
    }
    if (this.shown) this.gpu?.splats.setFrame(this.shown);
    this.sortedFor = [];
    this.pump();
  }

  private dropNext(): void {
    const waiting = this.next;
    this.next = null;
    if (!waiting) return;
    waiting.done(false);
    if (waiting.frame !== this.shown) this.events.onRelease(waiting.frame);
  }

  private orderIsOld(): boolean {
    if (!this.view || !this.shown) return false;
    return sortKey(this.view).some((value, i) => value !== this.sortedFor[i]);
  }

  /** Start the next sort if there is a reason for one. */
  private pump(): void {
    if (this.sorter.busy || !this.view) return;
    const { next } = this;
    if (!next && !this.orderIsOld()) {
      for (const resolve of this.idle.splice(0)) resolve();
      return;
    }
    this.next = null;
    const key = sortKey(this.view);
    const isNew = next !== null && next.frame.placeVersion !== this.sortedVersion;
    const centers = isNew ? next.frame.centers : undefined;
    if (next) this.sortedVersion = next.frame.placeVersion;
    this.sorter.sort(key.slice(0, 3), key[3]!, centers).then(
      ({ order, count }) => {
        try {
          this.take(next?.frame ?? null, order, count);
          this.sortedFor = key;
          next?.done(true);
          this.events.onChange();
          if (next) this.events.onFrame();
        } catch (error) {
          next?.done(false);
          this.events.onError(error as Error);
        }
        this.pump();
      },
      (error: Error) => {
        next?.done(false);
        this.events.onError(error);
      },
    );
  }

  private take(frame: FrameData | null, order: Uint32Array, count: number): void {
    if (frame) {
      const before = this.shown;
      this.shown = frame;
      this.gpu?.splats.setFrame(frame);
      if (before && before !== frame) this.events.onRelease(before);
    }
    this.gpu?.splats.setOrder(order, count);
    this.sorter.recycle(order);
  }
}

/** One Gaussian, black over black: everything that draws comes to use, and nothing is seen. */
const NOTHING: FrameData = {
  frame: -1, number: -1, time: 0, count: 1, isKey: false,
  placeVersion: -1, lookVersion: -1, shVersion: -1,
  centers: Float32Array.of(0, 0, 1), rotations: Float32Array.of(1, 0, 0, 0),
  scales: new Float32Array(3).fill(0.01), opacities: Float32Array.of(0.5),
  colors: new Float32Array(3).fill(-2), shDegree: 3, sh: new Float32Array(45),
};

/** What a depth order depends on: direction and offset. */
function sortKey(view: View): number[] {
  return [...view.rotation.slice(6, 9), view.translation[2]];
}

/** Whether the graphics are computed by the processor. */
function isSoftware(gl: WebGL2RenderingContext): boolean {
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name = info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** The same view with fewer pixels. */
export function resized(view: View, scale: number): View {
  if (scale >= 1) return view;
  const width = Math.max(1, Math.round(view.width * scale));
  const height = Math.max(1, Math.round(view.height * scale));
  const [x, y] = [width / view.width, height / view.height];
  return {
    ...view, width, height,
    fx: view.fx * x, cx: view.cx * x, fy: view.fy * y, cy: view.cy * y,
  };
}
