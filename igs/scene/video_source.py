"""A folder of video files, one per camera, as a source of synchronised frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from igs.scene.camera import Camera
from igs.scene.distortion import Undistorter
from igs.scene.errors import SceneError, list_names, nearest_hint
from igs.scene.frame import MultiViewFrame
from igs.scene.prefetch import prefetched
from igs.scene.rig import Rig, require_shape
from igs.scene.video_decode import VideoDecoder, read_displayed_size
from igs.scene.video_timing import (
    OnMissing,
    common_frame_rate,
    group_by_time,
    read_timing,
)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
_log = logging.getLogger(__name__)


class VideoFolderSource:
    """Synchronised frames from one video file per camera, decoded just in time.

    The time stamps of all files are read once at the start (without decoding), so that cameras
    that disagree are found before any work is done. At any time only the frames in the prefetch
    queue are in memory.

    Args:
        folder: holds ``<camera name>.<mp4, mkv, mov, avi, webm or m4v>``.
        cameras: the rig; cameras are scaled to the size of the images that are yielded. A rig read
            with ``undistort=True`` has its images corrected here.
        only: use these cameras, in this order; without it, every camera must have a video and
            every video a camera.
        size: width and height of the images; None takes each camera's own size.
        num_frames: use the first so many steps; None uses all.
        fps: frame rate to report instead of the files'; time stamps still group the frames.
        tolerance: seconds by which the frames of one step may differ; None is half a frame.
        clock: "relative" counts every camera's time from its own first frame, "absolute" takes the
            files' times as those of one clock.
        on_missing: "error" refuses steps in which a camera has no frame, and cameras of different
            length; "drop" leaves such steps out.
        prefetch: steps decoded ahead in a background thread; 0 decodes in the caller's.
        threads: cameras decoded at the same time; 1 leaves the processor to the optimiser.

    Raises:
        FileNotFoundError: no such folder.
        SceneError: an unreadable video, a video without camera or camera without video, cameras
            that disagree in frame count or rate, or images whose shape does not fit the camera.

    Errors found while decoding are raised by the iterator of `frames`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        cameras: Rig | Mapping[str, Camera] | Iterable[Camera],
        *,
        only: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        tolerance: float | None = None,
        clock: Literal["relative", "absolute"] = "relative",
        on_missing: OnMissing = "error",
        prefetch: int = 2,
        threads: int = 1,
    ) -> None:
        _check_settings(num_frames, tolerance, threads, clock, on_missing)
        rig = Rig.of(cameras)
        rig = rig if only is None else rig.subset(only)
        paths = _match(folder, rig, strict=only is None)
        self._prefetch = prefetch
        self._threads = threads
        limit = num_frames if on_missing == "error" else None
        self._timings = {name: read_timing(path, limit) for name, path in paths.items()}
        rate = common_frame_rate(self._timings)
        self._steps = group_by_time(
            self._timings,
            tolerance=0.5 / rate if tolerance is None else tolerance,
            relative=clock == "relative",
            on_missing=on_missing,
            num_frames=num_frames,
        )
        longest = max(len(timing.stamps) for timing in self._timings.values())
        if len(self._steps) < longest and num_frames is None:
            _log.warning(
                "%s: %d of %d steps are left out, as not all cameras have them",
                folder,
                longest - len(self._steps),
                longest,
            )
        self._rig = _scaled(rig, paths, size)
        self._fps = rate if fps is None else fps

    @property
    def rig(self) -> Rig:
        """Cameras at the size of the images, and which are held out."""
        return self._rig

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Cameras in the rig's order, at the size of the images."""
        return self._rig.cameras

    @property
    def num_frames(self) -> int:
        """Number of steps."""
        return len(self._steps)

    @property
    def fps(self) -> float:
        """Frames per second of the capture."""
        return self._fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on.

        Closing or dropping the iterator ends its thread and closes the files.

        Raises:
            SceneError: `start` is outside 0 .. num_frames, or (while iterating) a video is damaged.
        """
        if not 0 <= start <= self.num_frames:
            raise SceneError(f"frames: start {start} is outside 0 to {self.num_frames}")
        return prefetched(lambda: self._decode(start), self._prefetch)

    def _decode(self, start: int) -> Iterator[MultiViewFrame]:
        if start >= self.num_frames:
            return
        names = list(self.cameras)
        with ExitStack() as stack:
            views = {
                name: stack.enter_context(self._open(name, self._steps[start].positions[name]))
                for name in names
            }
            run = map
            if self._threads > 1:
                run = stack.enter_context(ThreadPoolExecutor(self._threads)).map
            for index in range(start, self.num_frames):
                step = self._steps[index]
                images = run(lambda name, at=step.positions: views[name].read(at[name]), names)
                yield MultiViewFrame(index, step.time, dict(zip(names, images, strict=True)))

    def _open(self, name: str, position: int) -> _View:
        camera = self.cameras[name]
        decoder = VideoDecoder(self._timings[name], position, (camera.width, camera.height))
        lens = self._rig.distortion.get(name)
        return _View(decoder, Undistorter(lens, camera) if lens else None)


class _View:
    """One camera's decoder and lens correction, closed together."""

    def __init__(self, decoder: VideoDecoder, undistorter: Undistorter | None) -> None:
        self._decoder = decoder
        self._undistorter = undistorter

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def read(self, position: int) -> np.ndarray:
        image = self._decoder.read(position)
        return image if self._undistorter is None else self._undistorter(image)


