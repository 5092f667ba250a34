/** Binds the page's controls to a player. */

import type { StreamStatus } from "../fvv/types.ts";
import { find } from "./dom.ts";
import { KEYS, type Command } from "./keyboard.ts";
import { formatMoment } from "./link.ts";
import type { Player } from "./player.ts";
import { statusText } from "./status.ts";
import { clockText, rateText } from "./text.ts";
import { SPEEDS } from "./transport.ts";
import { canEnterXr } from "./xr.ts";

const HIDE_AFTER = 4000; // milliseconds for which a short message stands

export class Controls {
  private readonly seek = find("seek", HTMLInputElement);
  private readonly play = find("play", HTMLButtonElement);
  private readonly viewpoint = find("viewpoint", HTMLSelectElement);
  private readonly speed = find("speed", HTMLSelectElement);
  private readonly quality = find("quality", HTMLSelectElement);
  private dragging = false;
  private fleeting = 0;
  private scheduled = false;

  constructor(
    private readonly player: Player,
    private readonly status: () => StreamStatus | null,
    private readonly tell: (text: string) => void,
  ) {
    this.fill();
    this.bind();
    find("controls", HTMLElement).hidden = false;
    this.refresh();
  }

  /** Offer what need not be there at once: real cameras, and a headset if there is one. */
  async offerMore(videos: Promise<Record<string, string>>): Promise<void> {
    this.player.pip.offer(await videos);
    find("pip-label", HTMLElement).hidden = !this.player.pip.isAvailable;
    find("xr", HTMLButtonElement).hidden = !(await canEnterXr());
  }

