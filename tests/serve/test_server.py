"""The web server: files by range, refusals, viewers; sessions here are fed by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from live_rig import Stream, free_ports, make_capture, served
from watching import Watched, watch

from igs.config import ConfigError
from igs.config.serve import ServeConfig
from igs.fvv import FvvReader, FvvWriter, StreamHeader
from igs.serve.app import create_app
from igs.serve.guard import Guard
from igs.serve.session import LiveSession
from igs.serve.state import ServerState


def write_recording(path: Path, count: int = 8) -> bytes:
    stream = Stream()
    frames = [stream.next() for _ in range(count)]
    path.write_bytes(stream.start + b"".join(frame.message(9) for frame in frames))
    return path.read_bytes()


def make_app(folder: Path, *, live: bool = True, **settings: object) -> tuple[Guard, ServerState]:
    """An application whose session `live` waits to be fed."""
    config = ServeConfig(recordings=str(folder))
    limits = settings.pop("limits", {})
    assert isinstance(limits, dict)
    for key, value in settings.items():
        setattr(config, key, value)
    for key, value in limits.items():
        setattr(config.limits, key, value)
    (folder.parent / "rig").mkdir(exist_ok=True)
    sessions = {}
    if live:
        own = make_capture(folder.parent / "rig", free_ports(4))
        sessions = {"live": (own, folder.parent / "rig")}
    app = create_app(config, sessions, autostart=False)
    state: ServerState = app.app.state.server  # type: ignore[attr-defined]
    return app, state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recordings"
    made.mkdir()
    return made


@pytest.fixture
def client(folder: Path) -> Iterator[httpx.Client]:
    write_recording(folder / "one.fvv")
    (folder.parent / "secret.fvv").write_bytes(b"secret")
    (folder / "link.fvv").symlink_to(folder.parent / "secret.fvv")
    app, _ = make_app(folder)
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as made:
        yield made


def test_a_recording_by_ranges_is_the_file(client: httpx.Client, folder: Path):
    data = (folder / "one.fvv").read_bytes()
    whole = client.get("/recordings/one.fvv")
    assert whole.content == data
    assert whole.headers["accept-ranges"] == "bytes"
    pieces = []
    for begin in range(0, len(data), 1000):
        answer = client.get(
            "/recordings/one.fvv", headers={"Range": f"bytes={begin}-{begin + 999}"}
        )
        assert answer.status_code == 206
        assert answer.headers["content-range"].endswith(f"/{len(data)}")
        pieces.append(answer.content)
    assert b"".join(pieces) == data
    tail = client.get("/recordings/one.fvv", headers={"Range": "bytes=-16"})
    assert tail.content == data[-16:]
    beyond = client.get("/recordings/one.fvv", headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    two = client.get("/recordings/one.fvv", headers={"Range": "bytes=0-1,5-6"})
    assert two.status_code == 416
    assert int(client.head("/recordings/one.fvv").headers["content-length"]) == len(data)


def test_listing_and_description(client: httpx.Client):
    [entry] = client.get("/api/v1/recordings").json()
    assert entry["name"] == "one.fvv"
    assert entry["live"] is False
    about = client.get("/api/v1/recordings/one.fvv").json()
    assert (about["frames"], about["layers"], about["finished"]) == (8, 3, False)
    assert about["seconds"] == pytest.approx(7 / 15, abs=1e-3)
    assert about["damage"] == []
    assert about["report"] is None


@pytest.mark.parametrize(
    "path",
    [
        "../secret.fvv",
        "..%2fsecret.fvv",
        "%2e%2e/secret.fvv",
        "..%5csecret.fvv",
        "link.fvv",
        "one.fvv%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        ".fvv",
        "one.json",
        "nothing.fvv",
    ],
)
def test_nothing_but_recordings_can_be_had(client: httpx.Client, path: str):
    for url in (f"/recordings/{path}", f"/api/v1/recordings/{path}"):
        answer = client.get(url)
        assert answer.status_code == 404
        assert b"secret" not in answer.content or b"no recording" in answer.content
    assert client.delete(f"/api/v1/recordings/{path}").status_code in (404, 405)


def test_without_the_player_a_page_tells_what_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("igs.serve.app.player_is_built", lambda: False)
    app, _ = make_app(folder)
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        index = client.get("/")
        assert "not built" in index.text
        assert index.headers["content-security-policy"].startswith("default-src 'none'")
        assert client.get("/status.js").status_code == 200
        assert client.get("/status.css").status_code == 200


def test_player_api_health_and_metrics(client: httpx.Client):
    player = client.get("/", follow_redirects=True)
    assert player.url.path == "/player/"
    assert player.headers["content-security-policy"].startswith("default-src 'none'")
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/recordings/{name}", "/api/v1/sessions/{name}/stop", "/health"} <= set(paths)
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["sessions"] == {"live": "starting"}
    text = client.get("/metrics").text
    assert '# TYPE igs_viewers gauge\nigs_viewers{session="live"} 0\n' in text
    assert all(line.startswith("#") or len(line.split()) >= 2 for line in text.splitlines())


def test_deleting_on_loopback_needs_no_token(client: httpx.Client, folder: Path):
    other = {"Origin": "http://evil.example"}
    assert client.delete("/api/v1/recordings/one.fvv", headers=other).status_code == 403
    assert (folder / "one.fvv").is_file()
    assert client.delete("/api/v1/recordings/one.fvv").status_code == 204
    assert not (folder / "one.fvv").exists()


def test_names_that_are_not_ours_are_refused(client: httpx.Client):
    for host in ("evil.example", "[::1", "127.0.0.1.evil.example:80"):
        answer = client.get("/api/v1/recordings", headers={"Host": host})
        assert answer.status_code == 421


def test_beyond_loopback_only_watching_is_free(folder: Path):
    write_recording(folder / "one.fvv")
    with pytest.raises(ConfigError, match="token"):
        make_app(folder, host="0.0.0.0")
    app, _ = make_app(folder, host="0.0.0.0", token="a-token-of-some-length")
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        assert client.get("/recordings/one.fvv").status_code == 200
        assert client.get("/api/v1/sessions").status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.post("/api/v1/sessions/live/start").status_code == 401
        wrong = {"Authorization": "Bearer a-token-of-other-length"}
        assert client.delete("/api/v1/recordings/one.fvv", headers=wrong).status_code == 401
        right = {"Authorization": "Bearer a-token-of-some-length"}
        assert client.get("/metrics", headers=right).status_code == 200
        assert client.delete("/api/v1/recordings/one.fvv", headers=right).status_code == 204
        text = client.get("/metrics", headers=right).text
        assert 'igs_refused_total{reason="token"} 3\n' in text


def test_sizes_and_rates_are_limited(folder: Path):
    app, _ = make_app(folder, limits={"request_burst": 5, "requests_per_second": 0.1})
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        big = client.post("/api/v1/sessions/live/stop", content=b"x" * 100_000)
        assert big.status_code == 413
        codes = [client.get("/health").status_code for _ in range(8)]
        assert codes == [200] * 4 + [429] * 4
        assert client.get("/health").headers["retry-after"] == "1"


def feed(app: Guard, session: LiveSession, stream: Stream, count: int, pause: float) -> None:
    """Publish frames from another thread, as a worker's messages come."""
    loop = session_loop(app)
    for _ in range(count):
        loop.call_soon_threadsafe(session.publish, stream.next())
        time.sleep(pause)


