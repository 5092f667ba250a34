/** Loading by HTTP: few requests, servers without ranges, failures. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type HttpOptions, openUrl } from "../../src/fvv/http.ts";
import { Viewing } from "./helpers.ts";
import { makeFile, makeFrames } from "./make.ts";

interface Server {
  ranges?: boolean;
  /** Answers to give first, as status codes; 0 breaks the connection. */
  failures?: number[];
  /** Whether it knows ranges that are counted from the end. */
  tails?: boolean;
  /** Bytes that bodies are cut or padded to, as compression on the way does. */
  spoil?: boolean;
}

/** A server of one file, and the ranges that it was asked for. */
function serve(
  data: Uint8Array,
  { ranges = true, tails = true, failures = [], spoil = false }: Server = {},
) {
  const asked: [number, number][] = [];
  const answer: typeof fetch = async (_, init) => {
    const range = new Headers(init?.headers).get("Range");
    const match = /^bytes=(\d*)-(\d+)$/.exec(range ?? "")!;
    const fromEnd = match[1] === "";
    const failure = fromEnd ? undefined : failures.shift();
    if (failure === 0) throw new TypeError("connection reset");
    if (failure !== undefined) return new Response(null, { status: failure });
    if (!ranges) return new Response(data as BodyInit);
    if (fromEnd && !tails) return new Response(null, { status: 416 });
    const start = fromEnd ? Math.max(0, data.length - Number(match[2])) : Number(match[1]);
    const end = fromEnd ? data.length : Math.min(Number(match[2]) + 1, data.length);
    asked.push([start, end]);
    if (start >= data.length) return new Response(null, { status: 416 });
    const body = data.slice(start, spoil ? end - 1 : end);
    const headers = { "Content-Range": `bytes ${start}-${end - 1}/${data.length}` };
    return new Response(body, { status: 206, headers });
  };
  return { asked, answer };
}

function options(answer: typeof fetch, more: Partial<HttpOptions> = {}): HttpOptions {
  return { fetch: answer, wholeFileBytes: 2 ** 24, received: () => undefined, backOff: 1, ...more };
}

test("a file is played from ranges, a few of them", async () => {
  const data = makeFile(makeFrames(60, { rows: 1500 }));
  const { asked, answer } = serve(data);
  let received = 0;
  const source = await openUrl(
    "http://host/a.fvv",
    options(answer, { received: (bytes) => void (received += bytes) }),
  );
  const viewing = await Viewing.open(source);
  const whole = await viewing.frame(59);
  assert.deepEqual([...whole.centers.subarray(0, 3)], [0, 59, 0]);
  assert.ok(received < data.length / 2, `${received} of ${data.length} bytes`);
  for (let frame = 0; frame < 60; frame++) await viewing.frame(frame);
  assert.ok(asked.length < 25, `${asked.length} requests`);
  const [first, last] = viewing.player.status.buffered!;
  assert.deepEqual([first, last], [0, 59]);
  assert.ok(received < 1.5 * data.length, `${received} of ${data.length} bytes`);
});

test("a server without ranges sends the whole file, up to a limit", async () => {
  const data = makeFile(makeFrames(10));
  const { answer } = serve(data, { ranges: false });
  const viewing = await Viewing.open(await openUrl("http://host/a", options(answer)));
  assert.equal((await viewing.frame(9)).count, 5);
  await assert.rejects(
    openUrl("http://host/a", options(answer, { wholeFileBytes: 1000 })),
    /cannot send parts of files, and this one is larger/,
  );
});

test("a server that knows no ranges from the end is asked for the index by its place", async () => {
  const data = makeFile(makeFrames(60, { rows: 1500 }));
  const { asked, answer } = serve(data, { tails: false });
  const viewing = await Viewing.open(await openUrl("http://host/a.fvv", options(answer)));
  assert.equal(viewing.player.info.frameCount, 60);
  assert.ok(asked.some(([start, end]) => start > 2 ** 16 && end === data.length));
});

