"""Time stamps of video files, and how the frames of several are grouped into steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import av.error
import numpy as np
from av.container import InputContainer

from igs.scene.errors import SceneError

# Packets come in decoding order; a time stamp is final once this many later packets are known.
_REORDER = 32
_RATE_TOLERANCE = 0.01

OnMissing = Literal["error", "drop"]


@dataclass(frozen=True)
class VideoTiming:
    """When the frames of one video are shown.

    Attributes:
        path: the file.
        stamps: (n,) int64, time stamps in ascending order, in units of `unit`.
        unit: seconds per unit of `stamps`.
        fps: frames per second.
        complete: whether `stamps` reaches to the file's end.
        by_order: frames must be told apart by their order, as the container (AVI) stores no times
            of display.
    """

    path: Path
    stamps: np.ndarray
    unit: float
    fps: float
    complete: bool
    by_order: bool = False

    @property
    def seconds(self) -> np.ndarray:
        """(n,) float64 time stamps in seconds."""
        return self.stamps * self.unit


@dataclass(frozen=True)
class Step:
    """One time step of a rig.

    Attributes:
        time: seconds since the first step.
        positions: camera name to the position of its frame in the video's `stamps`.
    """

    time: float
    positions: Mapping[str, int]


def open_video(path: str | os.PathLike[str]) -> InputContainer:
    """Open a file that holds a video stream.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: it cannot be opened or holds no video; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SceneError(f"{path}: cannot be read as a video ({error_reason(error)})") from error
    if not container.streams.video:
        container.close()
        raise SceneError(f"{path}: holds no video stream")
    return container


def error_reason(error: Exception) -> str:
    """The short cause inside an error of PyAV or of the system."""
    return (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0]


