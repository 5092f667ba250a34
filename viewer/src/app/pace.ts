/** How large to draw, and when: never a second picture before the first is done. */

const SLOW = 0.05; // seconds a picture: draw fewer pixels
const QUICK = 0.018; // seconds a picture: draw more
const LEAST = 0.25;
const QUICK_RUN = 10;
const STILL_AFTER = 0.25; // seconds without change; then the picture is drawn in full
const STILL_AFTER_IF_SLOW = 1;
const SLOW_IN_FULL = 0.2;
const PART = 0.06; // seconds that one part of a picture in full may take
const MOST_PARTS = 32;

/** Size of moving pictures from how long the last ones took. */
export class Pace {
  /** Pixels of a moving picture for each pixel of the canvas, along each axis. */
  scale: number;
  /** Seconds that the last picture took. */
  lastSeconds = 0;
  private inFull: number;
  private quick = 0;

  /** @param isSlow whether the graphics are known to be computed in software. */
  constructor(isSlow: boolean) {
    this.scale = isSlow ? LEAST : 1;
    this.inFull = isSlow ? Infinity : 0;
  }

  /** Seconds without change before the picture is drawn in full. */
  get stillAfter(): number {
    return this.inFull > SLOW_IN_FULL ? STILL_AFTER_IF_SLOW : STILL_AFTER;
  }

  /** Parts for a picture in full: between them it can be given up for something newer. */
  get parts(): number {
    return Math.min(MOST_PARTS, Math.max(1, Math.ceil(this.inFull / PART)));
  }

  /** Learn from a picture of some scale that took so many seconds. */
  took(seconds: number, scale: number): void {
    this.lastSeconds = seconds;
    this.inFull = seconds / scale ** 2;
    if (scale !== this.scale) return;
    if (seconds > SLOW) {
      this.quick = 0;
      this.scale = Math.max(LEAST, scale * Math.max(0.5, Math.sqrt(SLOW / seconds)));
    } else if (seconds < QUICK && scale < 1) {
      this.quick += 1;
      if (this.quick < QUICK_RUN) return;
      this.quick = 0;
      this.scale = Math.min(1, scale * 1.25);
    } else this.quick = 0;
  }
}

/** Tells when the GPU has done what it was given. */
export class Fence {
  private sync: WebGLSync | null = null;
  private since = 0;
  private done: (() => void)[] = [];

  constructor(private readonly gl: WebGL2RenderingContext) {
    // What was given to a context that is lost is never done.
    gl.canvas.addEventListener("webglcontextlost", () => this.finish());
  }

  /** Whether what was given is still under way. */
  get pending(): boolean {
    return this.sync !== null;
  }

  set(now: number): void {
    if (this.sync) this.gl.deleteSync(this.sync);
    this.sync = this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.gl.flush();
    this.since = now;
  }

  /** Once per animation frame. @returns seconds from `set`, once when all is done, else null. */
  poll(now: number): number | null {
    const { gl, sync } = this;
    if (!sync) return null;
    if (gl.getSyncParameter(sync, gl.SYNC_STATUS) !== gl.SIGNALED) return null;
    gl.deleteSync(sync);
    this.finish();
    return now - this.since;
  }

  wait(): Promise<void> {
    return this.sync ? new Promise((resolve) => this.done.push(resolve)) : Promise.resolve();
  }

  private finish(): void {
    this.sync = null;
    for (const resolve of this.done.splice(0)) resolve();
  }
}
