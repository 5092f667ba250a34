/**
 * Bytes of a file by HTTP: range requests, or the whole file where a server knows none.
 *
 * The beginning (header and first frame) and the end (index) are asked for at the same time, and
 * what of the beginning has come can be read while the rest is on its way.
 */

import { FvvError, reasonOf } from "./errors.ts";

export interface ByteSource {
  readonly size: number;
  /**
   * Bytes from `start` to before `end`, fewer only at the end of the file.
   *
   * @param signal gives the request up; the promise then rejects.
   */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  close(): void;
}

export interface HttpOptions {
  /** Largest file that is loaded whole. */
  wholeFileBytes: number;
  /** Told of all bytes that arrive. */
  received: (bytes: number) => void;
  /** `fetch`, or what stands in for it in tests. */
  fetch?: typeof fetch;
  /** Milliseconds before the first repetition of a request that failed. */
  backOff?: number;
  /** Bytes of the beginning that are asked for at once; default 64 KiB. */
  headBytes?: number;
}

/** Bytes of the end that are asked for at once: where the index of a finished file stands. */
export const TAIL_BYTES = 1 << 15;
const HEAD_BYTES = 1 << 16;
const ATTEMPTS = 4;
const LONGEST_WAIT = 10_000;

/** A file in memory. */
export class MemorySource implements ByteSource {
  private readonly data: Uint8Array;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  get size(): number {
    return this.data.length;
  }

  read(start: number, end: number): Promise<Uint8Array> {
    return Promise.resolve(this.data.subarray(start, Math.max(end, start)));
  }

  close(): void {
    // Memory needs no closing.
  }
}

/**
 * Open a file by its address.
 *
 * @throws FvvError if there is none, it is too large to be loaded whole where it has to be, or the
 *   server cannot be reached.
 */
export async function openUrl(url: string, options: HttpOptions): Promise<ByteSource> {
  const client = new HttpClient(url, options);
  const wanted = options.headBytes ?? HEAD_BYTES;
  const first = client.get(0, wanted);
  const tail = client.tail();
  const response = await first;
  if (response.status === 200) return new MemorySource(await client.whole(response));
  const size = totalOf(response);
  if (size === null) {
    throw new FvvError(`The server answers ranges of ${url} without saying how long the file is.`);
  }
  return new HttpSource(client, size, new Beginning(client, response, Math.min(wanted, size)), tail);
}

interface Tail {
  start: number;
  size: number;
  data: Uint8Array;
}

class HttpSource implements ByteSource {
  readonly size: number;
  private readonly client: HttpClient;
  private readonly head: Beginning;
  private readonly tail: Promise<Tail | null>;

  constructor(client: HttpClient, size: number, head: Beginning, tail: Promise<Tail | null>) {
    this.client = client;
    this.size = size;
    this.head = head;
    this.tail = tail;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    const last = Math.min(end, this.size);
    if (start >= last) return new Uint8Array(0);
    if (last <= this.head.length) {
      const part = await this.head.read(start, last);
      if (part) return part;
    }
    if (start >= this.size - TAIL_BYTES) {
      const tail = await this.tail;
      if (tail?.size === this.size && start >= tail.start) {
        return tail.data.subarray(start - tail.start, last - tail.start);
      }
    }
    return this.client.range(start, last, signal);
  }

  close(): void {
    this.client.close();
  }
}

/** The beginning of a file while it comes. */
class Beginning {
  readonly length: number;
  private readonly data: Uint8Array;
  private arrived = 0;
  private over = false;
  private error: FvvError | null = null;
  private waiting: { end: number; done: () => void }[] = [];

  constructor(client: HttpClient, response: Response, length: number) {
    this.length = length;
    this.data = new Uint8Array(length);
    void this.take(client, response);
  }

  /** Part of it, as soon as it is there; null if the connection broke off before. */
  async read(start: number, end: number): Promise<Uint8Array | null> {
    if (end > this.arrived && !this.over) {
      await new Promise<void>((done) => this.waiting.push({ end, done }));
    }
    if (this.error) throw this.error;
    return end <= this.arrived ? this.data.subarray(start, end) : null;
  }

  private async take(client: HttpClient, response: Response): Promise<void> {
    try {
      await client.pour(response, this.length, (part) => {
        this.data.set(part, this.arrived);
        this.arrived += part.length;
        this.tell();
      });
    } catch (error) {
      if (error instanceof FvvError) this.error = error;
    }
    this.over = true;
    this.tell();
  }

  private tell(): void {
    const ready = this.waiting.filter(({ end }) => this.over || end <= this.arrived);
    this.waiting = this.waiting.filter((one) => !ready.includes(one));
    for (const { done } of ready) done();
  }
}

class HttpClient {
  private readonly url: string;
  private readonly options: HttpOptions;
  private readonly abort = new AbortController();

  constructor(url: string, options: HttpOptions) {
    this.url = url;
    this.options = options;
  }

  close(): void {
    this.abort.abort();
  }

