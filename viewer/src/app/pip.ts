/** The real camera beside the rendered view: its video, kept in step with the player. */

import type { StreamCamera } from "../fvv/types.ts";
import { axis, center, dot, fromMatrix, length, subtract, type View } from "../render/camera.ts";

const DRIFT = 0.12; // seconds that the video may be off while it plays
const EXACT = 0.005; // and while it stands

export interface PipParts {
  figure: HTMLElement;
  video: HTMLVideoElement;
  caption: HTMLElement;
}

export class Pip {
  private shown: string | null = null;
  private wanted = false;
  private videos: Readonly<Record<string, string>> = {};
  private known = false;

  constructor(
    private readonly parts: PipParts,
    private readonly cameras: readonly StreamCamera[],
  ) {
    parts.video.addEventListener("error", () => {
      if (this.shown) parts.caption.textContent = `${this.shown}: this video cannot be played`;
    });
  }

  /** Whether any camera has a video. */
  get isAvailable(): boolean {
    return this.cameras.some((camera) => camera.name in this.videos);
  }

  get isShown(): boolean {
    return this.wanted && this.isAvailable;
  }

  /** Take the addresses of the videos, by name of the camera; a wish to see them is kept till then. */
  offer(videos: Readonly<Record<string, string>>): void {
    this.videos = videos;
    this.known = true;
    this.setShown(this.wanted);
  }

  setShown(wanted: boolean): void {
    this.wanted = wanted && (this.isAvailable || !this.known);
    this.parts.figure.hidden = !this.isShown;
    if (!this.isShown) this.parts.video.pause();
  }

  /** Show the camera that is looked through, or the one nearest to the view, at a time. */
  sync(camera: string | null, view: View, time: number, playing: boolean, speed: number): void {
    if (!this.isShown) return;
    this.choose(camera !== null && camera in this.videos ? camera : this.nearest(view));
    const { video } = this.parts;
    if (video.readyState < HTMLMediaElement.HAVE_METADATA) return;
    const goal = Math.min(time, Math.max(0, video.duration - 1e-3));
    const off = Math.abs(video.currentTime - goal);
    if (playing && time <= video.duration) {
      video.playbackRate = Math.max(0.1, Math.min(8, speed));
      if (off > DRIFT * Math.max(1, speed)) video.currentTime = goal;
      if (video.paused) void video.play().catch(() => undefined);
      return;
    }
    if (!video.paused) video.pause();
    if (off > EXACT && !video.seeking) video.currentTime = goal;
  }

  private choose(name: string | null): void {
    if (name === null || name === this.shown) return;
    this.shown = name;
    this.parts.video.src = this.videos[name]!;
    this.parts.caption.textContent = `${name}, the real camera`;
  }

  /** The camera with a video that is nearest and looks the same way. */
  private nearest(view: View): string | null {
    const eye = center(view.rotation, view.translation);
    const forward = axis(view.rotation, 2);
    let best: string | null = null;
    let least = Infinity;
    for (const camera of this.cameras) {
      if (!(camera.name in this.videos)) continue;
      const pose = fromMatrix(camera.worldToCamera);
      const away = length(subtract(center(pose.rotation, pose.translation), eye));
      const cost = away * (2 - dot(axis(pose.rotation, 2), forward));
      if (cost < least) [best, least] = [camera.name, cost];
    }
    return best;
  }
}
