/** Bytes of a file by HTTP: range requests, or the whole file where a server knows none. */

import { FvvError, reasonOf } from "./errors.ts";

export interface ByteSource {
  readonly size: number;
  /** Bytes from `start` to before `end`, fewer only at the end of the file. */
  read(start: number, end: number): Promise<Uint8Array>;
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
}

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
  const response = await client.get(0, HEAD_BYTES);
  if (response.status === 200) return new MemorySource(await client.whole(response));
  const size = totalOf(response);
  if (size === null) {
    throw new FvvError(`The server answers ranges of ${url} without saying how long the file is.`);
  }
  const head = await client.body(response, Math.min(HEAD_BYTES, size));
  return new HttpSource(client, size, head);
}

class HttpSource implements ByteSource {
  readonly size: number;
  private readonly client: HttpClient;
  private readonly head: Uint8Array;

  constructor(client: HttpClient, size: number, head: Uint8Array) {
    this.client = client;
    this.size = size;
    this.head = head;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    const last = Math.min(end, this.size);
    if (start >= last) return new Uint8Array(0);
    if (last <= this.head.length) return this.head.subarray(start, last);
    return this.client.range(start, last);
  }

  close(): void {
    this.client.close();
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
  async range(start: number, end: number): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.get(start, end);
      if (response.status === 200) {
        return (await this.whole(response)).subarray(start, end);
      }
      try {
        return await this.body(response, end - start);
      } catch (error) {
        if (error instanceof FvvError || attempt >= ATTEMPTS) throw this.broken(error);
        await this.wait(attempt, null);
      }
    }
  }

  /** The answer to a request for a range: 206, or 200 from a server that knows no ranges. */
  async get(start: number, end: number): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      let response: Response;
      try {
        response = await (this.options.fetch ?? fetch)(this.url, {
          headers: { Range: `bytes=${start}-${end - 1}` },
          signal: this.abort.signal,
        });
      } catch (error) {
        if (this.abort.signal.aborted || attempt >= ATTEMPTS) throw this.broken(error);
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
    throw new FvvError(
      `The server sent ${data.length} bytes of ${this.url} where ${length} were asked for; ` +
        "the file must be served as it is, without compression on the way.",
    );
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
