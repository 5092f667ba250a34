/**
 * What the decoding half gives to the app and the renderer.
 *
 * Axes and units are those of the container (docs/fvv.md, docs/conventions.md): world axes of the
 * capture, camera axes x right, y down, z forward, pixel centres at +0.5, quaternions w x y z.
 */

/** A camera of the rig; `worldToCamera` is 4 x 4, row after row. */
export interface StreamCamera {
  name: string;
  width: number;
  height: number;
  fx: number;
  fy: number;
  cx: number;
  cy: number;
  worldToCamera: number[];
}

/** A layer of the stream; `setQuality(id)` asks for this one and all below. */
export interface StreamLayer {
  id: number;
  name: string;
  /** Mean over the file, or over the last seconds of a live session; 0 while unknown. */
  bytesPerSecond: number;
}

export interface StreamInfo {
  /** Major version of the container. */
  version: number;
  /** Mean frames per second; times of single frames may be uneven (see `StreamClient.timeOf`). */
  fps: number;
  /** Frames that can be asked for are 0 to `frameCount - 1`; null while live. */
  frameCount: number | null;
  /** Live only: the first frame that may be shown; null for files. */
  liveFrom: number | null;
  /** Seconds from the first frame to the end of the last; null while live. */
  duration: number | null;
  bounds: { min: [number, number, number]; max: [number, number, number] };
  /** RGB 0..1 that the Gaussians were optimised over. */
  background: [number, number, number];
  /** Of the stream; a frame may come with less (`FrameData.shDegree`). */
  shDegree: 0 | 1 | 2 | 3;
  cameras: StreamCamera[];
  layers: StreamLayer[];
  /** A sentence that says where the file is damaged or cut off, null if it is not. Grows while playing. */
  damage: string | null;
  /** What the writer left in the header, e.g. `session`. Not trusted, not interpreted. */
  extra: Record<string, unknown>;
}

/**
 * One decoded frame.
 *
 * Arrays are never null except `sh`. Two frames whose versions of a group are equal share the very
 * same arrays of that group: nothing needs to be uploaded again. Versions are never reused. Arrays
 * belong to the client: read them, do not write to them, and call `client.release(frame)` once you
 * no longer need them so that they are used again (without it they are left to the collector).
 */
export interface FrameData {
  /** What `requestFrame` was asked for: position in the file, counted from 0; live: the time step. */
  frame: number;
  /** Number of the time step in the container; differs from `frame` only in files with gaps. */
  number: number;
  /** Seconds. */
  time: number;
  /** Gaussians. */
  count: number;
  /** Whether later frames are predicted from this one. */
  isKey: boolean;

  /** Version of `centers` and `rotations`. */
  placeVersion: number;
  /** Version of `scales`, `opacities` and `colors`. */
  lookVersion: number;
  /** Version of `sh`. */
  shVersion: number;

  /** 3 * count, world units. */
  centers: Float32Array;
  /** 4 * count, w x y z, unit length; turn own axes into world axes. */
  rotations: Float32Array;
  /** 3 * count, standard deviations along the own axes, world units (after exp). */
  scales: Float32Array;
  /** count, 0..1. */
  opacities: Float32Array;
  /** 3 * count, coefficients of SH degree 0: colour = max(0, 0.5 + 0.28209479 * c + higher degrees). */
  colors: Float32Array;
  /** Degree that `sh` holds, 0 if it is null: less than the stream's at lower quality or after loss. */
  shDegree: 0 | 1 | 2 | 3;
  /**
   * Coefficients above degree 0: Gaussian i, coefficient k (1 .. K-1), colour c at
   * `sh[(i * (K - 1) + (k - 1)) * 3 + c]`, K = (shDegree + 1)^2. Order and signs of 3DGS: degree 1 is
   * (-y, z, -x). Colours are sRGB values, not linear light.
   */
  sh: Float32Array | null;
}

export type StreamState =
  | "opening"
  | "scanning" // a file without an index: frames are being looked for
  | "ready" // nothing under way
  | "loading" // waiting for bytes
  | "live" // following the newest frame
  | "behind" // live session, looking at earlier frames
  | "reconnecting"
  | "ended" // the live session is over
  | "closed";

export interface StreamStatus {
  state: StreamState;
  /** Bits per second received in the last seconds. */
  bitrate: number;
  /** Bits per second that the shown quality needs on average; 0 while unknown. */
  streamBitrate: number;
  /** Frames after the newest requested one whose bytes are here. */
  bufferedFrames: number;
  /** Frames that can be shown without loading: [first, last] of the run around the newest request, null if none. */
  buffered: [number, number] | null;
  /** Live frames that came and were not shown because decoding fell behind. */
  droppedFrames: number;
  /** Layers that arrive at present, the base included (the server lowers it for slow viewers). */
  layers: number;
  /** Live: the newest frame, null for files. */
  newestFrame: number | null;
  /** Live: state of each camera of the rig as the server reports it. */
  cameras: Record<string, string> | null;
  /** Live: seconds until the next attempt to reconnect, null otherwise. */
  retryIn: number | null;
}

/** Where a stream comes from: a file by URL, or a live session's WebSocket. */
export type StreamSource = { url: string } | { live: string };

export interface StreamOptions {
  /** Highest layer wanted at the start; default: all. */
  maxLayer?: number;
  /** Bytes of the file kept in memory; default 96 MiB. */
  cacheBytes?: number;
  /** Decoded reference states kept for scrubbing, bytes; default 128 MiB. */
  snapshotBytes?: number;
  /** A server without range requests: largest file that is loaded whole; default 512 MiB. */
  wholeFileBytes?: number;
  /**
   * Whether frame 0 of a file will be asked for first: it is then loaded while the file is being
   * opened, and decoded without being asked for.
   */
  fromStart?: boolean;
}
