/** Time: playing, seeking, stepping, looping, and following a live session. */

import type { FrameData } from "../fvv/types.ts";
import type { Screen, Stream } from "./stream.ts";

/** The clock may run this far ahead of the picture, seconds of the viewer's time; then it waits. */
const SLACK = 0.25;
const READ_AHEAD = 3; // seconds
const WAITING_AFTER = 0.15; // seconds without the frame asked for

export const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2, 4] as const;

export class Transport {
  playing = false;
  loop = true;
  speed = 1;
  /** Called when anything that controls show has changed. */
  onChange: () => void = () => undefined;
  onError: (error: Error) => void = () => undefined;
  readonly isLive: boolean;
  private following: boolean;
  private clock = 0; // seconds of the stream's own time
  private shown: FrameData | null = null;
  private pending: { frame: number; since: number; abort: AbortController } | null = null;
  private failed: number | null = null;
  private range: [number, number];
  private readAheadFrom = -1;
  private last = 0;
  private waiting = false;

  constructor(
    private readonly stream: Stream,
    private readonly screen: Screen,
  ) {
    const { frameCount, liveFrom } = stream.info;
    this.isLive = frameCount === null;
    this.following = this.isLive;
    const first = liveFrom ?? 0;
    this.range = [first, frameCount === null ? first : Math.max(0, frameCount - 1)];
    this.clock = this.timeOf(this.range[0]);
  }

  /** Whether each new live frame is shown as it comes. */
  get isFollowing(): boolean {
    return this.following;
  }

  /** Number of the frame on screen, or null before the first. */
  get frame(): number | null {
    return this.shown?.frame ?? null;
  }

  /** First and last frame that can be asked for now. */
  get frames(): readonly [number, number] {
    return this.range;
  }

  /** Seconds from the first frame; of the frame on screen while paused. */
  get time(): number {
    return Math.max(0, this.clock - this.origin);
  }

  /** Seconds from the first frame to the end of the last. */
  get duration(): number {
    const [, last] = this.range;
    return this.stream.info.duration ?? this.timeOf(last) - this.origin;
  }

  /** Whether the picture waits for bytes or for the decoder. */
  get isWaiting(): boolean {
    return this.waiting;
  }

  /** Whether the frame on screen is the one that the clock asks for. */
  get isArrived(): boolean {
    if (this.following) return this.shown !== null;
    return this.pending === null && this.frame !== null && this.frame === this.wanted();
  }

  play(): void {
    if (!this.following && !this.loop && this.atEnd()) this.clock = this.origin;
    this.playing = true;
    this.onChange();
  }

