/** What the stream is doing, in words; empty where nothing needs to be said. */

import type { StreamStatus } from "../fvv/types.ts";

export function statusText(status: StreamStatus | null, isWaiting: boolean): string {
  if (!status) return "";
  switch (status.state) {
    case "opening":
      return "Opening ...";
    case "scanning":
      return "Looking for frames (the file has no index) ...";
    case "reconnecting": {
      const wait = Math.ceil(status.retryIn ?? 0);
      return wait > 0 ? `Connection lost; trying again in ${wait} s` : "Connection lost; trying again ...";
    }
    case "ended":
      return "The live session is over";
    case "closed":
      return "";
    default:
      return camerasText(status) || (isWaiting ? "Loading ..." : "");
  }
}

/** Cameras of a live rig that are not there. */
function camerasText(status: StreamStatus): string {
  const away = Object.entries(status.cameras ?? {})
    .filter(([, state]) => state === "away" || state === "refused")
    .map(([name]) => name);
  if (away.length === 0) return "";
  return `${away.length === 1 ? "Camera" : "Cameras"} ${away.join(", ")} ${away.length === 1 ? "is" : "are"} away`;
}
