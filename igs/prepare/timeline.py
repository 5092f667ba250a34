"""Bring the frames of all cameras together into time steps, and choose the steps to prepare."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from igs.config.prepare import SyncConfig
from igs.prepare.capture import Capture, View
from igs.prepare.media import last_number
from igs.scene import SceneError
from igs.scene.errors import list_names, nearest_hint
from igs.scene.video_timing import (
    OnMissing,
    Step,
    VideoTiming,
    common_frame_rate,
    group_by_time,
    read_timing,
)

logger = logging.getLogger(__name__)

_MICROSECOND = 1e-6
_DEFAULT_FPS = 30.0
# A camera whose frames lie this share of a frame off the others' is called unsynchronised.
_UNSYNCHRONISED = 0.25


@dataclass(frozen=True)
class FrameRange:
    """Which steps to take: from `start` to before `stop`, every `step`-th.

    Raises:
        SceneError: an empty or negative range.
    """

    start: int = 0
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        empty = self.stop is not None and self.stop <= self.start
        if self.start < 0 or self.step < 1 or empty:
            raise SceneError(
                f"frames: {self.start}:{'' if self.stop is None else self.stop}:{self.step} is "
                "empty or negative; write 60, 0:300 or 0:300:2"
            )

    @classmethod
    def parse(cls, text: str | None) -> FrameRange:
        """From ``"60"`` (the first 60), ``"10:300"`` or ``"0:300:2"``; None is all."""
        if text is None:
            return cls()
        words = str(text).split(":")
        try:
            numbers = [int(word) if word else None for word in words]
        except ValueError:
            numbers = []
        if len(numbers) == 1 and numbers[0] is not None:
            return cls(stop=numbers[0])
        if len(numbers) not in (2, 3):
            raise SceneError(f"frames: {text!r} must look like 60, 0:300 or 0:300:2")
        start, stop, *step = numbers
        return cls(start or 0, stop, (step[0] or 1) if step else 1)


@dataclass(frozen=True)
class Timeline:
    """The steps of a capture.

    Attributes:
        steps: in order of time; positions count in a video's time stamps or a view's images.
        fps: steps per second.
        timings: of videos, for decoding; empty for images.
        late: camera name to the mean time, in seconds, that its frames lie behind the step's
            median; empty for images.
    """

    steps: tuple[Step, ...]
    fps: float
    timings: Mapping[str, VideoTiming] = field(default_factory=dict)
    late: Mapping[str, float] = field(default_factory=dict)


def make_timeline(
    capture: Capture,
    sync: SyncConfig,
    frames: FrameRange,
    fps: float | None = None,
    offsets: Mapping[str, float] | None = None,
) -> Timeline:
    """Group the frames of all cameras.

    Args:
        capture: whose pictures.
        sync: how; its offsets are used where `offsets` is None.
        frames: which steps to keep.
        fps: of image folders; None takes the rig's, else 30.
        offsets: camera name to the seconds to take off its frames' times.

    Raises:
        SceneError: cameras that disagree in frame rate or length, a step that a camera lacks, or a
            range without steps; the message names the camera.
    """
    offsets = dict(sync.offsets if offsets is None else offsets)
    for name in offsets:
        if name not in capture.views:
            hint = nearest_hint(name, capture.views)
            raise SceneError(f"sync.offsets: no camera is called {name!r}{hint}")
    on_missing: OnMissing = "drop" if sync.on_missing == "drop" else "error"
    if all(view.video for view in capture.views.values()):
        timeline = _video_timeline(capture, sync, offsets, on_missing, frames.stop)
    elif any(view.video for view in capture.views.values()):
        raise SceneError(f"{capture.folder}: some cameras have videos and others images")
    else:
        if any(offsets.values()):
            raise SceneError("sync.offsets: images have no time stamps that could be shifted")
        rate = fps or (capture.rig.fps if capture.rig else None) or _DEFAULT_FPS
        timeline = Timeline(tuple(_image_steps(capture.views, on_missing, rate)), rate)
    steps = timeline.steps[frames.start : frames.stop : frames.step]
    if not steps:
        raise SceneError(
            f"frames: nothing is left of {len(timeline.steps)} common frames from number "
            f"{frames.start} on"
        )
    if frames.stop is not None and len(timeline.steps) < frames.stop:
        raise SceneError(
            f"frames: {frames.stop} are wanted, all cameras together have {len(timeline.steps)}"
        )
    moved = tuple(replace(step, time=step.time - steps[0].time) for step in steps)
    return replace(timeline, steps=moved, fps=timeline.fps / frames.step)


def _video_timeline(
    capture: Capture,
    sync: SyncConfig,
    offsets: Mapping[str, float],
    on_missing: OnMissing,
    stop: int | None,
) -> Timeline:
    timings = {name: read_timing(str(view.video)) for name, view in capture.views.items()}
    clocks, absolute = timings, sync.clock == "absolute"
    table = timestamp_file(capture.folder, sync.timestamps)
    if table is not None:
        clocks, absolute = _with_timestamps(timings, table), True
    rate = common_frame_rate(clocks)
    if any(offsets.values()):
        clocks = {n: _shifted(clock, offsets.get(n, 0.0), absolute) for n, clock in clocks.items()}
        # Shifted cameras no longer begin and end together.
        absolute, on_missing = True, "drop"
    steps = group_by_time(
        clocks,
        tolerance=0.5 / rate if sync.tolerance is None else sync.tolerance,
        relative=not absolute,
        on_missing=on_missing,
        num_frames=stop if on_missing == "error" else None,
    )
    late = _lateness(clocks, steps, relative=not absolute)
    worst = max(late, key=lambda name: abs(late[name]))
    if abs(late[worst]) * rate > _UNSYNCHRONISED:
        logger.warning(
            "camera %s is not synchronous: its frames lie %+.1f ms off the others' (a frame lasts "
            "%.1f ms); sync.offsets shifts it, cameras.exclude leaves it out",
            worst,
            1e3 * late[worst],
            1e3 / rate,
        )
    if on_missing == "drop":
        longest = max(len(timing.stamps) for timing in timings.values())
        if len(steps) < longest:
            logger.warning(
                "%d of %d steps are left out, as not all cameras have them",
                longest - len(steps),
                longest,
            )
    return Timeline(tuple(steps), rate, timings, late)


def _shifted(clock: VideoTiming, late: float, absolute: bool) -> VideoTiming:
    stamps = clock.stamps if absolute else clock.stamps - clock.stamps[0]
    fine = np.round((stamps * clock.unit - late) / _MICROSECOND).astype(np.int64)
    return replace(clock, stamps=fine, unit=_MICROSECOND)


def _lateness(
    clocks: Mapping[str, VideoTiming], steps: Sequence[Step], relative: bool
) -> dict[str, float]:
    names = list(clocks)
    times = np.stack(
        [
            clocks[name].seconds[[step.positions[name] for step in steps]]
            - (clocks[name].seconds[0] if relative else 0.0)
            for name in names
        ]
    )
    behind = (times - np.median(times, axis=0)).mean(axis=1)
    return {name: float(value) for name, value in zip(names, behind, strict=True)}


def timestamp_file(folder: Path, setting: str) -> Path | None:
    """The CSV of time stamps that a setting asks for; see `SyncConfig`.

    Raises:
        FileNotFoundError: a file that was named is not there.
    """
    if setting == "none":
        return None
    path = folder / ("timestamps.csv" if setting == "auto" else setting)
    if path.is_file():
        return path
    if setting == "auto":
        return None
    raise FileNotFoundError(f"{path}: no such file (sync.timestamps)")


def read_timestamps(path: Path) -> dict[str, list[float]]:
    """Seconds of every camera's frames, ascending, from a CSV.

    The heading names a column ``cam_id`` (or ``camera``) and one ``frame_time`` (or ``time``).

    Raises:
        SceneError: other columns, or a time that is no number; names the line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or ()
        camera = next((c for c in ("cam_id", "camera", "port") if c in columns), None)
        time = next((c for c in ("frame_time", "time", "timestamp") if c in columns), None)
        if camera is None or time is None:
            raise SceneError(
                f"{path}: needs the columns cam_id and frame_time, has {list_names(columns)} "
                "(sync.timestamps=none ignores the file)"
            )
        found: dict[str, list[float]] = {}
        for row in reader:
            try:
                found.setdefault(str(row[camera]), []).append(float(row[time]))
            except (TypeError, ValueError):
                raise SceneError(f"{path}: line {reader.line_num}: no time") from None
    return {name: sorted(times) for name, times in found.items()}


