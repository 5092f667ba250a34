"""How many frames the cameras of a rig are apart, and frames lined up accordingly.

Two sources: sound (the onset envelopes of all tracks, cross-correlated) and motion (how much each
view changes from frame to frame, which rises and falls at the same moments in all views). Either
gives one signal per camera; `estimate_offsets` does the rest. Every pair of cameras is correlated
and the offsets that agree best with all pairs are taken, so that one odd camera neither misleads
the others nor hides.

An offset of f frames says: what the reference shows at its frame t, this camera shows at its frame
t + f. A positive offset is a camera whose recording started early.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from igs.prepare.sync_signals import audio_onsets, video_motion
from igs.prepare.sync_solve import evidence, pair_curves, solve_offsets
from igs.scene import SceneError
from igs.scene.errors import nearest_hint

_AUDIO_SAMPLES = 8  # per frame
_CLEAR = 3.0  # logarithm of the likelihood ratio that settles a question
_GOOD_PEAK = 0.5


@dataclass(frozen=True)
class SyncSettings:
    """How offsets are judged.

    Attributes:
        max_offset: largest offset looked for, frames.
        tolerance: frames that a camera may be off and still count as synchronised.
        min_confidence: least confidence of an offset that is believed, 0..1.
        reference: name of the reference camera; None takes the one that agrees best with all.
    """

    max_offset: float = 60.0
    tolerance: float = 0.5
    min_confidence: float = 0.4
    reference: str | None = None


@dataclass(frozen=True)
class CameraOffset:
    """One camera against the reference.

    Attributes:
        frames: the offset in frames, with a sub-frame part; 0 where nothing is known.
        confidence: 0..1; how clear the common peak of its correlations is; 0 for nothing known.
        synchronised: within the tolerance of the reference, or not to be told from that.
        note: in words, what was found.
        method: by which signals; see `SyncReport`.
    """

    frames: float
    confidence: float
    synchronised: bool
    note: str
    method: str = ""


@dataclass(frozen=True)
class SyncReport:
    """Offsets of all cameras.

    Attributes:
        method: ``"audio"``, ``"motion"``, ``"audio+motion"`` (see `igs.prepare.sync_mixed`; each
            camera's offset says which) or what the caller named its signals.
        reference: the camera that the offsets refer to.
        fps: frames per second that the offsets are counted in.
        offsets: camera to its offset, in the order given; the reference has 0.
    """

    method: str
    reference: str
    fps: float
    offsets: Mapping[str, CameraOffset]

    @property
    def unsynchronised(self) -> list[str]:
        """Cameras with a believed offset beyond the tolerance."""
        return [n for n, o in self.offsets.items() if not o.synchronised and o.confidence > 0]

    @property
    def corrections(self) -> dict[str, float]:
        """What to hand to `apply_offsets`: offsets of the unsynchronised cameras, 0 of others."""
        late = self.unsynchronised
        return {n: o.frames if n in late else 0.0 for n, o in self.offsets.items()}

    @property
    def unknown(self) -> list[str]:
        """Cameras about which the signals say nothing reliable."""
        return [n for n, o in self.offsets.items() if not o.synchronised and o.confidence == 0]


def estimate_offsets(
    signals: Mapping[str, np.ndarray],
    fps: float,
    *,
    method: str = "motion",
    samples_per_frame: float = 1.0,
    settings: SyncSettings | None = None,
) -> SyncReport:
    """Offsets between cameras from one signal per camera.

    Args:
        signals: camera to (T,) float64; T may differ. A constant or empty signal says nothing.
        fps: frames per second of the cameras.
        method: what to call it in the report.
        samples_per_frame: samples of the signals per frame.
        settings: see `SyncSettings`.

    Raises:
        SceneError: fewer than two cameras, or a reference that is none of them.
    """
    settings = settings or SyncSettings()
    names = list(signals)
    if len(names) < 2:
        raise SceneError(f"synchronisation: needs at least 2 cameras, got {len(names)}")
    if settings.reference is not None and settings.reference not in signals:
        raise SceneError(
            f"synchronisation: no camera is called {settings.reference!r}"
            f"{nearest_hint(settings.reference, names)}"
        )
    curves = pair_curves(list(signals.values()), samples_per_frame, settings.max_offset)
    fixed = None if settings.reference is None else names.index(settings.reference)
    offsets, reference = solve_offsets(curves, settings.max_offset, fixed)
    report: dict[str, CameraOffset] = {}
    for i, name in enumerate(names):
        length = len(signals[name]) / samples_per_frame - abs(offsets[i])
        found = judged(offsets[i], curves.peak(i, offsets), length, i == reference, settings)
        report[name] = replace(found, method=method)
    return SyncReport(method, names[reference], fps, report)


def offsets_from_audio(
    videos: Mapping[str, str | os.PathLike[str]],
    fps: float,
    settings: SyncSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SyncReport | None:
    """Offsets from the sound tracks; None where fewer than two videos have sound.

    Cameras without sound are reported with confidence 0.

    Raises:
        FileNotFoundError, SceneError: a video that cannot be read; the message names it.
    """
    signals: dict[str, np.ndarray] = {}
    for i, (name, path) in enumerate(videos.items()):
        found = audio_onsets(path, fps * _AUDIO_SAMPLES)
        signals[name] = np.zeros(0) if found is None else found
        if progress is not None:
            progress(i + 1, len(videos))
    if sum(len(signal) > 0 for signal in signals.values()) < 2:
        return None
    return estimate_offsets(
        signals, fps, method="audio", samples_per_frame=_AUDIO_SAMPLES, settings=settings
    )


def offsets_from_motion(
    videos: Mapping[str, str | os.PathLike[str]],
    fps: float,
    settings: SyncSettings | None = None,
    num_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SyncReport:
    """Offsets from what moves in the pictures.

    Args:
        videos: camera to video file.
        fps: frames per second of all of them.
        settings: see `SyncSettings`.
        num_frames: look at the first so many frames only; None looks at all.
        progress: called with (cameras done, cameras).

    Raises:
        FileNotFoundError, SceneError: a video that cannot be read; the message names it.
    """
    signals = motion_signals(videos, num_frames, progress)
    return estimate_offsets(signals, fps, method="motion", settings=settings)


def motion_signals(
    videos: Mapping[str, str | os.PathLike[str]],
    num_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """`video_motion` of every camera; arguments and errors as of `offsets_from_motion`."""
    signals: dict[str, np.ndarray] = {}
    for i, (name, path) in enumerate(videos.items()):
        signals[name] = video_motion(path, num_frames=num_frames)
        if progress is not None:
            progress(i + 1, len(videos))
    return signals


@dataclass(frozen=True)
class FrameMapping:
    """Which frame of each camera belongs to each common time step.

    Attributes:
        indices: camera to (S,) int64 positions of frames in its own recording.
        residual: camera to the part of its offset that whole frames leave, frames, -0.5..0.5.
    """

    indices: Mapping[str, np.ndarray]
    residual: Mapping[str, float]

    @property
    def num_steps(self) -> int:
        """Number of common time steps."""
        return len(next(iter(self.indices.values())))


def apply_offsets(offsets: Mapping[str, float], num_frames: Mapping[str, int]) -> FrameMapping:
    """The time steps that all cameras have, once their offsets are taken out.

    Args:
        offsets: camera to its offset in frames; see the module's text for the sign.
        num_frames: camera to the number of its frames; cameras without offset have 0.

    Raises:
        SceneError: an offset of a camera that is not there, or recordings that do not overlap.
    """
    for name in offsets:
        if name not in num_frames:
            raise SceneError(
                f"synchronisation: no camera is called {name!r}{nearest_hint(name, num_frames)}"
            )
    # Half a frame always rounds the same way, so that cameras half a frame apart stay together.
    whole = {name: math.floor(offsets.get(name, 0.0) + 0.5) for name in num_frames}
    start = max(-shift for shift in whole.values())
    end = min(num_frames[name] - shift for name, shift in whole.items())
    if end <= start:
        late = max(whole, key=lambda name: whole[name])
        early = min(whole, key=lambda name: whole[name])
        raise SceneError(
            f"synchronisation: with offsets of {whole[late]} ({late}) and {whole[early]} ({early}) "
            "frames the recordings share no moment"
        )
    steps = np.arange(start, end, dtype=np.int64)
    return FrameMapping(
        {name: steps + shift for name, shift in whole.items()},
        {name: offsets.get(name, 0.0) - shift for name, shift in whole.items()},
    )


def judged(
    offset: float,
    peaks: tuple[float, float, float],
    length: float,
    is_reference: bool,
    settings: SyncSettings,
) -> CameraOffset:
    """What an offset is worth.

    Args:
        offset: frames.
        peaks: see `PairCurves.peak`.
        length: frames that the camera and the others have in common.
        is_reference: whether it is the reference.
        settings: see `SyncSettings`.
    """
    top, rival, together = peaks
    # Among many offsets tried, some fit well by chance.
    needed = _CLEAR + math.log(max(1.0, abs(offset)))
    clear = np.clip(evidence(top, rival, length) / needed, 0, 1) * np.clip(top / _GOOD_PEAK, 0, 1)
    if clear < settings.min_confidence:
        return CameraOffset(
            0.0, 0.0, is_reference, "the signals show no clear common event; nothing is known"
        )
    if is_reference:
        return CameraOffset(0.0, float(clear), True, "the reference")
    # What a view shows shifts its peak a little; it must also rule out that nothing is shifted.
    apart = evidence(top, together, length) >= needed
    if abs(offset) <= settings.tolerance or not apart:
        return CameraOffset(
            float(offset), float(clear), True, "synchronised, as far as can be told"
        )
    side = "starts early" if offset > 0 else "starts late"
    note = f"not synchronised: its recording {side} by {abs(offset):.1f} frames"
    return CameraOffset(float(offset), float(clear), False, note)