test("what has come of the beginning is read while the rest is on its way", async () => {
  const data = new Uint8Array(3000).map((_, i) => i % 251);
  let more: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (controller) => void (more = controller) });
  const headers = { "Content-Range": "bytes 0-2999/90000" };
  const answer: typeof fetch = async (_, init) => {
    const isTail = new Headers(init?.headers).get("Range")!.startsWith("bytes=-");
    return isTail ? new Response(null, { status: 416 }) : new Response(body, { status: 206, headers });
  };
  const source = await openUrl("http://host/a", options(answer, { headBytes: 3000 }));
  more!.enqueue(data.slice(0, 1000));
  assert.deepEqual([...(await source.read(10, 12))], [10, 11]);
  let come = false;
  const rest = source.read(900, 1200).then((part) => ((come = true), part));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(come, false);
  more!.enqueue(data.slice(1000));
  more!.close();
  assert.deepEqual([...(await rest)], [...data.subarray(900, 1200)]);
});

test("a jump ends requests that were only guessed, and does not wait for them", async () => {
  const data = makeFile(makeFrames(200, { rows: 1500 }));
  const { answer } = serve(data);
  let stuck = false;
  let ended = 0;
  const slow: typeof fetch = (url, init) => {
    if (!stuck) return answer(url, init);
    return new Promise((_, reject) => {
      init!.signal!.addEventListener("abort", () => {
        ended++;
        reject(new DOMException("given up", "AbortError"));
      });
    });
  };
  const headBytes = data.length >> 3; // holds frame 0
  const source = await openUrl("http://host/a.fvv", options(slow, { headBytes }));
  const viewing = await Viewing.open(source);
  stuck = true; // from here on what is read ahead
  await viewing.frame(0);
  stuck = false;
  assert.equal((await viewing.frame(199)).frame, 199);
  assert.ok(ended > 0);
});

test("a frame that is given up is not waited for", async () => {
  const data = makeFile(makeFrames(60, { rows: 1500 }));
  const { answer } = serve(data);
  let stuck = false;
  const slow: typeof fetch = (url, init) =>
    stuck ? new Promise(() => undefined) : answer(url, init);
  const headBytes = data.length >> 3; // holds frame 0
  const source = await openUrl("http://host/a.fvv", options(slow, { headBytes }));
  const viewing = await Viewing.open(source);
  stuck = true;
  const abort = new AbortController();
  const have = { place: 0, look: 0, sh: 0 };
  const late = viewing.player.frame(59, have, abort.signal);
  const next = viewing.frame(0); // behind it in the queue
  abort.abort();
  await assert.rejects(late, /not asked for any more/);
  assert.equal((await next).frame, 0);
});

test("busy servers and broken connections are tried again", async () => {
  const data = makeFile(makeFrames(4));
  const { answer } = serve(data, { failures: [503, 0, 429] });
  const viewing = await Viewing.open(await openUrl("http://host/a", options(answer)));
  assert.equal((await viewing.frame(3)).count, 5);
  const gone = serve(data, { failures: [0, 0, 0, 0, 0, 0, 0, 0] });
  await assert.rejects(openUrl("http://host/a", options(gone.answer)), /cannot be loaded: connection/);
});

test("what a server refuses is said in a sentence", async () => {
  const open = (status: number) => {
    const { answer } = serve(new Uint8Array(9), { failures: [status, status, status, status] });
    return openUrl("http://host/a.fvv", options(answer));
  };
  await assert.rejects(open(404), /There is no http:\/\/host\/a.fvv \(404\)/);
  await assert.rejects(open(403), /does not allow/);
  await assert.rejects(open(416), /is empty/);
  await assert.rejects(open(500), /the server answers 500/);
  const { answer } = serve(makeFile(makeFrames(4)), { spoil: true });
  const opening = openUrl("http://host/a", options(answer)).then((source) => Viewing.open(source));
  await assert.rejects(opening, /without compression on the way/);
});
