/** Mouse, pen and touch on the picture. */

import type { Viewpoint } from "./viewpoint.ts";

const TURN = Math.PI; // radians for a drag across the shorter side
const WHEEL = 0.0012; // per pixel of scrolling

interface Finger {
  x: number;
  y: number;
}

/**
 * One finger or the left button turns; two fingers, the right or middle button, or Shift shift;
 * pinching and the wheel come closer; Ctrl with the wheel zooms; a double click starts again.
 */
export class PointerControl {
  private readonly fingers = new Map<number, Finger>();
  private shifting = false;

  constructor(
    private readonly canvas: HTMLElement,
    private readonly viewpoint: Viewpoint,
  ) {
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"] as const) {
      canvas.addEventListener(name, (event) => this.fingers.delete(event.pointerId));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => viewpoint.reset());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  private down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.shifting = event.button !== 0 || event.shiftKey;
  }

  private move(event: PointerEvent): void {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const others = [...this.fingers].filter(([id]) => id !== event.pointerId);
    this.fingers.set(event.pointerId, now);
    const size = Math.min(this.canvas.clientWidth, this.canvas.clientHeight) || 1;
    const [x, y] = [(now.x - before.x) / size, (now.y - before.y) / size];
    if (others.length === 0) {
      if (this.shifting) this.viewpoint.shift(-x, y, 0);
      else this.viewpoint.turn(x * TURN, y * TURN);
      return;
    }
    // Each finger moves the middle by half of its own way.
    const other = others[0]![1];
    this.viewpoint.shift(-x / 2, y / 2, 0);
    const span = (finger: Finger): number => Math.hypot(finger.x - other.x, finger.y - other.y);
    if (span(now) > 1 && span(before) > 1) this.viewpoint.approach(span(before) / span(now));
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const factor = Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * lines * WHEEL)));
    if (event.ctrlKey) this.viewpoint.zoom(factor);
    else this.viewpoint.approach(factor);
  }
}
