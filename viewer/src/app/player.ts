/** The player without its controls: a stream, a renderer, a viewpoint, and the loop that joins them. */

import type { FrameData, StreamInfo } from "../fvv/types.ts";
import type { Vec3, View } from "../render/camera.ts";
import { boxSegments, cameraSegments, type Segment } from "../render/lines.ts";
import type { Renderer } from "../render/renderer.ts";
import { Keyboard, type Command } from "./keyboard.ts";
import type { Moment } from "./link.ts";
import { Fence, Pace } from "./pace.ts";
import { Pip, type PipParts } from "./pip.ts";
import { PointerControl } from "./pointer.ts";
import type { Stream } from "./stream.ts";
import { Transport } from "./transport.ts";
import { Viewpoint } from "./viewpoint.ts";
import { XrShow } from "./xr.ts";

const MOST_PIXELS_PER_POINT = 2;
const SOFT_KERNEL = 0.3; // square pixels

export interface PlayerEvents {
  /** Anything that controls show has changed. */
  onChange(): void;
  onCommand(command: Command): void;
  onError(message: string): void;
}

/** A picture on its way. */
interface Painting {
  steps: Generator<void, void, void>;
  scale: number;
  parts: number;
  /** That its parts took so far. */
  seconds: number;
  done: boolean;
}

export class Player {
  readonly viewpoint: Viewpoint;
  readonly transport: Transport;
  readonly pip: Pip;
  showsCameras = false;
  showsBox = false;
  private readonly keyboard: Keyboard;
  private readonly pace: Pace;
  private readonly fence: Fence;
  private dirty = true;
  private changedAt = 0;
  private drawnScale = 0;
  private painting: Painting | null = null;
  private fixedSize: readonly [number, number] | null = null;
  private xr: XrShow | null = null;
  private last = 0;
  private closed = false;

  /** @param renderer from now on the player's. */
  constructor(
    readonly stream: Stream,
    readonly renderer: Renderer,
    pip: PipParts,
    private readonly events: PlayerEvents,
  ) {
    const { canvas } = renderer;
    renderer.events = {
      onChange: () => this.touch(),
      onFrame: () => this.drawFrame(),
      onRelease: (frame) => stream.release(frame),
      onError: (error) => events.onError(error.message),
    };
    renderer.background = stream.info.background;
    this.pace = new Pace(renderer.isSlow);
    this.fence = new Fence(renderer.gl);
    this.viewpoint = new Viewpoint(stream.info);
    this.viewpoint.onChange = () => this.moved();
    this.transport = new Transport(stream, this.renderer);
    this.transport.onChange = () => events.onChange();
    this.transport.onError = (error) => events.onError(error.message);
    this.pip = new Pip(pip, stream.info.cameras);
    this.keyboard = new Keyboard(this.viewpoint, (command) => events.onCommand(command));
    new PointerControl(canvas, this.viewpoint);
    new ResizeObserver(() => this.moved()).observe(canvas);
    this.listen();
    this.moved();
    requestAnimationFrame((now) => this.loop(now / 1000));
  }

  get info(): StreamInfo {
    return this.stream.info;
  }

  /** Seconds that the last picture took to draw, and the size it was drawn at. */
  get drawing(): { seconds: number; scale: number } {
    return { seconds: this.pace.lastSeconds, scale: this.drawnScale };
  }

  /** Time and viewpoint, as a link carries them. */
  get moment(): Moment {
    const { camera, free, mode } = this.viewpoint;
    const moment: Moment = this.transport.isLive ? {} : { time: this.transport.time };
    if (camera !== null) return { ...moment, camera };
    return { ...moment, place: free, mode: mode === "fly" ? "fly" : "orbit" };
  }

  /** Go to what a link says; what it does not say stays. */
  apply(moment: Moment): void {
    if (moment.camera !== undefined) this.viewpoint.setCamera(moment.camera);
    else if (moment.place) {
      this.viewpoint.setFree(moment.place);
      this.viewpoint.setMode(moment.mode ?? "orbit");
    }
    if (moment.time !== undefined && !this.transport.isLive) this.transport.seek(moment.time);
    this.transport.tick(performance.now() / 1000);
  }

  setOverlays(cameras: boolean, box: boolean): void {
    this.showsCameras = cameras;
    this.showsBox = box;
    this.overlay();
    this.events.onChange();
  }

  /** Low-pass on screen, or exactly what the rasterizer shows. */
  setSoft(soft: boolean): void {
    this.renderer.kernel = soft ? SOFT_KERNEL : 0;
    this.touch();
  }

  get isSoft(): boolean {
    return this.renderer.kernel > 0;
  }

  /** Draw at this many pixels whatever the size on the page; null: as large as shown. */
  setSize(size: readonly [number, number] | null): void {
    this.fixedSize = size;
    this.moved();
  }

