"""One camera, read in a thread through PyAV for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import av.error

from igs.config.serve import CameraInput, IngestConfig
from igs.scene.video_timing import error_reason
from igs.serve.grouping import ArrivalClock

logger = logging.getLogger(__name__)

# Live streams: begin soon, keep no old pictures, and let a burst wait in the socket.
_OPTIONS = {
    "": {"fflags": "nobuffer", "analyzeduration": "1000000", "probesize": "1000000"},
    "udp": {"buffer_size": "8388608", "fifo_size": "100000", "overrun_nonfatal": "1"},
    "rtsp": {"rtsp_transport": "tcp"},
}


class Receiver(Protocol):
    """What a reader tells; called from its thread."""

    def picture(self, name: str, time: float, frame: av.VideoFrame) -> None:
        """A decoded picture, `time` on the common clock."""

    def damaged(self, name: str) -> None:
        """A picture that cannot be decoded."""

    def lost(self, name: str, count: int) -> None:
        """So many pictures are missing by the time stamps."""

    def state(self, name: str, state: str, reason: str) -> None:
        """`connecting`, `open`, `away` or `ended`."""


class CameraReader:
    """Opens a camera, decodes, and opens it again when it fails, until stopped.

    A file is played at the speed of its time stamps, from `epoch` on; it ends unless it loops.

    Args:
        camera: what to open.
        config: clock, time-outs.
        receiver: is told everything.
        epoch: moment of the local clock that files begin at.
        clock: the local clock.
    """

    def __init__(
        self,
        camera: CameraInput,
        config: IngestConfig,
        receiver: Receiver,
        *,
        epoch: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.camera, self.config = camera, config
        self._receiver, self._epoch, self._clock = receiver, epoch, clock
        self._arrival = ArrivalClock()
        self._damaged = 0  # since the last good picture
        self._stop = threading.Event()
        self._is_file = Path(camera.url).is_file()
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; see `join`."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        name, offset = self.camera.name, 0.0
        while not self._stop.is_set():
            self._receiver.state(name, "connecting", "")
            try:
                length = self._read(offset)
                reason = "the stream ended"
            except (av.error.FFmpegError, OSError, ValueError) as error:
                length, reason = None, error_reason(error) or type(error).__name__
            if self._is_file and length is not None:
                if not self.camera.loop:
                    self._receiver.state(name, "ended", "")
                    return
                offset += length
                continue
            if self._stop.is_set():
                return
            self._receiver.state(name, "away", reason)
            self._stop.wait(self.config.retry)

    def _read(self, offset: float) -> float:
        """Read until the end; returns how long it was, seconds."""
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            self._receiver.state(self.camera.name, "open", "")
            first = last = None
            for frame in self._frames(container.demux(stream)):
                if self._stop.is_set():
                    break
                stamp = None if frame.time is None else float(frame.time)
                if stamp is not None:
                    first = stamp if first is None else first
                    self._count_gap(last, stamp)
                    last = stamp
                self._deliver(frame, stamp, first, offset)
            if first is None or last is None:
                return 1 / self.config.fps
            return last - first + 1 / self.config.fps

    def _frames(self, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
        """Decoded pictures; one that cannot be decoded is told and left out."""
        self._damaged = 0
        for packet in packets:
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self._damaged += 1
                self._receiver.damaged(self.camera.name)
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    yield frame

    def _deliver(
        self, frame: av.VideoFrame, stamp: float | None, first: float | None, offset: float
    ) -> None:
        if self._is_file:
            position = self._epoch + offset + (0.0 if stamp is None else stamp - (first or 0.0))
            if self._stop.wait(max(position - self._clock(), 0.0)):
                return
            moment = position
        elif self.config.clock == "stream" and stamp is not None:
            moment = stamp
        else:
            moment = self._arrival(stamp, self._clock())
        self._receiver.picture(self.camera.name, moment, frame)

    def _count_gap(self, last: float | None, stamp: float) -> None:
        """Pictures that the time stamps leave out, within one connection."""
        if last is not None and stamp > last:
            missing = round((stamp - last) * self.config.fps) - 1 - self._damaged
            if missing > 0:
                self._receiver.lost(self.camera.name, missing)
            self._damaged = 0

    def _open(self) -> Any:
        options = {} if self._is_file else {**_OPTIONS[""], **_OPTIONS.get(self._scheme(), {})}
        container = av.open(
            self.camera.url,
            format=self.camera.format,
            options={**options, **self.camera.options},
            timeout=self.config.timeout,
        )
        if not container.streams.video:
            container.close()
            raise ValueError("no video in the stream")
        return container

    def _scheme(self) -> str:
        return self.camera.url.partition("://")[0].lower() if "://" in self.camera.url else "file"
