"""Live cameras as a `FrameSource` without an end.

The engine is given the newest whole frame whenever it asks. Frames that became whole in the
meantime are dropped and counted; a frame that misses a camera which is there is never given.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from igs.config.serve import CameraInput, IngestConfig
from igs.scene import Camera, MultiViewFrame, Rig, SceneError, Undistorter
from igs.scene.video_decode import displayed_size, frame_to_rgb
from igs.serve.capture import CameraReader
from igs.serve.grouping import Picture, Step, StepGrouper

logger = logging.getLogger(__name__)

_TICK = 0.05  # seconds between looks at steps that wait too long


@dataclass
class CameraState:
    """`connecting`, `open`, `away`, `ended` or `refused`, why, and when a picture last came."""

    state: str = "connecting"
    reason: str = ""
    heard: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self.state in ("ended", "refused")


class LiveSource:
    """Synchronised frames of live cameras.

    Args:
        rig: cameras of the scene at the working size; those without an input are left out.
        inputs: where the pictures come from.
        config: see `IngestConfig`.
        clock: the local clock, seconds.

    Raises:
        SceneError: an input that is no camera of the rig; the nearest right name is offered.
    """

    def __init__(
        self,
        rig: Rig,
        inputs: list[CameraInput],
        config: IngestConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rig, self._config, self._clock = rig.subset([i.name for i in inputs]), config, clock
        self._inputs = inputs
        tolerance = config.tolerance or 0.5 / config.fps
        self._grouper: StepGrouper[av.VideoFrame] = StepGrouper(
            self._rig.cameras,
            tolerance=tolerance,
            wait=config.wait,
            depth=config.depth,
            min_cameras=config.min_cameras,
        )
        self._states = {name: CameraState() for name in self._rig.cameras}
        self._newest: Step[av.VideoFrame] | None = None
        self._changed = threading.Condition()
        self._stopped = False
        self._readers: list[CameraReader] = []
        self._started = clock()
        self._views = {name: _View(camera, self._rig) for name, camera in self._rig.cameras.items()}
        self._last: dict[str, np.ndarray] = {}
        self._origin: float | None = None
        self._rebase: float | None = None

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Cameras with an input, in the order of the inputs."""
        return self._rig.cameras

    @property
    def num_frames(self) -> None:
        """None: without an end."""
        return

    @property
    def fps(self) -> float:
        """Frames per second that the cameras are said to have."""
        return self._config.fps

    def start(self) -> None:
        """Begin to read all cameras; harmless when repeated."""
        if self._readers:
            return
        epoch = self._clock()
        self._readers = [
            CameraReader(entry, self._config, self, epoch=epoch, clock=self._clock)
            for entry in self._inputs
        ]
        self._started = epoch
        for reader in self._readers:
            reader.start()

    def stop(self) -> None:
        """End `frames` and all readers; may be called from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for reader in self._readers:
            reader.stop()

    def join(self, timeout: float) -> bool:
        """Wait for the readers to end; whether all have."""
        deadline = time.monotonic() + timeout
        ended = [r.join(max(deadline - time.monotonic(), 0.0)) for r in self._readers]
        return all(ended)

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the newest whole frame each time, numbered from `start` on, until stopped.

        `time` counts from the first frame; it has gaps where frames were dropped. The first frame
        waits `start_seconds` for all cameras. Ends when every camera has ended.
        """
        self.start()
        index = start
        while (step := self._take()) is not None:
            if self._origin is None:
                self._origin = step.time
            if self._rebase is not None:
                self._origin, self._rebase = step.time - self._rebase, None
            yield self._frame(index, step)
            index += 1

    def rebase(self, seconds: float) -> None:
        """Let the next frame's time be `seconds`, however long ago the frame before was."""
        self._rebase = seconds

    def status(self) -> dict[str, Any]:
        """Counters of cameras and steps, plain values."""
        with self._changed:
            away = self._away()
            cameras = {
                name: {
                    "state": "away" if name in away and not self._states[name].is_over else s.state,
                    "reason": s.reason,
                    "waiting": self._grouper.waiting(name) + self._held(name),
                    **asdict(self._grouper.counts[name]),
                }
                for name, s in self._states.items()
            }
            return {"cameras": cameras, "steps": asdict(self._grouper.steps)}

    # --- told by the readers' threads

    def picture(self, name: str, time: float, frame: av.VideoFrame) -> None:
        """See `capture.Receiver`."""
        with self._changed:
            state, counts = self._states[name], self._grouper.counts[name]
            if state.state == "refused":
                return
            if frame.is_corrupt:
                counts.received += 1
                counts.damaged += 1
                return
            problem = self._views[name].problem(frame)
            if problem:
                self._set_state(name, "refused", problem)
                return
            if self._is_away(name, self._clock()) and state.heard is not None:
                logger.info("camera %s: is back", name)
            now = self._clock()
            state.state, state.reason, state.heard = "open", "", now
            self._grouper.add(name, Picture(time, now, frame))
            self._collect(now)

    def damaged(self, name: str) -> None:
        """See `capture.Receiver`."""
        with self._changed:
            self._grouper.counts[name].received += 1
            self._grouper.counts[name].damaged += 1

    def lost(self, name: str, count: int) -> None:
        """See `capture.Receiver`."""
        with self._changed:
            self._grouper.counts[name].lost += count

    def state(self, name: str, state: str, reason: str) -> None:
        """See `capture.Receiver`."""
        with self._changed:
            now = self._states[name].state
            # A camera that is tried again stays away until a picture comes.
            if now == "refused" or (now == "away" and state in ("connecting", "open")):
                return
            self._set_state(name, state, reason)
            self._changed.notify_all()

    def _set_state(self, name: str, state: str, reason: str) -> None:
        before = self._states[name]
        if state in ("away", "refused") and before.state != state:
            logger.warning("camera %s: %s (%s)", name, state, reason)
            self._grouper.counts[name].outages += 1
        before.state, before.reason = state, reason

    # --- under the lock

    def _take(self) -> Step[av.VideoFrame] | None:
        """Wait for the newest whole step; None when there will be none."""
        with self._changed:
            while not self._stopped:
                self._collect(self._clock())
                if self._newest is not None and self._may_begin():
                    step, self._newest = self._newest, None
                    self._grouper.steps.delivered += 1
                    for name in step.pictures:
                        self._grouper.counts[name].used += 1
                    return step
                if self._is_over():
                    return None
                self._changed.wait(_TICK)
            return None

    def _is_over(self) -> bool:
        """Whether every camera has ended and nothing of them waits."""
        waits = self._newest is not None or any(map(self._grouper.waiting, self._states))
        return not waits and all(state.is_over for state in self._states.values())

    def _may_begin(self) -> bool:
        """The first frame should have all cameras, or waits for them as long as is allowed."""
        if self._origin is not None or self._newest is None:
            return True
        enough = len(self._newest.pictures) == len(self._states)
        return enough or self._clock() - self._started > self._config.start_seconds

    def _collect(self, now: float) -> None:
        for step in self._grouper.collect(now, self._away()):
            self._skip_newest()
            self._newest = step
            self._changed.notify_all()

    def _skip_newest(self) -> None:
        if self._newest is not None:
            self._grouper.steps.skipped += 1
            for name in self._newest.pictures:
                self._grouper.counts[name].skipped += 1
            self._newest = None

    def _held(self, name: str) -> int:
        return int(self._newest is not None and name in self._newest.pictures)

    def _away(self) -> set[str]:
        now = self._clock()
        away = set()
        for name, state in self._states.items():
            if self._is_away(name, now):
                away.add(name)
                if state.state == "open":
                    reason = f"no picture for {self._config.lost_after:g} s"
                    self._set_state(name, "away", reason)
        return away

    def _is_away(self, name: str, now: float) -> bool:
        state = self._states[name]
        if state.state in ("away", "ended", "refused"):
            return True
        if state.heard is None:  # not seen yet: the beginning is not held up for ever
            return now - self._started > self._config.start_seconds
        return now - state.heard > self._config.lost_after

    # --- in the thread of `frames`

    def _frame(self, index: int, step: Step[av.VideoFrame]) -> MultiViewFrame:
        assert self._origin is not None
        images = {}
        for name, view in self._views.items():
            picture = step.pictures.get(name)
            if picture is not None:
                self._last[name] = view.image(picture.content)
            images[name] = self._last.get(name, view.grey)
        stale = frozenset(name for name in self._views if name not in step.pictures)
        return MultiViewFrame(index, step.time - self._origin, images, stale=stale)


