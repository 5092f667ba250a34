/** Damage by chance, from a seed; and what must be true of a player whatever it is given. */

import { FvvError } from "../../src/fvv/errors.ts";
import { crc32 } from "../../src/fvv/crc32.ts";
import { MemorySource } from "../../src/fvv/http.ts";
import { OPTIONS, Viewing } from "./helpers.ts";

/** Small and well mixed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A copy with some bytes flipped, overwritten, cut off or repeated. */
export function spoil(data: Uint8Array, draw: () => number): Uint8Array {
  const made = data.slice();
  const at = () => Math.floor(draw() * made.length);
  const kind = draw();
  for (let i = 0; i <= draw() * 4; i++) {
    if (kind < 0.4) made[at()] ^= 1 << Math.floor(draw() * 8);
    else if (kind < 0.6) made.fill(draw() < 0.5 ? 0 : 255, at(), at());
    else if (kind < 0.8) made.copyWithin(at(), at(), at());
    else return made.subarray(0, at());
  }
  return made;
}

/**
 * The same damage inside payloads, with checksums that are right again, so that what reads payloads
 * is reached.
 */
export function spoilPayloads(data: Uint8Array, draw: () => number): Uint8Array {
  const made = data.slice();
  const view = new DataView(made.buffer);
  for (let at = 16; at + 40 <= made.length && made[at] === 0x46 && made[at + 3] === 0x63; ) {
    const stored = view.getUint32(at + 16, true);
    const end = Math.min(at + 40 + stored, made.length);
    const head = made[at + 4] === 0x48;
    if (draw() < (head ? 0.05 : 0.3)) {
      const edits = 1 + Math.floor(draw() * 3);
      for (let i = 0; i < edits; i++) {
        const span = draw() < 0.5 ? Math.min(24, stored) : stored; // lengths stand at the beginning
        made[at + 40 + Math.floor(draw() * span)] = Math.floor(draw() * 256);
      }
      view.setUint32(at + 32, crc32(made, at + 40, end), true);
      view.setUint32(at + 36, crc32(made, at, at + 36), true);
    }
    at = end;
  }
  return made;
}

const STATE_BYTES = 2 ** 22;
const CHUNK_BYTES = 2 ** 21;

/**
 * Open and play a file in a random order.
 *
 * @returns frames that were shown.
 * @throws anything but the errors that are meant for people; arrays of wrong lengths.
 */
export async function playAll(data: Uint8Array, draw: () => number): Promise<number> {
  const limits = { ...OPTIONS.limits, stateBytes: STATE_BYTES, chunkBytes: CHUNK_BYTES };
  let shown = 0;
  try {
    const viewing = await Viewing.open(new MemorySource(data), { limits });
    const count = viewing.player.info.frameCount ?? 0;
    for (let i = 0; i < Math.min(count, 12); i++) {
      const frame = draw() < 0.7 ? i : Math.floor(draw() * count);
      try {
        const whole = await viewing.frame(frame);
        check(whole.centers.length === 3 * whole.count, "centers");
        check(whole.rotations.length === 4 * whole.count, "rotations");
        check(whole.opacities.length === whole.count, "opacities");
        check(whole.centers.every(Number.isFinite), "finite centers");
        check(whole.scales.every(Number.isFinite), "finite scales");
        shown++;
      } catch (error) {
        if (!(error instanceof FvvError)) throw error;
      }
    }
  } catch (error) {
    if (!(error instanceof FvvError)) throw error;
  }
  return shown;
}

function check(right: boolean, what: string): void {
  if (!right) throw new Error(`a decoded frame has wrong ${what}`);
}