  /** One stretch of the file, all of it; repeated when the connection breaks. */
  async range(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.get(start, end, signal);
      if (response.status === 200) {
        return (await this.whole(response)).subarray(start, end);
      }
      try {
        return await this.body(response, end - start);
      } catch (error) {
        if (error instanceof FvvError || signal?.aborted || attempt >= ATTEMPTS) {
          throw this.broken(error);
        }
        await this.wait(attempt, null);
      }
    }
  }

  /** The end of the file; null where the server does not send it. */
  async tail(): Promise<Tail | null> {
    try {
      const response = await this.ask(`bytes=-${TAIL_BYTES}`);
      const range = response.headers.get("Content-Range") ?? "";
      const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(range);
      if (response.status !== 206 || !match) {
        await response.body?.cancel();
        return null;
      }
      const [start, size] = [Number(match[1]), Number(match[2])];
      return { start, size, data: await this.body(response, size - start) };
    } catch {
      return null; // who needs these bytes asks for them, and hears what is wrong
    }
  }

  /** The answer to a request for a range: 206, or 200 from a server that knows no ranges. */
  async get(start: number, end: number, signal?: AbortSignal): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      let response: Response;
      try {
        response = await this.ask(`bytes=${start}-${end - 1}`, signal);
      } catch (error) {
        if ((signal ?? this.abort.signal).aborted || attempt >= ATTEMPTS) throw this.broken(error);
        await this.wait(attempt, null);
        continue;
      }
      if (response.status === 200 || response.status === 206) return response;
      const busy = response.status === 429 || response.status >= 500;
      if (!busy || attempt >= ATTEMPTS) throw this.refused(response);
      await this.wait(attempt, response.headers.get("Retry-After"));
    }
  }

  /** The body of an answer, which must have `length` bytes. */
  async body(response: Response, length: number): Promise<Uint8Array> {
    const data = new Uint8Array(await response.arrayBuffer());
    this.options.received(data.length);
    if (data.length === length) return data;
    throw this.wrongLength(data.length, length);
  }

  /** The same piece by piece, as it comes. */
  async pour(response: Response, length: number, take: (part: Uint8Array) => void): Promise<void> {
    let total = 0;
    const reader = response.body?.getReader();
    while (reader) {
      const { done, value } = await reader.read();
      if (done) break;
      this.options.received(value.length);
      total += value.length;
      if (total > length) {
        await reader.cancel();
        break;
      }
      take(value);
    }
    if (total !== length) throw this.wrongLength(total, length);
  }

  /** The whole file, up to the limit. */
  async whole(response: Response): Promise<Uint8Array> {
    const most = this.options.wholeFileBytes;
    const tooLarge = () =>
      new FvvError(
        `The server of ${this.url} cannot send parts of files, and this one is larger than the ` +
          `${Math.floor(most / 2 ** 20)} MiB that are loaded whole. Use a server with range requests.`,
      );
    if (Number(response.headers.get("Content-Length") ?? 0) > most) throw tooLarge();
    const parts: Uint8Array[] = [];
    let total = 0;
    const reader = response.body?.getReader();
    while (reader) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw this.broken(error);
      });
      if (done) break;
      this.options.received(value.length);
      total += value.length;
      if (total > most) {
        this.close();
        throw tooLarge();
      }
      parts.push(value);
    }
    const data = new Uint8Array(total);
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return data;
  }

  private ask(range: string, signal?: AbortSignal): Promise<Response> {
    return (this.options.fetch ?? fetch)(this.url, {
      headers: { Range: range },
      signal: signal ?? this.abort.signal,
    });
  }

  private wrongLength(there: number, asked: number): FvvError {
    return new FvvError(
      `The server sent ${there} bytes of ${this.url} where ${asked} were asked for; ` +
        "the file must be served as it is, without compression on the way.",
    );
  }

  private wait(attempt: number, retryAfter: string | null): Promise<void> {
    const asked = retryAfter !== null ? 1000 * Number(retryAfter) : 0;
    const own = (this.options.backOff ?? 250) * 2 ** (attempt - 1);
    const time = Math.min(Math.max(asked || 0, own), LONGEST_WAIT);
    return new Promise((resolve) => setTimeout(resolve, time));
  }

  private broken(error: unknown): FvvError {
    if (error instanceof FvvError) return error;
    return new FvvError(`${this.url} cannot be loaded: ${reasonOf(error)}.`);
  }

  private refused(response: Response): FvvError {
    const status = response.status;
    if (status === 404) return new FvvError(`There is no ${this.url} (404).`);
    if (status === 416) return new FvvError(`${this.url} is empty (416).`);
    if (status === 401 || status === 403) {
      return new FvvError(`The server does not allow ${this.url} to be read (${status}).`);
    }
    return new FvvError(`${this.url} cannot be loaded: the server answers ${status}.`);
  }
}

function totalOf(response: Response): number | null {
  const match = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
  return match ? Number(match[1]) : null;
}
