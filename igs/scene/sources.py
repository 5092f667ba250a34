"""Frame sources made from other sources: part of one, and one played forth and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from igs.scene.camera import Camera
from igs.scene.errors import SceneError
from igs.scene.frame import FrameSource, MultiViewFrame
from igs.scene.prefetch import prefetched
from igs.scene.rig import resolve_views


class SubsetSource:
    """The first frames, or some cameras, of another source.

    The other source still decodes the cameras left out here; where that matters, leave them out
    there (`VideoFolderSource(..., only=...)`).

    Args:
        source: any source.
        num_frames: how many frames; None keeps all. An endless source becomes a finite one.
        views: names or positions of the cameras to keep, in this order; None keeps all.

    Raises:
        SceneError: more frames than the source has, fewer than one, or an unknown camera.
    """

    def __init__(
        self,
        source: FrameSource,
        num_frames: int | None = None,
        views: Sequence[str | int] | None = None,
    ) -> None:
        available = source.num_frames
        if num_frames is not None and num_frames < 1:
            raise SceneError(f"num_frames: {num_frames} must be at least 1")
        if num_frames is not None and available is not None and num_frames > available:
            raise SceneError(f"num_frames: {num_frames} are wanted, the source has {available}")
        self._source = source
        self._num_frames = available if num_frames is None else num_frames
        names = list(source.cameras) if views is None else resolve_views(views, source.cameras)
        self._cameras = {name: source.cameras[name] for name in names}

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras kept."""
        return self._cameras

    @property
    def num_frames(self) -> int | None:
        """Number of frames, None if endless."""
        return self._num_frames

    @property
    def fps(self) -> float:
        """Frames per second of the source."""
        return self._source.fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on.

        Raises:
            SceneError: `start` is negative or beyond the end.
        """
        _check_start(start, self._num_frames)
        return self._frames(start)

    def _frames(self, start: int) -> Iterator[MultiViewFrame]:
        count = None if self._num_frames is None else self._num_frames - start
        with _Closing(self._source.frames(start)) as frames:
            for frame in islice(frames, count):
                yield replace(
                    frame,
                    images=self._keep(frame.images),
                    network_images=self._keep(frame.network_images),
                )

    def _keep(self, images: Mapping) -> dict:
        return {name: images[name] for name in self._cameras if name in images}


def limit(source: FrameSource, num_frames: int | None) -> FrameSource:
    """The first `num_frames` frames of a source; the source itself for None."""
    return source if num_frames is None else SubsetSource(source, num_frames)


class LoopedSource:
    """A finite source played forth and back several times.

    Frames 0, 1, .. n-1, n-2, .. 1, 0, 1, ..: motion stays continuous, so a short capture can stand
    for a long one. `times` times n frames are played, 300 of 60 for 5. On the way back frames are
    read in blocks, so that memory does not depend on the length of the source or of the loop.

    Args:
        source: a finite source of two frames at least.
        times: how often; None is endless.
        block: frames held at once on the way back. Smaller saves memory and decodes more often.
        prefetch: frames made ahead in one background thread. Better here than in the source, which
            would start a new thread at every turn and block, each with a heap of its own.

    Raises:
        SceneError: an endless or too short source, or `times` or a block below 1.
    """

    def __init__(
        self, source: FrameSource, times: int | None, block: int = 4, prefetch: int = 0
    ) -> None:
        if source.num_frames is None or source.num_frames < 2:
            raise SceneError("loop: the source must be finite and have at least two frames")
        if block < 1 or (times is not None and times < 1):
            raise SceneError(f"loop: times {times} and block {block} must be at least 1")
        self._source = source
        self._length = source.num_frames
        self._num_frames = None if times is None else times * source.num_frames
        self._block = block
        self._prefetch = prefetch

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras of the source."""
        return self._source.cameras

    @property
    def num_frames(self) -> int | None:
        """Number of frames, None if endless."""
        return self._num_frames

    @property
    def fps(self) -> float:
        """Frames per second of the source."""
        return self._source.fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on; `index` and `time` go on rising.

        Raises:
            SceneError: `start` is negative or beyond the end.
        """
        _check_start(start, self._num_frames)
        return prefetched(lambda: self._frames(start), self._prefetch)

    def _frames(self, start: int) -> Iterator[MultiViewFrame]:
        count = None if self._num_frames is None else self._num_frames - start
        with _Closing(self._endless(start)) as frames:
            for index, frame in enumerate(islice(frames, count), start):
                yield replace(frame, index=index, time=index / self.fps)

    def _endless(self, start: int) -> Iterator[MultiViewFrame]:
        period = 2 * self._length - 2
        phase = start % period
        while True:
            if phase < self._length:
                with _Closing(self._source.frames(phase)) as frames:
                    yield from frames
                phase = self._length
            yield from self._backward(period - phase)
            phase = 0

    def _backward(self, first: int) -> Iterator[MultiViewFrame]:
        """Frames `first`, first - 1, .. 1."""
        while first > 0:
            low = max(first - self._block + 1, 1)
            with _Closing(self._source.frames(low)) as frames:
                held = list(islice(frames, first - low + 1))
            while held:
                yield held.pop()
            first = low - 1


def _check_start(start: int, num_frames: int | None) -> None:
    if start < 0 or (num_frames is not None and start > num_frames):
        end = "" if num_frames is None else f" to {num_frames}"
        raise SceneError(f"frames: start {start} is outside 0{end}")


class _Closing:
    """`contextlib.closing` for iterators, of which only generators have a `close`."""

    def __init__(self, frames: Iterator[MultiViewFrame]) -> None:
        self._frames = frames

    def __enter__(self) -> Iterator[MultiViewFrame]:
        return self._frames

    def __exit__(self, *_: object) -> None:
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()
