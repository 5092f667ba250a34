"""The built-in page: what there is, while the player is not built. No dependency, no network."""

from __future__ import annotations

CONTENT_SECURITY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"

HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>igs</title>
<link rel="stylesheet" href="status.css">
<h1>igs</h1>
<p id="player" hidden>The web player is not built in this installation. Recordings can be downloaded
here and shown with <code>igs info</code> and <code>igs decode</code>; live sessions send the
container's chunks by WebSocket.</p>
<h2>Live sessions</h2>
<table id="sessions"></table>
<h2>Recordings</h2>
<table id="recordings"></table>
<h2>API</h2>
<table id="api"></table>
<p>Machine-readable: <a href="openapi.json">openapi.json</a>.</p>
<script src="status.js"></script>
</html>
"""

CSS = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8bf } }
"""

JS = """
'use strict';
const rows = (id, header, list) => {
  const table = document.getElementById(id);
  table.replaceChildren();
  if (!list.length) { table.insertRow().insertCell().textContent = 'none'; return; }
  const head = table.insertRow();
  for (const word of header) {
    const cell = document.createElement('th'); cell.textContent = word; head.append(cell);
  }
  for (const values of list) {
    const row = table.insertRow();
    for (const value of values) {
      const cell = row.insertCell();
      if (value instanceof Node) cell.append(value); else cell.textContent = value;
    }
  }
};
const link = (href, text) => {
  const a = document.createElement('a'); a.href = href; a.textContent = text; return a;
};
const get = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};
const size = (bytes) => bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB`
  : `${(bytes / 1e6).toFixed(1)} MB`;
const cameras = (all) => Object.entries(all || {}).map(([n, c]) => `${n} ${c.state}`).join(', ');
async function refresh() {
  const sessions = await get('api/v1/sessions');
  rows('sessions', ['name', 'state', 'frames', 's/frame', 'viewers', 'cameras'],
    sessions.map((s) => [s.name, s.state, s.frames ?? 0, (s.last_engine_seconds ?? 0).toFixed(2),
      s.viewers, cameras(s.cameras)]));
  const recordings = await get('api/v1/recordings');
  rows('recordings', ['name', 'size', 'changed'], recordings.map((r) =>
    [link(`recordings/${encodeURIComponent(r.name)}`, r.name), size(r.bytes),
      new Date(r.modified * 1000).toLocaleString()]));
}
async function api() {
  const spec = await get('openapi.json');
  const list = [];
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, what] of Object.entries(methods)) {
      list.push([method.toUpperCase(), path, what.summary || '']);
    }
  }
  list.push(['WS', '/api/v1/sessions/{name}/live', 'Watch a live session']);
  rows('api', ['', 'path', ''], list);
  document.getElementById('player').hidden = Boolean((await get('health')).player);
}
api().catch(console.error);
const again = () => refresh().catch(console.error).finally(() => setTimeout(again, 2000));
again();
"""
