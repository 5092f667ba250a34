/** What the app asks of a stream; `StreamClient` fits, and so do the stand-ins of tests. */

import type { FrameData, StreamInfo, StreamStatus } from "../fvv/types.ts";

export interface Stream {
  readonly info: StreamInfo;
  /** Seconds at which a frame is shown. */
  timeOf(frame: number): number;
  /** @param signal another frame is wanted instead: rejects soon, unless the frame was done. */
  requestFrame(frame: number, signal?: AbortSignal): Promise<FrameData>;
  release(frame: FrameData): void;
  prefetch(from: number, count: number): void;
  setQuality(maxLayer: number): void;
  onLiveFrame(callback: (frame: FrameData) => void): void;
  onStatus(callback: (status: StreamStatus) => void): void;
  onInfo(callback: (info: StreamInfo) => void): void;
  onError(callback: (message: string) => void): void;
  goLive(): void;
  close(): void;
}

/** Where frames are shown. */
export interface Screen {
  /** @returns whether the frame came on screen; the screen releases it when it goes. */
  setFrame(frame: FrameData): Promise<boolean>;
}