  /** Bring the controls up to date, once before the next picture. */
  refresh(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.update();
    });
  }

  run(command: Command): void {
    const { transport, viewpoint } = this.player;
    const [first, last] = transport.frames;
    const actions: Record<Command, () => void> = {
      toggle: () => transport.toggle(),
      back: () => transport.seek(transport.time - 1),
      ahead: () => transport.seek(transport.time + 1),
      previous: () => transport.step(-1),
      next: () => transport.step(1),
      start: () => transport.seekFrame(first),
      end: () => transport.seekFrame(last),
      loop: () => {
        transport.loop = !transport.loop;
      },
      slower: () => transport.setSpeed(neighbour(transport.speed, -1)),
      faster: () => transport.setSpeed(neighbour(transport.speed, 1)),
      live: () => transport.goLive(),
      fullscreen: () => void this.fullscreen(),
      nextCamera: () => viewpoint.stepCamera(1),
      previousCamera: () => viewpoint.stepCamera(-1),
      orbit: () => viewpoint.setMode("orbit"),
      fly: () => viewpoint.setMode("fly"),
      reset: () => viewpoint.reset(),
      cameras: () => this.player.setOverlays(!this.player.showsCameras, this.player.showsBox),
      box: () => this.player.setOverlays(this.player.showsCameras, !this.player.showsBox),
      real: () => this.player.pip.setShown(!this.player.pip.isShown),
      link: () => void this.copyLink(),
      picture: () => void this.savePicture(),
      help: () => this.open("help", find("help", HTMLElement).hidden),
      close: () => {
        this.open("help", false);
        this.open("settings", false);
      },
    };
    actions[command]();
    this.refresh();
  }

  private fill(): void {
    const { cameras, layers } = this.player.info;
    this.viewpoint.append(new Option("Orbit", "orbit"), new Option("Fly", "fly"));
    if (cameras.length > 0) {
      const group = document.createElement("optgroup");
      group.label = "Capture cameras";
      group.append(...cameras.map(({ name }) => new Option(name, `camera:${name}`)));
      this.viewpoint.append(group);
    }
    this.speed.append(...SPEEDS.map((speed) => new Option(`${speed} x`, String(speed))));
    this.quality.append(...layers.map(({ id, name }, i) => new Option(qualityName(name, i), String(id))));
    this.quality.value = String(layers.at(-1)?.id ?? 0);
    this.quality.disabled = layers.length < 2;
    const list = find("keys", HTMLElement);
    for (const [keys, , text] of KEYS) {
      const [term, what] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = keys.map((key) => (key === " " ? "Space" : key.replace("Arrow", ""))).join(", ");
      what.textContent = text;
      list.append(term, what);
    }
  }

  private bind(): void {
    const { player } = this;
    const { transport, viewpoint } = player;
    const commands: Record<string, Command> = {
      play: "toggle", previous: "previous", next: "next", loop: "loop", live: "live", link: "link",
      picture: "picture", fullscreen: "fullscreen", "help-open": "help",
    };
    for (const [id, command] of Object.entries(commands)) {
      find(id, HTMLButtonElement).addEventListener("click", () => this.run(command));
    }
    find("help-close", HTMLButtonElement).addEventListener("click", () => this.open("help", false));
    find("settings-open", HTMLButtonElement).addEventListener("click", () => {
      this.open("settings", find("settings", HTMLElement).hidden);
    });
    find("xr", HTMLButtonElement).addEventListener("click", () => {
      player.enterXr().catch((error: Error) => this.tell(`The headset cannot be used: ${error.message}`));
    });
    this.seek.addEventListener("input", () => {
      this.dragging = true;
      transport.seekFrame(Number(this.seek.value), true);
    });
    this.seek.addEventListener("change", () => {
      this.dragging = false;
      transport.seekFrame(Number(this.seek.value));
    });
    this.speed.addEventListener("change", () => transport.setSpeed(Number(this.speed.value)));
    this.quality.addEventListener("change", () => player.stream.setQuality(Number(this.quality.value)));
    this.viewpoint.addEventListener("change", () => {
      const { value } = this.viewpoint;
      if (value === "orbit" || value === "fly") viewpoint.setMode(value);
      else viewpoint.setCamera(value.slice("camera:".length));
      this.viewpoint.blur();
    });
    const check = (id: string, act: (on: boolean) => void): void => {
      const box = find(id, HTMLInputElement);
      box.addEventListener("change", () => act(box.checked));
    };
    check("show-cameras", (on) => player.setOverlays(on, player.showsBox));
    check("show-box", (on) => player.setOverlays(player.showsCameras, on));
    check("show-pip", (on) => player.pip.setShown(on));
    check("soften", (on) => player.setSoft(on));
  }

  private update(): void {
    const { player } = this;
    const { transport, viewpoint, info } = player;
    const [first, last] = transport.frames;
    const shown = transport.isFollowing ? last : Math.max(first, transport.frame ?? first);
    this.seek.min = String(first);
    this.seek.max = String(last);
    if (!this.dragging) this.seek.value = String(shown);
    const time = clockText(transport.time);
    this.seek.setAttribute("aria-valuetext", `${time}, frame ${shown}`);
    find("time", HTMLOutputElement).textContent = transport.isLive
      ? `frame ${shown}`
      : `${time} / ${clockText(transport.duration)}`;
    const playing = transport.playing || transport.isFollowing;
    this.play.classList.toggle("playing", playing);
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    press("loop", transport.loop);
    const live = find("live", HTMLButtonElement);
    live.hidden = !transport.isLive;
    live.classList.toggle("on", transport.isFollowing);
    live.textContent = transport.isFollowing ? "Live" : "Go to live";
    find("loop", HTMLElement).hidden = transport.isLive;
    this.viewpoint.value = viewpoint.camera === null ? viewpoint.mode : `camera:${viewpoint.camera}`;
    this.speed.value = String(transport.speed);
    find("show-cameras", HTMLInputElement).checked = player.showsCameras;
    find("show-box", HTMLInputElement).checked = player.showsBox;
    find("show-pip", HTMLInputElement).checked = player.pip.isShown;
    find("soften", HTMLInputElement).checked = player.isSoft;
    const status = this.status();
    info.layers.forEach(({ name, bytesPerSecond }, i) => {
      const below = info.layers.slice(0, i + 1).reduce((sum, layer) => sum + layer.bytesPerSecond, 0);
      const option = this.quality.options[i];
      const rate = bytesPerSecond > 0 ? `, ${rateText(8 * below)}` : "";
      if (option) option.textContent = qualityName(name, i) + rate;
    });
    find("rate", HTMLElement).textContent = status
      ? `Receiving ${rateText(status.bitrate)}, this quality takes ${rateText(status.streamBitrate)}` +
        ` (${status.layers} of ${info.layers.length} layers)`
      : "";
    if (this.fleeting === 0) this.say(statusText(status, transport.isWaiting));
  }

  private say(text: string): void {
    const place = find("status", HTMLElement);
    if (place.textContent !== text) place.textContent = text;
    place.hidden = text === "";
  }

  /** Say something for a moment. */
  private note(text: string): void {
    clearTimeout(this.fleeting);
    this.say(text);
    this.fleeting = window.setTimeout(() => {
      this.fleeting = 0;
      this.refresh();
    }, HIDE_AFTER);
  }

  private open(id: "help" | "settings", open: boolean): void {
    const panel = find(id, HTMLElement);
    if (panel.hidden === !open) return;
    panel.hidden = !open;
    const button = find(`${id}-open`, HTMLButtonElement);
    button.setAttribute("aria-expanded", String(open));
    if (open) panel.querySelector<HTMLElement>("button, select")?.focus();
    else button.focus();
  }

  private async copyLink(): Promise<void> {
    const link = new URL(location.href);
    link.hash = formatMoment(this.player.moment);
    history.replaceState(null, "", link);
    try {
      await navigator.clipboard.writeText(link.href);
      this.note("Link copied");
    } catch {
      this.note("The link is in the address bar"); // no permission, or not a secure page
    }
  }

  private async savePicture(): Promise<void> {
    await this.player.settled();
    this.player.renderer.canvas.toBlob((blob) => {
      if (!blob) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `frame_${String(this.player.transport.frame ?? 0).padStart(6, "0")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }

  private async fullscreen(): Promise<void> {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await document.documentElement.requestFullscreen();
    } catch {
      this.note("This browser does not allow full screen here");
    }
  }
}

function qualityName(name: string, i: number): string {
  return i === 0 ? "Base" : `+ ${name}`;
}

function press(id: string, on: boolean): void {
  find(id, HTMLButtonElement).setAttribute("aria-pressed", String(on));
}

function neighbour(speed: number, step: number): number {
  const speeds: readonly number[] = SPEEDS;
  const at = speeds.indexOf(speed);
  return speeds[Math.max(0, Math.min(speeds.length - 1, at + step))] ?? 1;
}