def _check_settings(
    num_frames: int | None, tolerance: float | None, threads: int, clock: str, on_missing: str
) -> None:
    if num_frames is not None and num_frames < 1:
        raise SceneError(f"num_frames: {num_frames} must be at least 1")
    if tolerance is not None and not tolerance >= 0:
        raise SceneError(f"tolerance: {tolerance} s must not be negative")
    if threads < 1:
        raise SceneError(f"threads: {threads} must be at least 1")
    if clock not in ("relative", "absolute"):
        raise SceneError(f'clock: {clock!r} must be "relative" or "absolute"')
    if on_missing not in ("error", "drop"):
        raise SceneError(f'on_missing: {on_missing!r} must be "error" or "drop"')


def find_videos(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The video files of a folder, name without suffix to path, sorted by name.

    Raises:
        FileNotFoundError: no such folder.
        SceneError: no video in it, or two of one name.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of videos")
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() not in VIDEO_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise SceneError(
                f"{folder}: {found[path.stem].name} and {path.name} are of one camera; keep one"
            )
        found[path.stem] = path
    if not found:
        raise SceneError(f"{folder}: holds no video ({', '.join(VIDEO_SUFFIXES)})")
    return found


def _match(folder: str | os.PathLike[str], rig: Rig, strict: bool) -> dict[str, Path]:
    found = find_videos(folder)
    absent = [name for name in rig.cameras if name not in found]
    if absent:
        raise SceneError(
            f"{folder}: no video of camera {list_names(absent)}{nearest_hint(absent[0], found)}"
        )
    extra = [name for name in found if name not in rig.cameras]
    if extra and strict:
        raise SceneError(
            f"{found[extra[0]]}: the camera file has no camera {extra[0]!r}"
            f"{nearest_hint(extra[0], rig.cameras)} (name the cameras to use to leave it out)"
        )
    return {name: found[name] for name in rig.cameras}


def _scaled(rig: Rig, paths: Mapping[str, Path], size: tuple[int, int] | None) -> Rig:
    cameras = {}
    for name, camera in rig.cameras.items():
        width, height = read_displayed_size(paths[name])
        require_shape(paths[name], camera, width, height)
        cameras[name] = camera if size is None else camera.resized(*size)
    return replace(rig, cameras=cameras)
