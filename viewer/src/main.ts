/** The page: finds out what to play, opens it, and gives errors to people in words. */

import { Controls } from "./app/controls.ts";
import { find } from "./app/dom.ts";
import type { Command } from "./app/keyboard.ts";
import { showLibrary } from "./app/library.ts";
import { parseMoment } from "./app/link.ts";
import { Pace } from "./app/pace.ts";
import { Player, sizeOnScreen } from "./app/player.ts";
import { type Choice, Site } from "./app/source.ts";
import { statusText } from "./app/status.ts";
import { EarlyWorker, StreamClient, type StreamStatus } from "./fvv/client.ts";
import { fromFieldOfView, lookAlong } from "./render/camera.ts";
import { NoWebGl, Renderer } from "./render/renderer.ts";

const SORT_SCRIPT = new URL("./sort_worker.js", import.meta.url);

/** For tests and for people who script the player; see docs/player.md. */
export interface Scripting {
  player: Player | null;
  /** Milliseconds from the start of the page to the first picture; null before. */
  firstPicture: number | null;
}

const scripting: Scripting = { player: null, firstPicture: null };
Object.assign(window, { igs: scripting });

function notice(text: string, fatal = false): void {
  const place = find("notice", HTMLElement);
  place.querySelector("p")!.textContent = text;
  place.classList.toggle("fatal", fatal);
  find("dismiss", HTMLButtonElement).hidden = fatal;
  place.hidden = false;
}

function inWords(error: unknown): string {
  if (error instanceof NoWebGl) {
    return (
      "This browser offers no WebGL2, which the player draws with.\n" +
      "Take a current Firefox, Chrome, Edge or Safari, and see that hardware acceleration is on."
    );
  }
  const text = error instanceof Error ? error.message : String(error);
  return text || "The player cannot start.";
}

/** For whoever looks at how long starting takes (`performance.getEntriesByType("mark")`). */
function mark(name: string): void {
  performance.mark(`igs:${name}`);
}

/** Shaders are compiled and tried out while the stream is being opened. */
function makeRenderer(): Renderer {
  const renderer = new Renderer(find("view", HTMLCanvasElement), SORT_SCRIPT);
  const { canvas } = renderer;
  [canvas.width, canvas.height] = sizeOnScreen(canvas);
  const { width, height } = canvas;
  const view = lookAlong([0, 0, 0], [0, 0, 1], [0, -1, 0]);
  const scale = new Pace(renderer.isSlow).scale;
  void renderer
    .warmUp({ ...fromFieldOfView(1, width, height), ...view }, scale)
    .then(() => mark("warm"), () => undefined); // the first picture tells what is wrong
  return renderer;
}

async function play(site: Site, choice: Choice, worker: EarlyWorker): Promise<void> {
  document.title = `${choice.title} - igs player`;
  find("title", HTMLElement).textContent = choice.title;
  let status: StreamStatus | null = null;
  const early = (now: StreamStatus): void => {
    const place = find("status", HTMLElement);
    place.textContent = statusText(now, false);
    place.hidden = place.textContent === "";
  };
  early({ state: "opening" } as StreamStatus);
  const moment = parseMoment(location.hash);
  const opening = StreamClient.open(choice.source, { fromStart: !moment.time }, early, worker);
  opening.catch(() => undefined); // heard of below, unless there is no WebGL
  const renderer = makeRenderer();
  mark("renderer");
  const stream = await opening;
  mark("opened");
  const videos = site.videos(choice).catch(() => ({})); // a server without still plays
  let controls: Controls | null = null;
  let damage: string | null = null;
  const figure = find("pip", HTMLElement);
  const parts = {
    figure,
    video: figure.querySelector("video")!,
    caption: figure.querySelector("figcaption")!,
  };
  const player = new Player(stream, renderer, parts, {
    onChange: () => {
      status = stream.status;
      if (stream.info.damage !== damage) {
        damage = stream.info.damage;
        if (damage !== null) notice(damage);
      }
      controls?.refresh();
    },
    onCommand: (command: Command) => controls?.run(command),
    onError: (message) => notice(message),
  });
  player.apply(moment);
  controls = new Controls(player, () => status ?? stream.status, notice);
  scripting.player = player;
  window.addEventListener("hashchange", () => player.apply(parseMoment(location.hash)));
  window.addEventListener("pagehide", (event) => {
    if (!event.persisted) player.close();
  });
  await player.firstPicture();
  scripting.firstPicture = performance.now();
  mark("picture");
  await controls.offerMore(videos);
}

async function start(): Promise<void> {
  find("dismiss", HTMLButtonElement).addEventListener("click", () => {
    find("notice", HTMLElement).hidden = true;
  });
  mark("script");
  const worker = new EarlyWorker();
  try {
    const site = await Site.find(new URL(location.href));
    const choice = await site.choice();
    mark("choice");
    if (choice) await play(site, choice, worker);
    else {
      worker.terminate();
      showLibrary(site);
    }
  } catch (error) {
    worker.terminate();
    find("status", HTMLElement).hidden = true;
    notice(inWords(error), true);
  }
}

void start();
