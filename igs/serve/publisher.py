"""From reconstructed frames to chunks: recorded on disk and handed on, one after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igs.config.fvv import PRESETS
from igs.config.serve import LiveConfig
from igs.fvv import Encoder, FvvWriter, SourceFrame, StreamHeader, make_header
from igs.fvv.chunks import INTRA, REFERENCE, Chunk, pack_prefix
from igs.scene import Camera
from igs.scene.files import write_json
from igs.stream import StreamFrame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFrame:
    """One frame as it goes to viewers.

    Attributes:
        index: of the time step.
        seconds: since the beginning.
        intra: needs no other frame.
        reference: later frames may need it.
        layers: packed chunks, base first.
    """

    index: int
    seconds: float
    intra: bool
    reference: bool
    layers: tuple[bytes, ...]

    def message(self, layers: int) -> bytes:
        """The first `layers` chunks in one piece, at least the base."""
        return b"".join(self.layers[: max(layers, 1)])

    def num_bytes(self, layers: int) -> int:
        """Bytes of `message`."""
        return sum(map(len, self.layers[: max(layers, 1)]))


def published(chunks: list[Chunk], seconds: float) -> PublishedFrame:
    """A frame from the encoder's chunks."""
    head = chunks[0].header
    layers = tuple(chunk.pack() for chunk in chunks)
    intra, reference = bool(head.flags & INTRA), bool(head.flags & REFERENCE)
    return PublishedFrame(head.frame, seconds, intra, reference, layers)


def stream_start(header: StreamHeader) -> bytes:
    """What every viewer is sent first: the 16 bytes and the header chunk."""
    return pack_prefix() + header.to_chunk().pack()


class Recording:
    """A growing file; a full disk or the limit ends it, and never the session.

    Another thread may close it; what comes afterwards is left out.

    Args:
        path: file to write.
        limit: bytes after which it is finished.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.state, self.num_frames = path, "waiting", 0
        self._limit, self._closed = limit, False
        self._lock = threading.RLock()
        self._writer: FvvWriter | None = None

    def begin(self, header: StreamHeader) -> None:
        """Write the start of the file."""
        with self._lock:
            if not self._closed:
                self._guarded(lambda: self._open(header))

    def write(self, chunks: list[Chunk]) -> None:
        """Append one frame."""
        with self._lock:
            writer = self._writer
            if self.state != "recording" or writer is None:
                return
            if writer.num_bytes + sum(map(len, chunks)) > self._limit:
                logger.warning("%s: reached the limit of %d bytes", self.path, self._limit)
                self.close("finished: limits.recording_bytes is reached")
                return
            self._guarded(lambda: self._append(writer, chunks))

    def close(self, state: str = "finished") -> None:
        """Write the index; harmless when repeated."""
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
            if writer is not None:
                self._guarded(writer.close)
                if self.state == "recording":
                    self.state = state

    @property
    def num_bytes(self) -> int:
        """Size of the file by now."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def _open(self, header: StreamHeader) -> None:
        self._writer = FvvWriter(self.path, header)
        self.state = "recording"

    def _append(self, writer: FvvWriter, chunks: list[Chunk]) -> None:
        writer.write(chunks)
        self.num_frames += 1

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            reason = error.strerror or str(error)
            logger.error("%s: recording ends: %s", self.path, reason)
            self.state = f"failed: {reason}"
            self._writer = None


class Publisher:
    """Encodes frame after frame, records, and hands on.

    Args:
        config: of the session.
        cameras: kept in the header.
        recording: where to record; None for not at all.
        header: told the start of the stream, once.
        frame: told every frame.
    """

    def __init__(
        self,
        config: LiveConfig,
        cameras: Mapping[str, Camera],
        recording: Recording | None,
        *,
        header: Callable[[bytes], None],
        frame: Callable[[PublishedFrame], None],
    ) -> None:
        self._config, self._cameras, self.recording = config, cameras, recording
        self._tell_header, self._tell_frame = header, frame
        self._encoder: Encoder | None = None
        self.encode_seconds = 0.0

    def push(self, frame: StreamFrame) -> PublishedFrame:
        """Publish one frame.

        Raises:
            ValueError: Gaussians that cannot be encoded.
        """
        started = time.perf_counter()
        encoder = self._encoder or self._begin(frame)
        # Only refinement changes the rows; motion and holding still keep them.
        same = frame.index > 0 and frame.refinement is None
        chunks = encoder.push(
            SourceFrame(frame.index, frame.time, frame.gaussians, frame.is_key, same)
        )
        if self.recording is not None:
            self.recording.write(chunks)
        out = published(chunks, frame.time)
        self._tell_frame(out)
        self.encode_seconds = time.perf_counter() - started
        return out

    def _begin(self, frame: StreamFrame) -> Encoder:
        fvv = PRESETS[self._config.preset]
        red, green, blue = self._config.background
        header = make_header(
            frame.gaussians,
            fvv,
            cameras=self._cameras,
            background=(red, green, blue),
            extra={"session": self._config.name, "live": True},
        )
        if self.recording is not None:
            self.recording.begin(header)
        self._tell_header(stream_start(header))
        self._encoder = Encoder(header, fvv)
        return self._encoder


def recording_path(folder: Path, name: str, now: float) -> Path:
    """`<name>-<UTC time>.fvv`, with a number behind it if that is taken."""
    stem = f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    path, count = folder / f"{stem}.fvv", 1
    while path.exists():
        count += 1
        path = folder / f"{stem}-{count}.fvv"
    return path


def write_report(recording: Recording, report: Mapping[str, Any]) -> Path:
    """The session's counters beside the recording, `<name>.json`."""
    path = recording.path.with_suffix(".json")
    write_json(path, dict(report), indent=2)
    return path


def stale_of(frame: StreamFrame) -> list[str]:
    """Cameras that a frame was made without."""
    return sorted(frame.captured.stale)
