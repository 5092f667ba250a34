"""One live session as the web server sees it: its worker's process, its viewers, its numbers."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from igs.config.serve import ViewerPolicy
from igs.serve.publisher import PublishedFrame
from igs.serve.viewer import ViewerCounts, ViewerQueue
from igs.serve.worker import WorkerJob, run_worker

logger = logging.getLogger(__name__)


class Viewer:
    """One connection to a session: its queue, and what wakes its sender up.

    Attributes:
        queue: None until the start of the stream is known.
        notices: JSON messages that wait, oldest first.
        address: of the client.
        busy_since: loop time at which the message in hand was begun, None between messages.
        task: its sender, for who must end it.
        wish: what it asked for, arguments of `ViewerQueue.ask`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.queue: ViewerQueue | None = None
        self.notices: list[dict[str, Any]] = []
        self.wake = asyncio.Event()
        self.over = False
        self.busy_since: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.wish: dict[str, Any] = {}
        self._told: dict[str, object] = {}

    def apply_wish(self) -> None:
        """Hand what the viewer asked for to its queue, as soon as there is one."""
        if self.queue is not None and self.wish:
            self.queue.ask(**self.wish)
            self.tell_quality()

    def notify(self, notice: dict[str, Any]) -> None:
        """Queue a JSON message; of a kind that waits already, the newer one stays."""
        self.notices = [n for n in self.notices if n["type"] != notice["type"]]
        self.notices.append(notice)
        self.wake.set()

    def tell_quality(self) -> None:
        """Queue a message if what the viewer gets has changed."""
        if self.queue is not None and self.queue.quality != self._told:
            self._told = self.queue.quality
            self.notify({"type": "quality", **self._told})


class LiveSession:
    """Fans a stream out to viewers. Lives in the event loop's thread; nothing here blocks.

    Args:
        name: of the session.
        policy: of viewers' queues.
    """

    def __init__(self, name: str, policy: ViewerPolicy) -> None:
        self.name, self._policy = name, policy
        self.status: dict[str, Any] = {"name": name, "state": "starting"}
        self.header: bytes | None = None
        self.viewers: set[Viewer] = set()
        self.past = ViewerCounts()  # of viewers that have left
        self.published = 0
        self.joined = 0
        self.ended = False
        self._start: list[PublishedFrame] = []  # newest intra frame and the references since
        self._cameras: dict[str, str] = {}

    def join(self, address: str) -> Viewer:
        """A new viewer; it begins at the newest key frame."""
        viewer = Viewer(address)
        self.viewers.add(viewer)
        self.joined += 1
        self._give_queue(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer, keep its numbers."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            if viewer.queue is not None:
                self.past.add(viewer.queue.counts)

    def counts(self) -> ViewerCounts:
        """Of all viewers there were."""
        total = ViewerCounts()
        total.add(self.past)
        for viewer in self.viewers:
            if viewer.queue is not None:
                total.add(viewer.queue.counts)
        return total

    def begin(self, header: bytes) -> None:
        """The start of the stream is known."""
        self.header, self._start = header, []
        for viewer in self.viewers:
            viewer.wake.set()

    def publish(self, frame: PublishedFrame) -> None:
        """Offer a frame to every viewer."""
        self.published += 1
        if frame.intra:
            self._start = []
        for viewer in self.viewers:
            if viewer.queue is None:
                self._give_queue(viewer, len(frame.layers))
            if viewer.queue is not None:
                viewer.queue.push(frame)
                viewer.tell_quality()
                viewer.wake.set()
        if frame.reference:
            self._start.append(frame)

    def update(self, status: dict[str, Any]) -> None:
        """Take in the worker's numbers; cameras that changed are told to the viewers."""
        self.status = status
        cameras = {name: c["state"] for name, c in status.get("cameras", {}).items()}
        if cameras != self._cameras:
            self._cameras = cameras
            for viewer in self.viewers:
                viewer.notify({"type": "cameras", "cameras": cameras})

    def end(self, error: str) -> None:
        """No frame will come any more."""
        self.ended = True
        for viewer in self.viewers:
            viewer.notify({"type": "end", "reason": error or "the session is over"})
            viewer.over = True

    def hello(self) -> dict[str, Any]:
        """The first message of a connection."""
        return {
            "type": "hello",
            "session": self.name,
            "state": self.status["state"],
            "cameras": self._cameras,
            "live_from": self._start[-1].index if self._start else None,
        }

    def _give_queue(self, viewer: Viewer, layers: int | None = None) -> None:
        if self._start:
            viewer.queue = ViewerQueue(self._policy, len(self._start[0].layers), self._start)
        elif layers is not None:
            viewer.queue = ViewerQueue(self._policy, layers)
        viewer.apply_wish()
        viewer.wake.set()


class WorkerHandle:
    """Starts a worker's process and carries its messages into the event loop.

    Args:
        job: what to start it with.
        session: is told everything, in the loop's thread.
    """

    def __init__(self, job: WorkerJob, session: LiveSession) -> None:
        self.job, self.session = job, session
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(
            target=run_worker, args=(job, theirs), name=f"igs session {session.name}"
        )
        self._theirs = theirs

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the process; its messages go to `loop`."""
        self.process.start()
        self._theirs.close()  # so that the end of the process is the end of the pipe
        thread = threading.Thread(
            target=self._listen, args=(loop, self._connection), name="worker", daemon=True
        )
        thread.start()

    def stop(self, within: float | None = None) -> None:
        """Ask the process to finish its recording and end; see `wait`.

        Args:
            within: seconds after which it does so without the frame in work; None waits for that.
        """
        try:
            self._connection.send(("stop", within))
        except OSError:
            logger.debug("session %s: its process is gone already", self.session.name)

    def wait(self, seconds: float) -> bool:
        """Wait for the process to end; after that it is killed. Whether it ended itself."""
        self.process.join(seconds)
        if self.process.exitcode is not None:
            return True
        logger.warning("session %s: did not end within %g s", self.session.name, seconds)
        self.process.kill()
        self.process.join(5)
        return False

    def _listen(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        session, ended = self.session, False
        actions: dict[str, Callable[[Any], None]] = {
            "header": session.begin,
            "frame": session.publish,
            "status": session.update,
            "end": session.end,
        }
        try:
            while not ended:
                kind, content = connection.recv()
                ended = kind == "end"
                loop.call_soon_threadsafe(actions[kind], content)
        except (EOFError, OSError, RuntimeError):  # the process died, or the loop is closed
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._died)

    def _died(self) -> None:
        self.process.join(0.1)  # it is dead; this takes its exit code
        if not self.session.ended:
            self.session.status = {**self.session.status, "state": "failed"}
            self.session.status["note"] = "its process ended without a word"
            self.session.end("the session's process has died")
