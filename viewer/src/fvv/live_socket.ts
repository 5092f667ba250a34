/** The WebSocket of a live session, opened again when it breaks; docs/serve.md. */

import { FvvError } from "./errors.ts";

export interface Hello {
  session: string;
  state: string;
  cameras: Record<string, string>;
  liveFrom: number | null;
}

export interface SocketEvents {
  hello(hello: Hello): void;
  data(data: Uint8Array): void;
  /** Layers that the server sends, of how many there are. */
  quality(layers: number, of: number): void;
  cameras(cameras: Record<string, string>): void;
  /** The session is over; nothing will come any more. */
  end(reason: string): void;
  /** The connection broke; the next attempt is in so many seconds. */
  broken(retryIn: number): void;
  /** It will not be tried again. */
  failed(message: string): void;
}

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 10_000;
const FIRST_ATTEMPTS = 5; // of a session that never answered
const NORMAL = 1000;
const POLICY = 1008;

type Json = Record<string, unknown>;

export class LiveSocket {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private greeted = false;
  private closed = false;
  private wish: number | null = null;

  private readonly url: string;
  private readonly events: SocketEvents;
  private readonly make: (url: string) => WebSocket;

  constructor(
    url: string,
    events: SocketEvents,
    make: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {
    this.url = url;
    this.events = events;
    this.make = make;
  }

  connect(): void {
    let socket: WebSocket;
    try {
      socket = this.make(this.url);
    } catch {
      throw new FvvError(`${this.url} is not the address of a live session.`);
    }
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      if (typeof data === "string") this.text(data);
      else this.events.data(new Uint8Array(data as ArrayBuffer));
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.socket) this.lost(code, reason);
    };
  }

  /** Ask for at most so many layers; also after the connection broke. */
  layers(count: number): void {
    this.wish = count;
    if (this.socket?.readyState === 1) {
      this.socket.send(JSON.stringify({ type: "layers", max: count }));
    }
  }

  /** Begin anew at once, such as when the stream cannot be followed any more. */
  restart(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    clearTimeout(this.timer);
    this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
  }

  private text(text: string): void {
    let message: Json;
    try {
      message = JSON.parse(text) as Json;
    } catch {
      return; // not of this protocol
    }
    const { type } = message;
    if (type === "hello") {
      this.greeted = true;
      this.failures = 0;
      if (this.wish !== null) this.layers(this.wish);
      this.events.hello({
        session: String(message["session"] ?? ""),
        state: String(message["state"] ?? ""),
        cameras: words(message["cameras"]),
        liveFrom: typeof message["live_from"] === "number" ? message["live_from"] : null,
      });
    } else if (type === "quality") {
      this.events.quality(Number(message["layers"]), Number(message["of"]));
    } else if (type === "cameras") {
      this.events.cameras(words(message["cameras"]));
    } else if (type === "end") {
      this.closed = true;
      this.events.end(String(message["reason"] ?? "the session is over"));
    }
  }

  private lost(code: number, reason: string): void {
    this.socket = null;
    if (this.closed) return;
    if (code === NORMAL) {
      this.closed = true;
      this.events.end(reason || "the session is over");
      return;
    }
    this.failures++;
    if (code === POLICY || (!this.greeted && this.failures >= FIRST_ATTEMPTS)) {
      this.closed = true;
      this.events.failed(
        this.greeted
          ? `The server closed the connection: ${reason || `code ${code}`}.`
          : "The live session cannot be reached: it is over, full, or the server is not running.",
      );
      return;
    }
    const wait = Math.min(FIRST_WAIT * 2 ** (this.failures - 1), LONGEST_WAIT);
    // Viewers that lost a server together must not come back together.
    const spread = wait * (0.75 + 0.5 * Math.random());
    this.events.broken(spread / 1000);
    this.timer = setTimeout(() => this.connect(), spread);
  }
}

function words(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([key, word]) => [key, String(word)]));
}
