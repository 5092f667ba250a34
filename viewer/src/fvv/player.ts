/** What files and live sessions have in common, as the worker sees them. */

import type { DecodedFrame } from "./decoder.ts";
import type { Limits } from "./errors.ts";
import type { Versions } from "./floats.ts";
import type { StreamHeader } from "./header.ts";
import { REFINEMENT_LAYER } from "./refine.ts";
import type { StreamInfo, StreamLayer, StreamStatus } from "./types.ts";

/** A frame by the position that it was asked for. */
export interface ShownFrame {
  frame: number;
  decoded: DecodedFrame;
}

export interface Player {
  readonly info: StreamInfo;
  readonly status: StreamStatus;
  /**
   * Decode a frame; calls are answered in order.
   *
   * @param have versions that whoever shows it has; brought up to date as frames are decoded.
   * @param signal gives the request up, with a rejection: another frame is wanted instead.
   */
  frame(frame: number, have: Versions, signal?: AbortSignal): Promise<ShownFrame>;
  prefetch(from: number, count: number): void;
  setQuality(maxLayer: number): void;
  goLive(): void;
  /** Buffers that are no longer needed. */
  give(buffers: ArrayBuffer[]): void;
  close(): void;
}

/** What a player tells without being asked. */
export interface PlayerEvents {
  info(info: StreamInfo): void;
  status(status: StreamStatus): void;
  /** Positions and seconds in turn. */
  times(pairs: number[]): void;
  /** A live frame, to be shown at once. */
  live(shown: ShownFrame): void;
  error(message: string): void;
}

/** Options with all defaults filled in. */
export interface PlayerOptions {
  maxLayer: number;
  cacheBytes: number;
  snapshotBytes: number;
  wholeFileBytes: number;
  fromStart: boolean;
  limits: Limits;
}

export const EVERY_LAYER = 255;

export const IDLE: StreamStatus = {
  state: "opening",
  bitrate: 0,
  streamBitrate: 0,
  bufferedFrames: 0,
  buffered: null,
  droppedFrames: 0,
  layers: 0,
  newestFrame: null,
  cameras: null,
  retryIn: null,
};

/** Identifiers and names of a stream's layers, base first. */
export function layersOf(header: StreamHeader, rate: (layer: number) => number): StreamLayer[] {
  const names: [number, string][] = [[0, "base"]];
  for (let d = 1; d <= header.shDegree; d++) names.push([d, `view-dependent colour, degree ${d}`]);
  if (header.refine > 1) names.push([REFINEMENT_LAYER, "finer steps"]);
  return names.map(([id, name]) => ({ id, name, bytesPerSecond: rate(id) }));
}

/** The part of `StreamInfo` that stands in the header. */
export function infoOf(header: StreamHeader, version: number): StreamInfo {
  return {
    version,
    fps: 30,
    frameCount: null,
    liveFrom: null,
    duration: null,
    bounds: header.bounds,
    background: header.background,
    shDegree: header.shDegree,
    cameras: header.cameras,
    layers: layersOf(header, () => 0),
    damage: null,
    extra: header.extra,
  };
}