class _View:
    """From a decoded picture to the image the camera's calibration is for."""

    def __init__(self, camera: Camera, rig: Rig) -> None:
        self._camera, self._reformatter = camera, VideoReformatter()
        lens = rig.distortion.get(camera.name)
        self._undistorter = Undistorter(lens, camera) if lens else None
        self.grey = np.full((camera.height, camera.width, 3), 128, np.uint8)

    def problem(self, frame: av.VideoFrame) -> str:
        """Why pictures of this shape cannot be used; empty if they can."""
        width, height = displayed_size(frame)
        camera = self._camera
        slack = 0.5 * max(width + height, camera.width + camera.height)
        if abs(width * camera.height - height * camera.width) <= slack:
            return ""
        return (
            f"{width} x {height} pixels do not have the shape of the calibration, "
            f"{camera.width} x {camera.height}"
        )

    def image(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB at the camera's size."""
        size = (self._camera.width, self._camera.height)
        image = frame_to_rgb(frame, size, self._reformatter)
        return image if self._undistorter is None else self._undistorter(image)


def working_rig(rig: Rig, size: list[int] | None) -> Rig:
    """The rig at the size to work at.

    Raises:
        SceneError: a size of another shape than a camera.
    """
    if size is None:
        return rig
    for camera in rig.cameras.values():
        if abs(size[0] * camera.height - size[1] * camera.width) > 0.5 * (
            camera.width + camera.height
        ):
            raise SceneError(
                f"size: {size[0]} x {size[1]} does not have the shape of camera {camera.name!r}, "
                f"{camera.width} x {camera.height}"
            )
    cameras = {name: camera.resized(*size) for name, camera in rig.cameras.items()}
    return Rig(cameras, rig.held_out, rig.distortion, rig.fps, rig.num_frames)
