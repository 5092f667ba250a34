"""Messages of a session to the server, sent by a thread that never holds up the engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from igs.serve.publisher import PublishedFrame

_STATUS_SECONDS = 0.5
_FRAMES_IN_PIPE = 64


class Outbox:
    """Hands messages to the pipe in a thread of its own, and never makes the engine wait.

    When the other side does not read, frames are dropped up to the next intra frame.

    Args:
        connection: to the server.
        status: gives the numbers to send twice a second.
    """

    def __init__(self, connection: Connection, status: Callable[[], dict[str, Any]]) -> None:
        self._connection, self._status = connection, status
        self._queue: deque[tuple] = deque()
        self._changed = threading.Condition()
        self._closed, self._broken, self._waiting = False, False, False
        self.dropped = 0
        self._due = time.monotonic() + _STATUS_SECONDS  # of the next status
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def header(self, data: bytes) -> None:
        """Send the start of the stream."""
        self._put(("header", data))

    def frame(self, frame: PublishedFrame) -> None:
        """Send a frame, or drop it."""
        with self._changed:
            full = len(self._queue) >= _FRAMES_IN_PIPE
            if full or (self._waiting and not frame.intra):
                self._waiting = self._waiting or frame.reference
                self.dropped += 1
                return
            self._waiting = False
        self._put(("frame", frame))

    def close(self, *last: tuple) -> None:
        """Send what is left and these, then end."""
        with self._changed:
            self._queue.extend(last)
            self._closed = True
            self._changed.notify_all()
        self._thread.join(10)

    def _put(self, message: tuple) -> None:
        with self._changed:
            if not self._broken:
                self._queue.append(message)
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (message := self._next()) is not None:
                self._connection.send(message)
        except OSError:  # the server is gone; the session ends by itself
            with self._changed:
                self._broken = True
                self._queue.clear()

    def _next(self) -> tuple | None:
        while True:
            if time.monotonic() >= self._due and not self._closed:
                self._due = time.monotonic() + _STATUS_SECONDS
                return ("status", self._status())
            with self._changed:
                if self._queue:
                    return self._queue.popleft()
                if self._closed:
                    return None
                self._changed.wait(max(self._due - time.monotonic(), 0.0))
