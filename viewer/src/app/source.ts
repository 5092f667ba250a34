/** What to play: from `manifest.json` beside the page, the page's query, and the server's lists. */

import type { StreamSource } from "../fvv/types.ts";

/** `manifest.json`: written by `igs export web`, or the one that comes with `igs serve`. */
export interface Manifest {
  title?: string;
  /** Address of the recording, relative to the manifest. */
  recording?: string;
  /** Addresses of the real cameras' videos by camera name; their second 0 is that of frame 0. */
  videos?: Record<string, string>;
  /** Address of `igs serve`, relative to the manifest, instead of a recording. */
  server?: string;
}

export interface Choice {
  title: string;
  source: StreamSource;
  videos: Record<string, string>;
}

export interface Recording {
  name: string;
  bytes: number;
  modified: number;
  live: boolean;
}

export interface Session {
  name: string;
  state: string;
  viewers: number;
}

/** Everything there is to choose from on a server. */
export interface Library {
  recordings: Recording[];
  sessions: Session[];
}

export class SourceError extends Error {}

/** Where the page is, and what it was asked for. */
export class Site {
  private constructor(
    private readonly page: URL,
    private readonly manifest: Manifest,
  ) {}

  /** @throws SourceError if there is no manifest, or it makes no sense. */
  static async find(page: URL): Promise<Site> {
    // By the cache's own rules, so that it is the one that the page has preloaded.
    const manifest = (await json(new URL("manifest.json", page), "default")) as Manifest | null;
    if (typeof manifest?.recording !== "string" && typeof manifest?.server !== "string") {
      throw new SourceError("manifest.json names neither a recording nor a server.");
    }
    return new Site(page, manifest);
  }

  get hasLibrary(): boolean {
    return this.server !== null;
  }

  /** What the address asks for; null to let the viewer choose. */
  async choice(): Promise<Choice | null> {
    const words = this.page.searchParams;
    const session = words.get("live");
    const name = words.get("recording");
    if (this.server && session) return this.live(this.server, session);
    if (this.server && name) return this.recorded(this.server, name);
    const own = name ?? this.manifest.recording;
    if (!own) return null;
    return {
      title: this.manifest.title ?? own,
      source: { url: new URL(own, this.page).href },
      videos: name ? {} : this.resolved(this.manifest.videos ?? {}, this.page),
    };
  }

  /** @throws SourceError if the server does not answer. */
  async library(): Promise<Library> {
    const server = this.server ?? this.page;
    const [recordings, sessions] = await Promise.all([
      json(new URL("api/v1/recordings", server)),
      json(new URL("api/v1/sessions", server)),
    ]);
    return { recordings: recordings as Recording[], sessions: sessions as Session[] };
  }

  /** The real cameras' videos of a recording, if the server has any. */
  async videos(choice: Choice): Promise<Record<string, string>> {
    const name = this.page.searchParams.get("recording");
    if (!this.server || !name) return choice.videos;
    const base = new URL(`recordings/${encodeURIComponent(name)}/cameras`, this.server);
    const names = (await json(base)) as Record<string, string>;
    return this.resolved(names, base);
  }

  private get server(): URL | null {
    const { server } = this.manifest;
    return server === undefined ? null : new URL(server, this.page);
  }

  private live(server: URL, session: string): Choice {
    const live = new URL(`api/v1/sessions/${encodeURIComponent(session)}/live`, server).href;
    return { title: `${session} (live)`, source: { live }, videos: {} };
  }

  private recorded(server: URL, name: string): Choice {
    const url = new URL(`recordings/${encodeURIComponent(name)}`, server).href;
    return { title: name.replace(/\.fvv$/, ""), source: { url }, videos: {} };
  }

  private resolved(videos: Record<string, string>, base: URL): Record<string, string> {
    const pairs = Object.entries(videos).map(([name, path]) => [name, new URL(path, base).href]);
    return Object.fromEntries(pairs) as Record<string, string>;
  }
}

async function json(url: URL, cache: RequestCache = "no-cache"): Promise<unknown> {
  let answer: Response;
  try {
    answer = await fetch(url, { cache });
  } catch {
    throw new SourceError("The server does not answer. Is it still running?");
  }
  if (!answer.ok) throw new SourceError(await reasonOf(answer, url));
  try {
    return await answer.json();
  } catch {
    throw new SourceError(`${nameOf(url)} is not JSON.`);
  }
}

async function reasonOf(answer: Response, url: URL): Promise<string> {
  const detail = await answer.json().then((body: { detail?: string }) => body.detail, () => null);
  if (detail) return `The server refuses: ${detail}.`;
  if (answer.status === 404) return `${nameOf(url)} is missing on the server.`;
  return `The server answers ${answer.status} for ${nameOf(url)}.`;
}

function nameOf(url: URL): string {
  return decodeURIComponent(url.pathname.split("/").pop() ?? url.pathname);
}
