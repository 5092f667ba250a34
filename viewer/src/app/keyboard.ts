/** Keys: commands once, movement for as long as they are held. */

import type { Viewpoint } from "./viewpoint.ts";

export type Command =
  | "toggle" | "back" | "ahead" | "previous" | "next" | "start" | "end" | "loop" | "slower"
  | "faster" | "live" | "fullscreen" | "nextCamera" | "previousCamera" | "orbit" | "fly" | "reset"
  | "cameras" | "box" | "real" | "link" | "picture" | "help" | "close";

/** Keys and what they do, in the order of the help. */
export const KEYS: readonly (readonly [keys: readonly string[], command: Command, text: string])[] = [
  [[" ", "k"], "toggle", "play or pause"],
  [["ArrowLeft"], "back", "one second back"],
  [["ArrowRight"], "ahead", "one second on"],
  [[","], "previous", "one frame back"],
  [["."], "next", "one frame on"],
  [["Home"], "start", "to the beginning"],
  [["End"], "end", "to the end"],
  [["l"], "loop", "play again and again"],
  [["["], "slower", "slower"],
  [["]"], "faster", "faster"],
  [["n"], "live", "go to live"],
  [["c"], "nextCamera", "next capture camera"],
  [["C"], "previousCamera", "previous capture camera"],
  [["o"], "orbit", "orbit"],
  [["g"], "fly", "fly"],
  [["r"], "reset", "first viewpoint"],
  [["v"], "cameras", "show cameras"],
  [["b"], "box", "show the box"],
  [["p"], "real", "show the real camera"],
  [["f"], "fullscreen", "full screen"],
  [["u"], "link", "copy a link to this moment"],
  [["x"], "picture", "save the picture"],
  [["h", "?"], "help", "this list"],
  [["Escape"], "close", "close what is open"],
];

/** Directions by physical key, so that they lie alike on every keyboard: right, up, ahead. */
const MOVES: Record<string, readonly [number, number, number]> = {
  KeyW: [0, 0, 1], KeyS: [0, 0, -1], KeyA: [-1, 0, 0], KeyD: [1, 0, 0],
  KeyE: [0, 1, 0], KeyQ: [0, -1, 0],
};
const SPEED = 0.6; // distances to the target a second
const FAST = 3; // with Shift

const COMMANDS = new Map(KEYS.flatMap(([keys, command]) => keys.map((key) => [key, command])));

export class Keyboard {
  private readonly held = new Set<string>();
  private fast = false;

  constructor(
    private readonly viewpoint: Viewpoint,
    private readonly run: (command: Command) => void,
  ) {
    window.addEventListener("keydown", (event) => this.down(event));
    window.addEventListener("keyup", (event) => {
      this.held.delete(event.code);
      this.fast = event.shiftKey;
    });
    window.addEventListener("blur", () => this.held.clear());
  }

  /** Move by what is held. @returns whether anything is. */
  tick(seconds: number): boolean {
    if (this.held.size === 0) return false;
    const step = SPEED * seconds * (this.fast ? FAST : 1);
    const sum = [0, 0, 0];
    for (const code of this.held) MOVES[code]!.forEach((value, i) => (sum[i]! += value * step));
    this.viewpoint.shift(sum[0]!, sum[1]!, sum[2]!);
    return true;
  }

  private down(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (belongsToControl(event)) return;
    this.fast = event.shiftKey;
    if (event.code in MOVES) {
      this.held.add(event.code);
      event.preventDefault();
      return;
    }
    const key = event.key.length === 1 && event.key !== "C" ? event.key.toLowerCase() : event.key;
    const command = COMMANDS.get(key);
    if (!command) return;
    event.preventDefault();
    this.run(command);
  }
}

/** Whether a control that has the focus uses this key itself. */
function belongsToControl(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLSelectElement) return event.key !== "Escape";
  if (target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement) {
    return event.key === " " || event.key === "Enter";
  }
  if (!(target instanceof HTMLInputElement)) return false;
  if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(event.key);
  return target.type !== "checkbox" || event.key === " ";
}
