"""The process of one live session: cameras, engine, recording.

It runs apart from the web server, so that no number of viewers takes the interpreter from the
engine, and so that a server that is killed leaves a process that finishes its recording. Both
talk through a pipe, in tuples whose first word says what they are: `header`, `frame`, `status`,
`end` from here, `stop` to here. What does not fit into the pipe in time is dropped here.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from igs.config import ConfigError
from igs.config.schema import DensifyConfig, RefineConfig
from igs.config.serve import CameraInput, LiveConfig
from igs.frame0 import make_frame0
from igs.frame0.camera_color import read_camera_colors
from igs.frame0.corrected_source import ColorCorrectedSource
from igs.gaussians import Gaussians, read_ply
from igs.scene import Box, Camera, FrameSource, MultiViewFrame, read_box, read_rig
from igs.serve.live_source import LiveSource, working_rig
from igs.serve.publisher import (
    PublishedFrame,
    Publisher,
    Recording,
    recording_path,
    stale_of,
    write_report,
)
from igs.stream import MultiViewEngine, refine_key_frame
from igs.stream.inputs import open_network
from igs.stream.views import assign_views

logger = logging.getLogger(__name__)

_STATUS_SECONDS = 0.5
_FRAMES_IN_PIPE = 64


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is started with.

    Attributes:
        config: checked.
        root: what its paths are relative to.
        recordings: folder to record into.
        recording_bytes: limit of the recording.
    """

    config: LiveConfig
    root: Path
    recordings: Path
    recording_bytes: int


class _Stopped(Exception):  # noqa: N818 - no error, but the way out of the optimiser
    """The session was stopped while its first frame was made."""


class Outbox:
    """Hands messages to the pipe in a thread of its own, and never makes the engine wait.

    When the other side does not read, frames are dropped up to the next intra frame.
    """

    def __init__(self, connection: Connection, status: Any) -> None:
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


def run_worker(job: WorkerJob, connection: Connection) -> None:
    """Main function of the process; returns when the session is over or the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which says `stop`
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if job.config.threads is not None:
        torch.set_num_threads(job.config.threads)
    worker = _Worker(job, connection)
    try:
        worker.run()
        error = ""
    except _Stopped:
        error = ""
    except (ValueError, OSError, RuntimeError) as caught:
        logger.exception("session %s", job.config.name)
        error = " ".join(str(caught).split()) or type(caught).__name__
    worker.finish(error)
    logging.shutdown()
    # All is written. Readers may still sit in the system's calls for a while, and tearing down the
    # interpreter around such threads can hang or crash.
    os._exit(1 if error else 0)


class _Worker:
    """State of one session's process."""

    def __init__(self, job: WorkerJob, connection: Connection) -> None:
        self.job, self._connection = job, connection
        self.config = job.config
        self._source: LiveSource | None = None
        self._publisher: Publisher | None = None
        self._recording: Recording | None = None
        self._stop = threading.Event()
        self._state, self._note = "starting", ""
        self._frames, self._keys, self._partial = 0, 0, 0
        self._engine_seconds, self._last_seconds = 0.0, 0.0
        self._encode_seconds = 0.0
        self._started = time.time()
        self._outbox = Outbox(connection, self.status)
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def run(self) -> None:
        """Reconstruct until stopped or until all cameras have ended."""
        config, job = self.config, self.job
        rig = read_rig(job.root / config.rig, undistort=config.undistort)
        inputs = [_found(entry, job.root) for entry in config.inputs]
        source = LiveSource(working_rig(rig, config.size), inputs, config.ingest)
        self._source = source
        if config.record:
            path = recording_path(job.recordings, config.name, self._started)
            self._recording = Recording(path, job.recording_bytes)
        gaussians = self._loaded()
        box = _open_box(config, job.root)
        network = open_network(config.motion)
        if gaussians is not None and config.refine.num_iterations():
            _warm_up(gaussians, config)
        if self._stop.is_set():
            return
        self._state = "waiting"
        given, gaussians = self._begin(source, gaussians)
        if gaussians is None:
            return
        engine = MultiViewEngine(config, gaussians, network=network, box=box)
        self._publisher = Publisher(
            config,
            source.cameras,
            self._recording,
            header=self._outbox.header,
            frame=self._outbox.frame,
        )
        self._stream(engine, given, self._publisher)

    def finish(self, error: str) -> None:
        """Finish the recording, write the report, tell the server."""
        if self._source is not None:
            self._source.stop()
        if self._publisher is not None:
            self._publisher.close()
        if self._source is not None:
            self._source.join(2 * self.config.ingest.timeout)
        self._state, self._note = ("failed", error) if error else ("ended", self._note)
        if self._recording is not None and self._recording.num_frames:
            try:
                write_report(self._recording, self.status())
            except OSError as problem:
                logger.error("%s: no report: %s", self._recording.path, problem)
        self._outbox.close(("status", self.status()), ("end", error))
        self._connection.close()

    def status(self) -> dict[str, Any]:
        """Everything that is counted, plain values."""
        recording = self._recording
        live = {} if self._source is None else self._source.status()
        return {
            "name": self.config.name,
            "state": self._state,
            "note": self._note,
            "started": self._started,
            "frames": self._frames,
            "key_frames": self._keys,
            "partial_frames": self._partial,
            "engine_seconds": self._engine_seconds,
            "last_engine_seconds": self._last_seconds,
            "encode_seconds": self._encode_seconds,
            "pipe_dropped": self._outbox.dropped if hasattr(self, "_outbox") else 0,
            "recording": None
            if recording is None
            else {
                "file": recording.path.name,
                "state": recording.state,
                "frames": recording.num_frames,
                "bytes": recording.num_bytes,
            },
            **live,
        }

    def _listen(self) -> None:
        """Wait for `stop`, or for the server to be gone."""
        try:
            while self._connection.recv()[0] != "stop":
                pass
        except (EOFError, OSError):
            logger.warning("session %s: the server is gone", self.config.name)
        self._stop.set()
        if self._source is not None:
            self._source.stop()

    def _loaded(self) -> Gaussians | None:
        frame0 = self.config.frame0
        if frame0.mode != "load" or frame0.ply is None:
            return None
        return read_ply(self.job.root / frame0.ply).to(self.config.device)

    def _begin(
        self, source: LiveSource, gaussians: Gaussians | None
    ) -> tuple[FrameSource, Gaussians | None]:
        """Wait for the first frame; make Gaussians of it unless they were loaded."""
        frames = source.frames()
        first = next(frames, None)
        if self._stop.is_set() or first is None:
            self._note = "no frame came"
            return source, None
        given: FrameSource = _Continued(source, first, frames)
        if gaussians is None:
            self._state = "frame0"
            gaussians, given = self._optimise(source, first, given)
            source.rebase(1 / source.fps)
        elif self.config.frame0.colors is not None:
            colors = read_camera_colors(self.job.root / self.config.frame0.colors)
            given = ColorCorrectedSource(given, colors)
        self._state = "live"
        return given, gaussians

    def _optimise(
        self, source: LiveSource, first: MultiViewFrame, given: FrameSource
    ) -> tuple[Gaussians, FrameSource]:
        config = self.config
        roles = assign_views(config.views, source.cameras)
        names = [name for name in roles.training if name not in first.stale]
        colors = self.job.recordings / f".{config.name}.camera_colors.json"
        gaussians = make_frame0(
            config.frame0,
            [source.cameras[name] for name in names],
            first.images,
            root=self.job.root,
            ply=None,
            background=torch.tensor(config.background, device=config.device),
            seed=config.seed,
            stations=list(source.cameras.values()),
            colors_file=colors,
            progress=self._frame0_progress,
        )
        if colors.is_file():
            given = ColorCorrectedSource(given, read_camera_colors(colors))
            colors.unlink()
        return gaussians, given

    def _frame0_progress(self, stage: str, done: int, total: int, note: str) -> None:
        self._note = f"{stage} {done} of {total} {note}".strip()
        if self._stop.is_set():
            raise _Stopped

    def _stream(self, engine: MultiViewEngine, source: FrameSource, publisher: Publisher) -> None:
        self._note = ""
        for frame in engine.run(source):
            self._last_seconds = sum(v for k, v in frame.seconds.items() if k != "decode")
            publisher.push(frame)
            self._frames += 1
            self._keys += frame.is_key
            self._partial += bool(stale_of(frame))
            self._engine_seconds += self._last_seconds
            self._encode_seconds += publisher.encode_seconds
            if self._stop.is_set():
                return


