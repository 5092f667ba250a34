/** Bits per second over the last seconds. */

const WINDOW = 4000; // milliseconds

export class RateMeter {
  private readonly events: { at: number; bytes: number }[] = [];
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  add(bytes: number): void {
    const at = this.now();
    const last = this.events[this.events.length - 1];
    if (last && at - last.at < 100) last.bytes += bytes;
    else this.events.push({ at, bytes });
    this.trim(at);
  }

  get bitsPerSecond(): number {
    const now = this.now();
    this.trim(now);
    const bytes = this.events.reduce((sum, event) => sum + event.bytes, 0);
    return (8 * bytes) / (WINDOW / 1000);
  }

  private trim(now: number): void {
    while (this.events.length && now - this.events[0].at > WINDOW) this.events.shift();
  }
}
