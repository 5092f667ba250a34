"""The player's decoder on a live session, over the WebSocket of the server."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from igs.config.serve import ServeLimits, ViewerPolicy
from igs.fvv import Decoder, Encoder, FvvConfig, StreamHeader, make_header
from igs.serve.publisher import PublishedFrame, published, stream_start
from igs.serve.session import LiveSession

from .conftest import read_dump
from .streams import stream
from .test_decoder import check

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

JOINED_AT = 8  # frames that were published before the viewer comes
PACE = 0.04


def encoded() -> tuple[StreamHeader, list[PublishedFrame], dict]:
    """A stream as published, and its frames as the Python decoder gives them."""
    frames = stream(count=200, frames=20)
    config = FvvConfig(intra_interval=9, level=3, refine=2)
    header = make_header(frames[0].gaussians, config)
    encoder, decoder = Encoder(header, config), Decoder(header)
    sent, expected = [], {}
    for frame in frames:
        chunks = encoder.push(frame)
        sent.append(published(chunks, frame.seconds))
        expected[frame.index] = decoder.decode(chunks)
    return header, sent, expected


@contextmanager
def served(session: LiveSession) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """One session at an address; with the loop that it lives in."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    from igs.serve.live_socket import serve_viewer

    loops: list[asyncio.AbstractEventLoop] = []

    async def live(socket: WebSocket) -> None:
        await serve_viewer(socket, session, ServeLimits())

    app = Starlette(routes=[WebSocketRoute("/live", live)])

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/live", loops[0]
    finally:
        server.should_exit = True
        thread.join(20)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("layer", [None, 0])
def test_watching(tmp_path: Path, bundled: Callable[[str], Path], layer: int | None) -> None:
    header, frames, expected = encoded()
    session = LiveSession("live", ViewerPolicy())
    with served(session) as (url, loop):
        loop.call_soon_threadsafe(session.begin, stream_start(header))
        for frame in frames[:JOINED_AT]:
            loop.call_soon_threadsafe(session.publish, frame)
        words = ["node", "--experimental-websocket", "--no-warnings", str(bundled("watch")), url]
        words += [str(tmp_path / "arrays.bin")]
        words += ["--layer", str(layer)] if layer is not None else []
        viewer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: len(session.viewers) == 1 or viewer.poll() is not None)
        for frame in frames[JOINED_AT:]:
            time.sleep(PACE)
            loop.call_soon_threadsafe(session.publish, frame)
        time.sleep(PACE)
        loop.call_soon_threadsafe(session.end, "")
        out, _ = viewer.communicate(timeout=60)
    made = read_dump(out, tmp_path / "arrays.bin")
    assert made.end["errors"] == []
    numbers = [frame["number"] for frame in made.frames]
    # Frame 6 is the newest key frame when the viewer comes.
    assert made.info["liveFrom"] == 6
    assert numbers[0] >= 6
    assert numbers[-1] == len(frames) - 1
    assert numbers == sorted(set(numbers))
    if layer is None:
        for frame in made.frames:
            check(frame, expected[frame["number"]])
    else:
        assert made.frames[-1]["shDegree"] == layer