  /** Resolves once the frame that is asked for is on screen, in full, in the newest view. */
  async settled(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      if (!this.transport.isArrived || this.dirty || this.drawnScale < 1) continue;
      await this.renderer.settled();
      await this.fence.wait();
      if (!this.dirty && this.transport.isArrived) return;
    }
  }

  /** Resolves once anything is on screen. */
  async firstPicture(): Promise<void> {
    while (!this.renderer.frame || this.drawnScale === 0 || this.fence.pending) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }

  /** Resolves once a frame is on screen, at whatever size moving pictures have. */
  async shown(frame: number): Promise<void> {
    while (this.renderer.frame?.frame !== frame || this.dirty || this.fence.pending) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }

  /** RGBA of the picture as it should be, top row first, now and at full size. */
  async capture(): Promise<{ width: number; height: number; pixels: Uint8Array }> {
    await this.settled();
    const { width, height } = this.renderer.canvas;
    return { width, height, pixels: this.renderer.pixels() };
  }

  async enterXr(): Promise<void> {
    const tick = (now: number): void => this.transport.tick(now);
    this.xr = await XrShow.start(this.renderer, this.viewpoint, tick, () => this.transport.toggle());
    this.xr.session.addEventListener("end", () => {
      this.xr = null;
      this.moved();
    });
  }

  close(): void {
    this.closed = true;
    void this.xr?.end();
    this.stream.close();
    this.renderer.close();
  }

  private listen(): void {
    const { stream, transport } = this;
    stream.onLiveFrame((frame: FrameData) => transport.takeLive(frame));
    stream.onStatus((status) => {
      if (transport.isLive && status.buffered) transport.setRange(...status.buffered);
      this.events.onChange();
    });
    stream.onInfo(() => {
      transport.restart();
      this.events.onChange();
    });
    stream.onError((message) => this.events.onError(message));
  }

  private view(): View {
    return this.viewpoint.view(...(this.fixedSize ?? sizeOnScreen(this.renderer.canvas)));
  }

  private moved(): void {
    if (this.xr) return;
    this.renderer.setView(this.view());
    if (this.showsCameras) this.overlay();
    this.touch();
    this.events.onChange();
  }

  private touch(): void {
    this.dirty = true;
    this.changedAt = performance.now() / 1000;
  }

  private overlay(): void {
    const { cameras, bounds } = this.info;
    const segments: Segment[] = [];
    if (this.showsBox) segments.push(...boxSegments(bounds.min as Vec3, bounds.max as Vec3));
    if (this.showsCameras) {
      const others = cameras.filter((camera) => camera.name !== this.viewpoint.camera);
      segments.push(...cameraSegments(others, 0.08 * this.viewpoint.free.distance, null));
    }
    this.renderer.setSegments(segments);
  }

  private loop(now: number): void {
    if (this.closed) return;
    requestAnimationFrame((next) => this.loop(next / 1000));
    const passed = Math.min(0.1, now - this.last);
    this.last = now;
    if (this.xr) return;
    const took = this.fence.poll(now);
    if (took !== null) this.took(took, now);
    this.keyboard.tick(passed);
    this.transport.tick(now);
    if (!this.fence.pending) this.draw(now);
    const { transport, viewpoint } = this;
    const playing = transport.playing && !transport.isWaiting;
    this.pip.sync(viewpoint.camera, this.view(), transport.time, playing, transport.speed);
  }

  private took(seconds: number, now: number): void {
    const { painting } = this;
    if (!painting) return;
    painting.seconds += seconds;
    if (!painting.done) return;
    this.pace.took(painting.seconds, painting.scale);
    this.painting = null;
    this.changedAt = Math.max(this.changedAt, now);
  }

  /** A new frame: unless it plays, it need not wait for the next animation frame. */
  private drawFrame(): void {
    if (this.xr || this.closed || this.transport.playing || this.fence.pending) return;
    this.draw(performance.now() / 1000);
  }

  private draw(now: number): void {
    if (!this.renderer.frame || this.renderer.gl.isContextLost()) return;
    if (this.dirty) this.painting = null; // given up: it shows what was
    this.painting ??= this.begun(now);
    if (!this.painting) return;
    this.painting.done = this.painting.steps.next().done === true;
    this.fence.set(now);
    if (this.painting.done) this.drawnScale = this.painting.scale;
  }

  /** The next picture, if there is a reason for one. */
  private begun(now: number): Painting | null {
    // What is new is drawn quickly first; in full once nothing more has come for a while.
    const isStill = now - this.changedAt > this.pace.stillAfter && !this.transport.playing;
    if (!this.dirty && !(isStill && this.drawnScale < 1)) return null;
    const scale = this.dirty ? this.pace.scale : 1;
    const parts = this.dirty ? 1 : this.pace.parts;
    const view = this.view();
    const { canvas } = this.renderer;
    if (canvas.width !== view.width) canvas.width = view.width;
    if (canvas.height !== view.height) canvas.height = view.height;
    this.dirty = false;
    const steps = this.renderer.paint(view, scale, parts);
    return { steps, scale, parts, seconds: 0, done: false };
  }
}

/** Pixels of the canvas on the screen. */
export function sizeOnScreen({ clientWidth, clientHeight }: HTMLCanvasElement): [number, number] {
  const density = Math.min(devicePixelRatio || 1, MOST_PIXELS_PER_POINT);
  const pixels = (points: number): number => Math.max(1, Math.round(points * density));
  return [pixels(clientWidth), pixels(clientHeight)];
}