def session_loop(app: Guard) -> asyncio.AbstractEventLoop:
    state: ServerState = app.app.state.server  # type: ignore[attr-defined]
    assert state.loop is not None
    return state.loop


def test_a_hundred_viewers_and_one_that_sleeps(folder: Path):
    """Every viewer gets every frame unbroken; one that does not read hurts only itself."""
    app, state = make_app(folder)
    session, stream = state.session("live"), Stream()
    with served(app) as address:
        loop = session_loop(app)
        loop.call_soon_threadsafe(session.begin, stream.start)
        url = f"ws://{address}/api/v1/sessions/live/live"
        feeder = threading.Thread(target=lambda: run_feed(app, session, stream))
        watched = asyncio.run(watch(url, 100, feeder, sleeper=True))
        counts = session.counts()
    assert len(watched) == 100
    for viewer in watched:
        assert viewer.broken == 0
        assert viewer.frames[-1] == 59
        assert viewer.frames == list(range(viewer.frames[0], 60))
        assert viewer.end == "the session is over"
    assert counts.offered >= counts.sent + counts.dropped


def run_feed(app: Guard, session: LiveSession, stream: Stream) -> None:
    feed(app, session, stream, 60, 0.05)
    session_loop(app).call_soon_threadsafe(session.end, "")


def test_control_messages_and_limits_of_viewers(folder: Path):
    app, state = make_app(folder, limits={"viewers": 2})
    session, stream = state.session("live"), Stream()
    with served(app) as address:
        loop = session_loop(app)
        loop.call_soon_threadsafe(session.begin, stream.start)
        url = f"ws://{address}/api/v1/sessions/live/live"
        asyncio.run(control(url, lambda: feed(app, session, stream, 6, 0.01)))


async def control(url: str, publish) -> None:
    async with websockets.connect(url) as first, websockets.connect(url) as second:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 503
        assert b"2 viewers already" in refused.value.response.body
        hello = json.loads(await first.recv())
        assert (hello["type"], hello["session"]) == ("hello", "live")
        await first.send('{"type": "layers", "max": 1}')
        await first.send('{"type": "ping", "id": "7"}')
        seen = [await first.recv(), await first.recv()]
        assert {"type": "pong", "id": "7"} in [json.loads(t) for t in seen if isinstance(t, str)]
        await asyncio.to_thread(publish)
        one = Watched()
        for message in seen:
            one.take(message)
        while len(one.frames) < 6:
            one.take(await asyncio.wait_for(first.recv(), 20))
        assert one.layers == [1] * 6
        await second.send(b"binary")
        assert await closed(second) == 1003
        await first.send('{"type": "dance"}')
        answer = json.loads(await asyncio.wait_for(first.recv(), 20))
        assert answer["type"] == "error"
        for _ in range(100):
            await first.send('{"type": "ping"}')
        assert await closed(first) == 1008
    headers = {"Origin": "http://evil.example"}
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, additional_headers=headers)
    assert refused.value.response.status_code == 403
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url.replace("/live/live", "/other/live"))
    assert refused.value.response.status_code == 404


async def closed(socket: websockets.ClientConnection) -> int | None:
    """Wait until the server closes; gives its code."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


def test_a_finished_recording_is_described_as_such(folder: Path):
    write_recording(folder / "cut.fvv", 3)
    with FvvReader(folder / "cut.fvv") as reader:
        header: StreamHeader = reader.header
        with FvvWriter(folder / "whole.fvv", header) as writer:
            for entry in reader.entries:
                writer.write(reader.chunks(entry))
    app, _ = make_app(folder, live=False)
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        assert client.get("/api/v1/recordings/whole.fvv").json()["finished"] is True
        (folder / "bad.fvv").write_bytes(b"not a container")
        assert client.get("/api/v1/recordings/bad.fvv").status_code == 422
        assert client.get("/api/v1/sessions/live").status_code == 404