def read_timing(path: str | os.PathLike[str], limit: int | None = None) -> VideoTiming:
    """Read the time stamps of a video without decoding it.

    Args:
        path: the file.
        limit: stop once this many are known; None reads to the end of the file.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: not a video, without frames, or cut off; the message names the file.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        by_order = "avi" in container.format.name
        stamps, complete = _collect_stamps(container, stream, path, limit, by_order)
        promised = _promised_frames(container, stream)
        if complete and len(stamps) < promised:
            raise SceneError(
                f"{path}: is cut off or damaged: it announces {promised} frames, "
                f"{len(stamps)} are there"
            )
        if len(stamps) == 0:
            raise SceneError(f"{path}: holds no video frame")
        unit = float(stream.time_base or 0)
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        fps = _frame_rate(stamps[: 8 * _REORDER] * unit, [float(rate) for rate in rates if rate])
        if not fps > 0:
            raise SceneError(f"{path}: its frame rate is not known")
    return VideoTiming(Path(path), stamps, unit, fps, complete, by_order)


def _promised_frames(container: InputContainer, stream: av.VideoStream) -> int:
    """Frames that the file's index counts; 0 where the container has no reliable count.

    AVI counts the empty chunks that stand for dropped frames, Matroska counts nothing. An edit list
    shows fewer frames than the index has, which the stream's duration tells.
    """
    rate, unit = stream.average_rate, stream.time_base
    if "mp4" not in container.format.name or not (stream.duration and rate and unit):
        return 0
    shown = float(stream.duration * unit * rate)
    return stream.frames if shown >= stream.frames - 1.5 else 0


def _collect_stamps(
    container: InputContainer,
    stream: av.VideoStream,
    path: str | os.PathLike[str],
    limit: int | None,
    by_order: bool,
) -> tuple[np.ndarray, bool]:
    stamps: list[int] = []
    complete = True
    period = 0
    if stream.average_rate and stream.time_base:
        period = round(1 / (stream.average_rate * stream.time_base))
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            stamp = packet.dts if by_order or packet.pts is None else packet.pts
            stamps.append(len(stamps) * max(period, 1) if stamp is None else stamp)
            if limit is not None and len(stamps) >= limit + _REORDER:
                complete = False
                break
    except (av.error.FFmpegError, OSError) as error:
        raise SceneError(
            f"{path}: damaged after {len(stamps)} frames ({error_reason(error)})"
        ) from error
    ordered = np.unique(np.asarray(stamps, dtype=np.int64))
    return (ordered if complete else ordered[:limit]), complete


def _frame_rate(seconds: np.ndarray, declared: Sequence[float]) -> float:
    """Frames per second from the time stamps, or the declared rate that agrees with them.

    The stamps' slope over the number of frame times passed: neither dropped frames nor jitter
    shift it, while the rates that containers declare suffer from both.
    """
    gaps = np.diff(seconds)
    if len(gaps) == 0:
        return declared[0] if declared else 0.0
    passed = np.concatenate([[0], np.cumsum(np.maximum(np.round(gaps / np.median(gaps)), 1))])
    centred = passed - passed.mean()
    measured = float(centred @ centred / (centred @ seconds))
    slack = _rate_slack(len(seconds)) * measured
    close = [rate for rate in declared if abs(rate - measured) <= slack]
    return min(close, key=lambda rate: abs(rate - measured)) if close else measured


def _rate_slack(count: int) -> float:
    # A difference in rate that adds up to less than half a frame cannot be told from jitter.
    return max(_RATE_TOLERANCE, 0.5 / count)


def common_frame_rate(timings: Mapping[str, VideoTiming]) -> float:
    """The frame rate of all cameras.

    Raises:
        SceneError: two cameras differ by more than one per cent (more in very short videos, where
            it cannot be told); the message names both.
    """
    slow = min(timings, key=lambda name: timings[name].fps)
    fast = max(timings, key=lambda name: timings[name].fps)
    shortest = min(len(timing.stamps) for timing in timings.values())
    if timings[fast].fps > timings[slow].fps * (1 + _rate_slack(shortest)):
        raise SceneError(
            f"videos differ in frame rate: {slow} has {timings[slow].fps:.4g} frames per second, "
            f"{fast} {timings[fast].fps:.4g}; convert them to one rate"
        )
    rates = sorted(timing.fps for timing in timings.values())
    return rates[len(rates) // 2]


def group_by_time(
    timings: Mapping[str, VideoTiming],
    *,
    tolerance: float,
    relative: bool = True,
    on_missing: OnMissing = "error",
    num_frames: int | None = None,
) -> list[Step]:
    """Group the frames of all cameras into time steps.

    The earliest frame that is not yet used opens a step; it takes the next frame of every camera
    that lies within `tolerance` of it.

    Args:
        timings: camera name to time stamps, all known up to `num_frames` at least.
        tolerance: seconds that frames of one step may lie apart.
        relative: count each camera's time from its own first frame, else use the files' times.
        on_missing: what to do about a step in which cameras have no frame: raise, or leave it out.
        num_frames: stop after so many steps; None takes all.

    Raises:
        SceneError: a camera without a frame, cameras that end at different times, or fewer steps
            than `num_frames`; the message names the camera and the time.
    """
    seconds = {
        name: timing.seconds - (timing.seconds[0] if relative else 0.0)
        for name, timing in timings.items()
    }
    if on_missing == "error":
        _check_counts(timings, num_frames)
    heads = dict.fromkeys(timings, 0)
    steps: list[Step] = []
    origin: float | None = None
    while num_frames is None or len(steps) < num_frames:
        waiting = {n: seconds[n][at] for n, at in heads.items() if at < len(seconds[n])}
        if not waiting or (len(waiting) < len(heads) and on_missing == "drop"):
            break
        first = min(waiting.values())
        present = {n: heads[n] for n, time in waiting.items() if time <= first + tolerance}
        if len(present) == len(heads):
            origin = first if origin is None else origin
            steps.append(Step(float(first - origin), present))
        elif on_missing == "error":
            start = first if origin is None else origin
            raise SceneError(_missing(timings, present, float(first - start), len(steps)))
        for name in present:
            heads[name] += 1
    if not steps:
        raise SceneError(
            "videos share no moment: their times never lie within "
            f"{tolerance:.4g} s of each other; are the clocks the same?"
        )
    if num_frames is not None and len(steps) < num_frames:
        raise SceneError(f"videos have {len(steps)} common frames, {num_frames} are wanted")
    return steps


def _check_counts(timings: Mapping[str, VideoTiming], num_frames: int | None) -> None:
    counts = {name: len(timing.stamps) for name, timing in timings.items()}
    short = min(counts, key=lambda name: counts[name])
    long = max(counts, key=lambda name: counts[name])
    if counts[short] == counts[long] or (num_frames is not None and counts[short] >= num_frames):
        return
    at_least = "" if timings[long].complete else "at least "
    raise SceneError(
        f"cameras disagree in frame count: {short} has {counts[short]}, "
        f"{long} {at_least}{counts[long]}; give num_frames={counts[short]} or less to use the "
        'first of them, or on_missing="drop" to use the steps that all cameras have'
    )


def _missing(
    timings: Mapping[str, VideoTiming], present: Mapping[str, int], time: float, step: int
) -> str:
    absent = [name for name in timings if name not in present]
    more = f" and {len(absent) - 1} more cameras" if len(absent) > 1 else ""
    return (
        f"{timings[absent[0]].path}: camera {absent[0]!r}{more} has no frame at {time:.3f} s "
        f'(step {step}); on_missing="drop" leaves such steps out'
    )
