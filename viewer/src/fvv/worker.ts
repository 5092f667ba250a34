/** The worker: loads and decodes one stream, and hands frames to the page without copying. */

import { prepareCodecs } from "./codecs.ts";
import { DEFAULT_LIMITS, reasonOf } from "./errors.ts";
import { FilePlayer } from "./file_player.ts";
import type { Versions } from "./floats.ts";
import { LivePlayer } from "./live_player.ts";
import { FIRST_FRAME, type FromWorker, type ToWorker, type WireFrame } from "./messages.ts";
import { EVERY_LAYER, IDLE, type Player, type PlayerEvents, type PlayerOptions, type ShownFrame } from "./player.ts";
import type { StreamOptions, StreamSource } from "./types.ts";

const STATUS_EVERY = 500; // milliseconds

// Compiled while the stream is being opened, who waits for it then hears what is wrong.
prepareCodecs().catch(() => undefined);

const DEFAULTS: Omit<PlayerOptions, "limits"> = {
  maxLayer: EVERY_LAYER,
  cacheBytes: 96 * 2 ** 20,
  snapshotBytes: 128 * 2 ** 20,
  wholeFileBytes: 512 * 2 ** 20,
  fromStart: false,
};

interface Scope {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  close(): void;
}

const scope = self as unknown as Scope;
const have: Versions = { place: 0, look: 0, sh: 0 };
const asked = new Map<number, AbortController>();
let player: Player | null = null;

const events: PlayerEvents = {
  info: (info) => player && scope.postMessage({ type: "info", info }),
  status: (status) => scope.postMessage({ type: "status", status }),
  times: (pairs) => scope.postMessage({ type: "times", pairs }),
  live: (shown) => send(null, shown),
  error: (message) => scope.postMessage({ type: "error", message }),
};

function send(id: number | null, { frame, decoded }: ShownFrame): void {
  const wire: WireFrame = { ...decoded, frame };
  const { place, look, sh } = wire;
  const arrays = [...Object.values(place ?? {}), ...Object.values(look ?? {}), ...(sh ? [sh] : [])];
  const transfer = (arrays as Float32Array<ArrayBuffer>[]).map((array) => array.buffer);
  scope.postMessage({ type: "frame", id, frame: wire }, transfer);
}

async function open(source: StreamSource, given: Partial<StreamOptions>): Promise<void> {
  const options: PlayerOptions = { ...DEFAULTS, ...given, limits: DEFAULT_LIMITS };
  try {
    player =
      "url" in source
        ? await FilePlayer.open(source.url, options, events)
        : await LivePlayer.open(source.live, options, events, have);
  } catch (error) {
    scope.postMessage({ type: "status", status: { ...IDLE, state: "closed" } });
    scope.postMessage({ type: "error", message: reasonOf(error) });
    return;
  }
  scope.postMessage({ type: "opened", info: player.info });
  if (options.fromStart && "url" in source) give(FIRST_FRAME, 0);
  tellStatus();
  setInterval(tellStatus, STATUS_EVERY);
}

let told = "";

function tellStatus(): void {
  if (!player) return;
  const { status } = player;
  const text = JSON.stringify(status);
  if (text === told) return;
  told = text;
  scope.postMessage({ type: "status", status });
}

function give(id: number, frame: number): void {
  const refuse = (message: string) => scope.postMessage({ type: "refused", id, message });
  if (!player) {
    refuse("No stream is open.");
    return;
  }
  const abort = new AbortController();
  asked.set(id, abort);
  player
    .frame(frame, have, abort.signal)
    .then(
      (shown) => send(id, shown),
      (error: unknown) => refuse(reasonOf(error)),
    )
    .finally(() => asked.delete(id));
}

scope.onmessage = ({ data }) => {
  if (data.type === "open") void open(data.source, data.options);
  else if (data.type === "frame") give(data.id, data.frame);
  else if (data.type === "cancel") asked.get(data.id)?.abort();
  else if (data.type === "prefetch") player?.prefetch(data.from, data.count);
  else if (data.type === "quality") player?.setQuality(data.maxLayer);
  else if (data.type === "live") player?.goLive();
  else if (data.type === "give") player?.give(data.buffers);
  else {
    player?.close();
    scope.close();
  }
};