class _Continued:
    """A live source whose first frame has been taken already."""

    def __init__(
        self, source: LiveSource, first: MultiViewFrame, rest: Iterator[MultiViewFrame]
    ) -> None:
        self._source, self._frames = source, chain([first], rest)

    @property
    def cameras(self) -> Mapping[str, Camera]:
        return self._source.cameras

    @property
    def num_frames(self) -> int | None:
        return None

    @property
    def fps(self) -> float:
        return self._source.fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """The first frame and those that follow; once."""
        if start:
            raise ValueError(f"frames: a live source cannot begin at frame {start}")
        return self._frames


def _found(entry: CameraInput, root: Path) -> CameraInput:
    """An input with a file's path made whole."""
    path = root / entry.url
    return replace(entry, url=str(path)) if path.is_file() else entry


def _warm_up(gaussians: Gaussians, config: LiveConfig) -> None:
    """Refine a few Gaussians and throw them away: the first step loads and compiles code.

    On a slow disk that takes many seconds, which the first live frames should not wait for.
    """
    camera = Camera("warm up", 16, 16, 16.0, 16.0, 8.0, 8.0, np.eye(4))
    once = RefineConfig(iterations=1, densify=DensifyConfig(enabled=False))
    refine_key_frame(
        gaussians.select(torch.arange(min(len(gaussians), 8), device=gaussians.device)),
        [camera],
        {camera.name: np.zeros((16, 16, 3), np.uint8)},
        once,
        extent=1.0,
        background=torch.tensor(config.background, device=config.device),
        generator=torch.Generator().manual_seed(0),
    )


def _open_box(config: LiveConfig, root: Path) -> Box | None:
    box = config.box
    if box.bounds is not None:
        if len(box.bounds) != 2:
            raise ConfigError("box.bounds: needs two corners, [[x, y, z], [x, y, z]]")
        return Box(np.array(box.bounds[0]), np.array(box.bounds[1]))
    if box.file is not None:
        if not box.scene:
            raise ConfigError("box.scene: name the entry of box.file")
        return read_box(root / box.file, box.scene)
    return None