  /** Hold the picture; a live session is then behind, and `goLive` catches up. */
  pause(): void {
    this.playing = false;
    this.following = false;
    if (this.shown) this.clock = this.timeOf(this.shown.frame);
    this.onChange();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  /**
   * Go to a time, seconds from the first frame.
   *
   * @param patient let a frame that is under way come first, so that who drags sees pictures;
   *   otherwise it is given up.
   */
  seek(time: number, patient = false): void {
    this.following = false;
    this.clock = this.origin + Math.max(0, Math.min(this.duration, time));
    this.readAheadFrom = -1;
    this.failed = null;
    if (!patient && this.pending && this.pending.frame !== this.wanted()) {
      this.pending.abort.abort();
    }
    this.ask(this.last);
    this.onChange();
  }

  /** The same by number of the frame. */
  seekFrame(frame: number, patient = false): void {
    const [first, last] = this.range;
    const goal = Math.max(first, Math.min(last, frame));
    this.seek(this.timeOf(goal) - this.origin, patient);
  }

  /** Pause, and go some frames on or back. */
  step(frames: number): void {
    const from = this.playing ? (this.frame ?? this.wanted()) : this.wanted();
    this.pause();
    this.seekFrame(from + frames);
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    this.onChange();
  }

  /** Show the newest frame and every one that comes. */
  goLive(): void {
    if (!this.isLive) return;
    this.following = true;
    this.playing = true;
    this.stream.goLive();
    this.onChange();
  }

  /** A live frame has come. It is shown if the session is followed, else let go. */
  takeLive(frame: FrameData): void {
    const first = this.stream.info.liveFrom;
    if (first !== null && frame.frame < first) {
      this.stream.release(frame);
      return;
    }
    this.range = [this.range[0], Math.max(this.range[1], frame.frame)];
    if (!this.following) {
      this.stream.release(frame);
      this.onChange();
      return;
    }
    this.show(frame);
  }

  /** Live: the frames that can still be asked for. */
  setRange(first: number, last: number): void {
    const start = Math.max(first, this.stream.info.liveFrom ?? first);
    if (last < start || (start === this.range[0] && last === this.range[1])) return;
    this.range = [start, last];
    this.onChange();
  }

  /** Live: the session began anew; its frames are numbered from the start. */
  restart(): void {
    const first = this.stream.info.liveFrom;
    if (!this.isLive || first === null || first === this.range[0]) return;
    this.range = [first, first];
    this.shown = null;
    this.following = true;
    this.onChange();
  }

  /** Once per animation frame; `now` in seconds. */
  tick(now: number): void {
    const passed = Math.min(0.25, Math.max(0, now - this.last));
    this.last = now;
    if (this.following) return;
    if (this.playing) this.advance(passed);
    this.ask(now);
    const waiting = this.pending !== null && now - this.pending.since > WAITING_AFTER;
    if (waiting !== this.waiting) {
      this.waiting = waiting;
      this.onChange();
    }
  }

  private get origin(): number {
    return this.timeOf(this.isLive ? this.range[0] : 0);
  }

  private advance(passed: number): void {
    if (!this.shown) return;
    const onScreen = this.timeOf(this.shown.frame);
    const next = this.clock + passed * this.speed;
    // A seek backwards leaves the picture ahead of the clock: there is nothing to wait for then.
    this.clock = Math.min(next, Math.max(this.clock, onScreen + SLACK * this.speed));
    if (this.clock < this.end()) return;
    if (this.isLive) this.clock = this.end();
    else if (!this.loop) {
      this.clock = this.end();
      this.playing = false;
    } else this.clock = this.origin;
    this.onChange();
  }

  private ask(now: number): void {
    if (this.pending && !this.pending.abort.signal.aborted) return;
    const frame = this.wanted();
    if (frame === this.frame || frame === this.failed) return;
    const abort = new AbortController();
    const asked = { frame, since: now, abort };
    this.pending = asked;
    const arrived = (): boolean => {
      if (this.pending !== asked) return false;
      this.pending = null;
      return true;
    };
    this.stream.requestFrame(frame, abort.signal).then(
      (data) => {
        if (!arrived() || this.following) this.stream.release(data);
        else {
          this.show(data);
          this.readAhead(frame);
        }
      },
      (error: Error) => {
        if (!arrived()) return;
        this.failed = frame;
        this.onError(error);
      },
    );
  }

  private readAhead(frame: number): void {
    const count = Math.ceil(READ_AHEAD * this.stream.info.fps * Math.max(1, this.speed));
    if (frame < this.readAheadFrom + count / 3 && this.readAheadFrom >= 0) return;
    this.readAheadFrom = frame;
    this.stream.prefetch(frame + 1, this.playing ? count : 2);
  }

  private show(frame: FrameData): void {
    this.screen.setFrame(frame).then(
      (shown) => {
        if (!shown) return;
        this.shown = frame;
        if (this.following) this.clock = this.timeOf(frame.frame);
        this.onChange();
      },
      (error: Error) => this.onError(error),
    );
  }

  private wanted(): number {
    return frameAt(this.clock, this.range[0], this.range[1], (frame) => this.timeOf(frame));
  }

  private atEnd(): boolean {
    return this.clock >= this.end() - 1e-9 || this.wanted() === this.range[1];
  }

  private end(): number {
    return this.origin + this.duration;
  }

  private timeOf(frame: number): number {
    return this.stream.timeOf(frame);
  }
}

/** The newest frame of `first` to `last` whose time has come; times ascend. */
export function frameAt(
  time: number,
  first: number,
  last: number,
  timeOf: (frame: number) => number,
): number {
  let low = first;
  let high = last;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (timeOf(middle) <= time + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}
