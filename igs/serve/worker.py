"""The process of one live session: cameras, engine, recording.

It runs apart from the web server, so that no number of viewers takes the interpreter from the
engine, and so that a server that is killed leaves a process that finishes its recording. Both
talk through a pipe, in tuples whose first word says what they are: `header`, `frame`, `status`,
`end` from here, `stop` with seconds or None to here. What does not fit into the pipe in time is
dropped here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from igs.config.serve import LiveConfig
from igs.frame0.camera_color import read_camera_colors
from igs.frame0.corrected_source import ColorCorrectedSource
from igs.gaussians import Gaussians
from igs.scene import FrameSource, read_rig
from igs.serve.live_source import LiveSource, working_rig
from igs.serve.opening import (
    ContinuedSource,
    found_input,
    load_gaussians,
    open_box,
    optimise_frame0,
    warm_up,
)
from igs.serve.outbox import Outbox
from igs.serve.publisher import Publisher, Recording, recording_path, stale_of, write_report
from igs.serve.signals import StopSignals
from igs.stream import MultiViewEngine
from igs.stream.inputs import open_network

logger = logging.getLogger(__name__)

_CLOSING_SECONDS = 5.0  # for writing an index and a report, where the frame in work is given up


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is started with.

    Attributes:
        config: checked.
        root: what its paths are relative to.
        recordings: folder to record into.
        recording_bytes: limit of the recording.
        shutdown_seconds: how long the frame in work is waited for after a signal, or when the
            server is gone.
    """

    config: LiveConfig
    root: Path
    recordings: Path
    recording_bytes: int
    shutdown_seconds: float


class _Stopped(Exception):  # noqa: N818 - no error, but the way out of the optimiser
    """The session was stopped while its first frame was made."""


def run_worker(job: WorkerJob, connection: Connection) -> None:
    """Main function of the process; ends it when the session is over or the server is gone."""
    signals = StopSignals()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if job.config.threads is not None:
        torch.set_num_threads(job.config.threads)
    worker = _Worker(job, connection)
    signals.watch(lambda: worker.stop(job.shutdown_seconds), worker.give_up)
    try:
        worker.run()
        error = ""
    except _Stopped:
        error = ""
    except (ValueError, OSError, RuntimeError) as caught:
        logger.exception("session %s", job.config.name)
        error = " ".join(str(caught).split()) or type(caught).__name__
    worker.finish(error, 2 * job.config.ingest.timeout)
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
        self._finishing, self._finished = threading.Lock(), False
        self._deadline: threading.Timer | None = None
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
        inputs = [found_input(entry, job.root) for entry in config.inputs]
        source = LiveSource(working_rig(rig, config.size), inputs, config.ingest)
        self._source = source
        if config.record:
            path = recording_path(job.recordings, config.name, self._started)
            self._recording = Recording(path, job.recording_bytes)
        gaussians = load_gaussians(config, job.root)
        box = open_box(config, job.root)
        network = open_network(config.motion)
        if gaussians is not None and config.refine.num_iterations():
            warm_up(gaussians, config)
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

    def stop(self, within: float | None = None) -> None:
        """Let `run` end after the frame in work, or give that up after so many seconds."""
        self._stop.set()
        if self._source is not None:
            self._source.stop()
        if within is not None and self._deadline is None:
            self._deadline = threading.Timer(within, self.give_up)
            self._deadline.daemon = True
            self._deadline.start()

    def give_up(self) -> None:
        """Finish without the frame in work, and end the process whatever it is at."""
        if not self._finished:
            self._note = "stopped before the frame in work was done"
            logger.warning("session %s: %s", self.config.name, self._note)
        closing = threading.Thread(target=self.finish, args=("", 0.0), daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)
        os._exit(1 if closing.is_alive() else 0)

    def finish(self, error: str, patience: float) -> None:
        """Finish the recording, write the report, tell the server; harmless when repeated.

        Args:
            error: why the session failed, empty if it did not.
            patience: seconds to wait for cameras whose readers sit in the system's calls.
        """
        with self._finishing:
            if self._finished:
                return
            self._finished = True
            if self._source is not None:
                self._source.stop()
            if self._recording is not None:
                self._recording.close()
            self._state, self._note = ("failed", error) if error else ("ended", self._note)
            self._report()  # at once: who stops us may not wait for the cameras
            if self._source is not None:
                self._source.join(patience)
            self._report()  # with their last pictures counted
            self._outbox.close(("status", self.status()), ("end", error))
            self._connection.close()

    def _report(self) -> None:
        if self._recording is None or not self._recording.num_frames:
            return
        try:
            write_report(self._recording, self.status())
        except OSError as problem:
            logger.error("%s: no report: %s", self._recording.path, problem)

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
        """Heed every `stop`, until the server is gone."""
        try:
            while True:
                kind, within = self._connection.recv()
                if kind == "stop":
                    self.stop(within)
        except (EOFError, OSError):
            if not self._finished:
                logger.warning("session %s: the server is gone", self.config.name)
                self.stop(self.job.shutdown_seconds)

    def _begin(
        self, source: LiveSource, gaussians: Gaussians | None
    ) -> tuple[FrameSource, Gaussians | None]:
        """Wait for the first frame; make Gaussians of it unless they were loaded."""
        frames = source.frames()
        first = next(frames, None)
        if self._stop.is_set() or first is None:
            self._note = "no frame came"
            return source, None
        given: FrameSource = ContinuedSource(source, first, frames)
        colors = None
        if gaussians is None:
            self._state = "frame0"
            gaussians, colors = optimise_frame0(
                self.config,
                source,
                first,
                root=self.job.root,
                scratch=self.job.recordings,
                progress=self._frame0_progress,
            )
            source.rebase(1 / source.fps)
        elif self.config.frame0.colors is not None:
            colors = read_camera_colors(self.job.root / self.config.frame0.colors)
        if colors is not None:
            given = ColorCorrectedSource(given, colors)
        self._state = "live"
        return given, gaussians

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
