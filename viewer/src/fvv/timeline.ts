/** Which frame is shown at which time: known for some frames, interpolated between them. */

export class Timeline {
  private readonly frames: number[] = []; // of which the time is known, ascending
  private readonly seconds: number[] = [];
  /** Frames a second where nothing is known. */
  fps: number;

  constructor(fps: number) {
    this.fps = fps;
  }

  /** Note when a frame is. A time that does not ascend with the frames is not believed. */
  learn(frame: number, time: number): void {
    const at = lowerBound(this.frames, frame);
    if (this.frames[at] === frame) return;
    const { seconds } = this;
    const fits = (at === 0 || seconds[at - 1] < time) && !(at < seconds.length && seconds[at] <= time);
    if (!fits || !Number.isFinite(time)) return;
    this.frames.splice(at, 0, frame);
    this.seconds.splice(at, 0, time);
  }

  /** Seconds at which a frame is shown. */
  timeOf(frame: number): number {
    return interpolate(this.frames, this.seconds, frame, 1 / this.fps);
  }

  /** The last frame that is shown at or before a time; may lie outside of the video. */
  frameAt(time: number): number {
    // Times are rounded to ticks: half a millisecond must not show the frame before.
    return Math.floor(interpolate(this.seconds, this.frames, time + 5e-4, this.fps));
  }
}

function interpolate(xs: number[], ys: number[], x: number, slope: number): number {
  if (!xs.length) return x * slope;
  const at = lowerBound(xs, x);
  if (xs[at] === x) return ys[at];
  if (at === 0) return ys[0] + (x - xs[0]) * slope;
  const [x0, y0] = [xs[at - 1], ys[at - 1]];
  if (at === xs.length) return y0 + (x - x0) * slope;
  return y0 + ((x - x0) * (ys[at] - y0)) / (xs[at] - x0);
}

/** The first place whose value is not below `value`. */
function lowerBound(values: number[], value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
