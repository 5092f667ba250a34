/** What the tests of the decoder share: players over memory, and small streams made by hand. */

import { readFileSync, writeSync } from "node:fs";

import type { DecodedFrame } from "../../src/fvv/decoder.ts";
import { DEFAULT_LIMITS } from "../../src/fvv/errors.ts";
import { FilePlayer } from "../../src/fvv/file_player.ts";
import type { Versions } from "../../src/fvv/floats.ts";
import { type ByteSource, MemorySource } from "../../src/fvv/http.ts";
import { EVERY_LAYER, type PlayerEvents, type PlayerOptions } from "../../src/fvv/player.ts";
import type { StreamInfo, StreamStatus } from "../../src/fvv/types.ts";

export const OPTIONS: PlayerOptions = {
  maxLayer: EVERY_LAYER,
  cacheBytes: 2 ** 26,
  snapshotBytes: 2 ** 26,
  wholeFileBytes: 2 ** 26,
  fromStart: false,
  limits: DEFAULT_LIMITS,
};

/** Everything that a player told. */
export class Told implements PlayerEvents {
  infos: StreamInfo[] = [];
  statuses: StreamStatus[] = [];
  pairs: number[] = [];
  shown: { frame: number; decoded: DecodedFrame }[] = [];
  errors: string[] = [];

  info = (info: StreamInfo) => void this.infos.push(info);
  status = (status: StreamStatus) => void this.statuses.push(status);
  times = (pairs: number[]) => void this.pairs.push(...pairs);
  live = (shown: { frame: number; decoded: DecodedFrame }) => void this.shown.push(shown);
  error = (message: string) => void this.errors.push(message);
}

export interface WholeFrame {
  frame: number;
  number: number;
  time: number;
  isKey: boolean;
  count: number;
  shDegree: number;
  versions: Versions;
  centers: Float32Array;
  rotations: Float32Array;
  scales: Float32Array;
  opacities: Float32Array;
  colors: Float32Array;
  sh: Float32Array | null;
}

/** Keeps what was sent, as the page does, so that frames come out whole. */
export class Receiver {
  readonly have: Versions = { place: 0, look: 0, sh: 0 };
  private last: WholeFrame | null = null;

  whole(frame: number, decoded: DecodedFrame): WholeFrame {
    const { place, look, versions, sh, number, time, isKey, count, shDegree } = decoded;
    const { last } = this;
    const made: WholeFrame = {
      frame,
      number,
      time,
      isKey,
      count,
      shDegree,
      versions,
      centers: place?.centers ?? last!.centers,
      rotations: place?.rotations ?? last!.rotations,
      scales: look?.scales ?? last!.scales,
      opacities: look?.opacities ?? last!.opacities,
      colors: look?.colors ?? last!.colors,
      sh: last && last.versions.sh === versions.sh ? last.sh : sh,
    };
    this.last = made;
    return made;
  }
}

export class Viewing {
  readonly player: FilePlayer;
  readonly told: Told;
  private readonly receiver = new Receiver();

  private constructor(player: FilePlayer, told: Told) {
    this.player = player;
    this.told = told;
  }

  static async open(
    source: ByteSource | Uint8Array | string,
    options: Partial<PlayerOptions> = {},
  ): Promise<Viewing> {
    const data = typeof source === "string" ? new Uint8Array(readFileSync(source)) : source;
    const bytes = data instanceof Uint8Array ? new MemorySource(data) : data;
    const told = new Told();
    return new Viewing(await FilePlayer.from(bytes, { ...OPTIONS, ...options }, told), told);
  }

  async frame(frame: number): Promise<WholeFrame> {
    const shown = await this.player.frame(frame, this.receiver.have);
    return this.receiver.whole(frame, shown.decoded);
  }
}

const ARRAYS = ["centers", "rotations", "scales", "opacities", "colors", "sh"] as const;

/** Append a frame's arrays to a file; returns what else is known of it, and their lengths. */
export function writeFrame(file: number, whole: WholeFrame): object {
  const lengths = ARRAYS.map((name) => {
    const array = whole[name];
    if (array) writeSync(file, new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array?.length ?? 0;
  });
  const { frame, number, time, isKey, shDegree, versions, count } = whole;
  return { frame, number, time, isKey, shDegree, versions, count, lengths };
}