def _with_timestamps(timings: Mapping[str, VideoTiming], path: Path) -> dict[str, VideoTiming]:
    table = read_timestamps(path)
    numbers = {last_number(name): name for name in table}
    out = {}
    origin = min((times[0] for times in table.values()), default=0.0)
    for name, timing in timings.items():
        key = name if name in table else numbers.get(last_number(name))
        if key is None:
            raise SceneError(f"{path}: has no times of camera {name!r}{nearest_hint(name, table)}")
        if len(table[key]) != len(timing.stamps):
            raise SceneError(
                f"{path}: has {len(table[key])} times of camera {name!r}, its video "
                f"{len(timing.stamps)} frames (sync.timestamps=none ignores the file)"
            )
        seconds = np.array(table[key]) - origin
        stamps = np.round(seconds / _MICROSECOND).astype(np.int64)
        gaps = np.diff(seconds)
        fps = float(len(gaps) / (seconds[-1] - seconds[0])) if len(gaps) else timing.fps
        out[name] = replace(timing, stamps=stamps, unit=_MICROSECOND, fps=fps)
    logger.info("times of frames from %s", path)
    return out


def _image_steps(views: Mapping[str, View], on_missing: OnMissing, fps: float) -> list[Step]:
    """One step per frame number; numbers that some camera lacks are refused or left out."""
    if all(len(view.images) == 1 for view in views.values()):
        return [Step(0.0, dict.fromkeys(views, 0))]
    where = {n: {num: i for i, num in enumerate(v.numbers)} for n, v in views.items()}
    numbers = sorted(set().union(*where.values()))
    steps = []
    for number in numbers:
        absent = [name for name in views if number not in where[name]]
        if absent and on_missing == "error":
            counts = f"{len(where[absent[0]])} of {len(numbers)} images"
            raise SceneError(
                f"{views[absent[0]].path.parent}: camera {absent[0]!r}"
                f"{f' and {len(absent) - 1} more cameras' if len(absent) > 1 else ''} has no image "
                f"number {number} ({counts}); sync.on_missing=drop leaves such frames out"
            )
        if not absent:
            steps.append(Step(len(steps) / fps, {name: where[name][number] for name in views}))
    if not steps:
        raise SceneError("images: no frame number is there of all cameras")
    return steps
