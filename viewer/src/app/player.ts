/** The player without its controls: a stream, a renderer, a viewpoint, and the loop that joins them. */

import type { FrameData, StreamInfo } from "../fvv/types.ts";
import type { Vec3, View } from "../render/camera.ts";
import { boxSegments, cameraSegments, type Segment } from "../render/lines.ts";
import { Renderer } from "../render/renderer.ts";
import { Keyboard, type Command } from "./keyboard.ts";
import type { Moment } from "./link.ts";
import { Fence, isSoftware, Pace } from "./pace.ts";
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

export class Player {
  readonly renderer: Renderer;
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
  private fixedSize: readonly [number, number] | null = null;
  private xr: XrShow | null = null;
  private last = 0;
  private closed = false;

  /** @throws NoWebGl, GlError if the browser cannot draw. */
  constructor(
    readonly stream: Stream,
    private readonly canvas: HTMLCanvasElement,
    pip: PipParts,
    videos: Record<string, string>,
    private readonly events: PlayerEvents,
    sortScript: URL,
  ) {
    this.renderer = new Renderer(
      canvas,
      {
        onChange: () => this.touch(),
        onRelease: (frame) => stream.release(frame),
        onError: (error) => events.onError(error.message),
      },
      sortScript,
    );
    this.renderer.background = stream.info.background;
    this.pace = new Pace(isSoftware(this.renderer.gl));
    this.fence = new Fence(this.renderer.gl);
    this.viewpoint = new Viewpoint(stream.info);
    this.viewpoint.onChange = () => this.moved();
    this.transport = new Transport(stream, this.renderer);
    this.transport.onChange = () => events.onChange();
    this.transport.onError = (error) => events.onError(error.message);
    this.pip = new Pip(pip, videos, stream.info.cameras);
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
    const { width, height } = this.canvas;
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
    const [width, height] = this.fixedSize ?? [
      this.canvas.clientWidth * Math.min(devicePixelRatio || 1, MOST_PIXELS_PER_POINT),
      this.canvas.clientHeight * Math.min(devicePixelRatio || 1, MOST_PIXELS_PER_POINT),
    ];
    return this.viewpoint.view(Math.max(1, Math.round(width)), Math.max(1, Math.round(height)));
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
    if (took !== null) {
      this.pace.took(took, this.drawnScale);
      this.changedAt = Math.max(this.changedAt, now);
    }
    this.keyboard.tick(passed);
    this.transport.tick(now);
    if (!this.fence.pending) this.draw(now);
    const { transport, viewpoint } = this;
    const playing = transport.playing && !transport.isWaiting;
    this.pip.sync(viewpoint.camera, this.view(), transport.time, playing, transport.speed);
  }

  private draw(now: number): void {
    // What is new is drawn quickly first; in full once nothing more has come for a while.
    const isStill = now - this.changedAt > this.pace.stillAfter && !this.transport.playing;
    if (!this.dirty && !(isStill && this.drawnScale < 1)) return;
    const scale = this.dirty ? this.pace.scale : 1;
    const view = this.view();
    if (this.canvas.width !== view.width) this.canvas.width = view.width;
    if (this.canvas.height !== view.height) this.canvas.height = view.height;
    this.renderer.draw(view, scale);
    if (!this.renderer.frame || this.renderer.gl.isContextLost()) return;
    this.fence.set(now);
    this.drawnScale = scale;
    this.dirty = false;
  }
}
