/**
 * Measure the web player's decoder in headless Chromium: opening, playing, seeking.
 *
 *     python bench/player_decode.py OUT.fvv
 *     node bench/player_browser.mjs OUT.fvv [--mbit 50] [--chromium PATH]
 *
 * The file comes from a server of this program, with range requests, over loopback; `--mbit` slows
 * it down. Decoding runs in the player's worker; nothing is drawn. `npm ci` in `viewer/` before.
 */

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const viewer = fileURLToPath(new URL("../viewer/", import.meta.url));
const PAGE = `<!doctype html><meta charset="utf-8"><script type="module" src="page.js"></script>`;
const SCRIPT = `
import { StreamClient } from "./src/fvv/client.ts";

async function play(client, count) {
  const waiting = [];
  const start = performance.now();
  for (let next = 0, done = 0; done < count; done++) {
    while (next < count && waiting.length < 4) waiting.push(client.requestFrame(next++));
    client.release(await waiting.shift());
  }
  return (1000 * count) / (performance.now() - start);
}

async function seeks(client, count) {
  const times = [];
  for (let i = 0; i < 30; i++) {
    const frame = (i * 37 + 11) % count;
    const start = performance.now();
    client.release(await client.requestFrame(frame));
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b);
}

async function measure() {
  const start = performance.now();
  const client = await StreamClient.open({ url: "file.fvv" });
  const opened = performance.now() - start;
  client.release(await client.requestFrame(0));
  const first = performance.now() - start;
  const count = client.info.frameCount;
  const last = performance.now();
  client.release(await client.requestFrame(count - 1));
  const far = performance.now() - last;
  const rates = [];
  for (let round = 0; round < 4; round++) rates.push(await play(client, count));
  const times = await seeks(client, count);
  client.close();
  return { opened, first, far, rates, median: times[times.length >> 1], longest: times.at(-1) };
}

const report = await measure().catch((error) => ({ error: String(error) }));
await fetch("/result", { method: "POST", body: JSON.stringify(report) });
`;

async function bundle() {
  const { build } = createRequire(join(viewer, "package.json"))("esbuild");
  const options = { bundle: true, format: "esm", write: false, minify: true, target: ["es2022"] };
  const page = await build({
    ...options,
    stdin: { contents: SCRIPT, resolveDir: viewer, loader: "ts" },
  });
  const entryPoints = [join(viewer, "src/fvv/worker.ts")];
  const worker = await build({ ...options, entryPoints });
  return { page: page.outputFiles[0].text, worker: worker.outputFiles[0].text };
}

/** Send bytes no faster than so many megabits a second. */
async function send(response, data, mbit) {
  const step = mbit ? 16384 : data.length;
  for (let at = 0; at < data.length; at += step) {
    response.write(data.subarray(at, at + step));
    if (mbit) await new Promise((done) => setTimeout(done, (8 * step) / (1000 * mbit)));
  }
  response.end();
}

async function serve(path, code, mbit, finished) {
  const { size } = await stat(path);
  const file = await open(path);
  let turn = Promise.resolve(); // requests share the line
  const texts = {
    "/": ["text/html", PAGE],
    "/page.js": ["text/javascript", code.page],
    "/worker.js": ["text/javascript", code.worker],
  };
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      const parts = [];
      for await (const part of request) parts.push(part);
      response.end();
      finished(JSON.parse(Buffer.concat(parts).toString()));
    } else if (texts[request.url]) {
      const [type, text] = texts[request.url];
      response.writeHead(200, { "Content-Type": type }).end(text);
    } else if (request.url === "/file.fvv") {
      const [, from, to] = /bytes=(\d*)-(\d+)/.exec(request.headers.range);
      const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
      const end = from === "" ? size - 1 : Math.min(Number(to), size - 1);
      const data = Buffer.alloc(end - first + 1);
      await file.read(data, 0, data.length, first);
      const headers = { "Content-Range": `bytes ${first}-${end}/${size}` };
      response.writeHead(206, { ...headers, "Content-Length": data.length });
      turn = turn.then(() => send(response, data, mbit));
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

async function main(words) {
  const option = (name, otherwise) => {
    const at = words.indexOf(name);
    return at < 0 ? otherwise : words[at + 1];
  };
  const code = await bundle();
  let finished;
  const result = new Promise((resolve) => (finished = resolve));
  const server = await serve(words[0], code, Number(option("--mbit", 0)), finished);
  const profile = await mkdtemp(join(tmpdir(), "player-"));
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`];
  const address = `http://127.0.0.1:${server.address().port}/`;
  const browser = spawn(option("--chromium", "chromium"), [...flags, address], { stdio: "ignore" });
  const late = setTimeout(() => finished({ error: "nothing came within 300 s" }), 300_000);
  const report = await result;
  clearTimeout(late);
  const gone = new Promise((done) => browser.once("exit", done));
  browser.kill();
  await gone;
  server.close();
  server.closeAllConnections();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  const ms = (value) => `${value.toFixed(0)} ms`;
  if (report.error) throw new Error(report.error);
  console.log(`opened after ${ms(report.opened)}, first frame after ${ms(report.first)}`);
  console.log(`first seek to the last frame ${ms(report.far)}`);
  console.log(`frames/s, round by round: ${report.rates.map((r) => r.toFixed(0)).join(", ")}`);
  console.log(`seeks anywhere: median ${ms(report.median)}, longest ${ms(report.longest)}`);
  process.exit(0);
}

await main(process.argv.slice(2));
