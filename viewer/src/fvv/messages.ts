/** What page and worker tell each other. */

import type { Versions } from "./floats.ts";
import type { StreamInfo, StreamOptions, StreamSource, StreamStatus } from "./types.ts";

/** Identifier of a request that need not be made: frame 0 of a file opened with `fromStart`. */
export const FIRST_FRAME = 0;

export type ToWorker =
  | { type: "open"; source: StreamSource; options: StreamOptions }
  | { type: "frame"; id: number; frame: number }
  /** Nobody waits for this request any more; it is answered all the same. */
  | { type: "cancel"; id: number }
  | { type: "prefetch"; from: number; count: number }
  | { type: "quality"; maxLayer: number }
  | { type: "live" }
  | { type: "give"; buffers: ArrayBuffer[] }
  | { type: "close" };

/** A frame on its way: groups of the versions that were sent last are null. */
export interface WireFrame {
  frame: number;
  number: number;
  time: number;
  count: number;
  isKey: boolean;
  shDegree: number;
  versions: Versions;
  place: { centers: Float32Array; rotations: Float32Array } | null;
  look: { scales: Float32Array; opacities: Float32Array; colors: Float32Array } | null;
  sh: Float32Array | null;
}

export type FromWorker =
  | { type: "opened"; info: StreamInfo }
  | { type: "info"; info: StreamInfo }
  | { type: "status"; status: StreamStatus }
  | { type: "times"; pairs: number[] }
  /** `id` of the request; null for a live frame that nobody asked for. */
  | { type: "frame"; id: number | null; frame: WireFrame }
  | { type: "refused"; id: number; message: string }
  | { type: "error"; message: string };
