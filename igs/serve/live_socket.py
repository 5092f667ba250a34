"""The WebSocket of one viewer; docs/serve.md, "Watching a live session"."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from igs.config.serve import ServeLimits
from igs.serve.guard import RateLimiter
from igs.serve.session import LiveSession, Viewer

NORMAL, GOING_AWAY, UNSUPPORTED, POLICY = 1000, 1001, 1003, 1008


async def serve_viewer(socket: WebSocket, session: LiveSession, limits: ServeLimits) -> None:
    """Send a session to one viewer until either side ends it.

    A message is handed to the connection only when the one before has left it; what comes in the
    meantime waits in the viewer's queue, where the rules for slow viewers hold.
    """
    await socket.accept()
    address = socket.client.host if socket.client else ""
    viewer = session.join(address)
    viewer.task = asyncio.create_task(_send(socket, session, viewer))
    listener = asyncio.create_task(_listen(socket, viewer, limits))
    try:
        await asyncio.wait({viewer.task, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        session.leave(viewer)
        for task in (viewer.task, listener):
            task.cancel()
        results = await asyncio.gather(viewer.task, listener, return_exceptions=True)
    for result in results:
        gone = (WebSocketDisconnect, asyncio.CancelledError, RuntimeError, OSError)
        if isinstance(result, BaseException) and not isinstance(result, gone):
            raise result


async def _send(socket: WebSocket, session: LiveSession, viewer: Viewer) -> None:
    loop = asyncio.get_running_loop()
    await socket.send_text(json.dumps(session.hello()))
    started = False
    while True:
        viewer.wake.clear()
        viewer.busy_since = loop.time()
        if not started and session.header is not None:
            await socket.send_bytes(session.header)
            started = True
        for notice in _taken(viewer):
            await socket.send_text(json.dumps(notice))
        message = viewer.queue.pop() if started and viewer.queue is not None else None
        if message is not None:
            await socket.send_bytes(message)
            # Where sending never waits, others have their turn here.
            await asyncio.sleep(0)
            continue
        viewer.busy_since = None
        if viewer.over:
            await socket.close(NORMAL, "the session is over")
            return
        if not viewer.notices:
            await viewer.wake.wait()


def _taken(viewer: Viewer) -> list[dict[str, Any]]:
    # The end is told after the last frame.
    last = [n for n in viewer.notices if n["type"] == "end" and viewer.queue]
    now = [n for n in viewer.notices if n not in last]
    viewer.notices = last
    return now


async def _listen(socket: WebSocket, viewer: Viewer, limits: ServeLimits) -> None:
    rates = RateLimiter(limits.control_per_second, 2 * limits.control_per_second)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is None:
            await socket.close(UNSUPPORTED, "control messages are JSON text")
            return
        if len(text) > limits.control_bytes or not rates.allow(""):
            await socket.close(POLICY, "too many or too long control messages")
            return
        problem = _obey(viewer, text)
        if problem:
            viewer.notify({"type": "error", "reason": problem})


def _obey(viewer: Viewer, text: str) -> str:
    """Do what a control message says; returns what is wrong with it."""
    try:
        message = json.loads(text)
        kind = message["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 'a control message is a JSON object with "type"'
    if kind == "ping":
        viewer.notify({"type": "pong", "id": str(message.get("id", ""))[:64]})
        return ""
    if kind == "layers" and type(message.get("max")) is int:
        viewer.wish = {**viewer.wish, "layers": message["max"]}
    elif kind == "frames" and message.get("only") in ("all", "references"):
        viewer.wish = {**viewer.wish, "keys_only": message["only"] == "references"}
    else:
        return (
            'known: {"type": "layers", "max": N}, {"type": "frames", "only": "all" | '
            '"references"}, {"type": "ping", "id": TEXT}'
        )
    viewer.apply_wish()
    return ""
