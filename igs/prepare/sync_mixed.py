"""Cameras that sound says nothing of, placed by motion on the clock that sound has found.

Both kinds of offsets count the same frames from the same reference, so that a camera whose motion
is compared with that of cameras placed by sound, each held at its place, comes to stand on their
clock. Where a camera's motion fits those places nowhere clearly, nothing is known of it: that is
also what comes out if sound and pictures of the others contradict each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from igs.prepare.sync import CameraOffset, SyncReport, SyncSettings, judged, motion_signals
from igs.prepare.sync_solve import PairCurves, pair_curves

MIXED = "audio+motion"


def known_by(report: SyncReport) -> list[str]:
    """Cameras that the report's signals say something reliable of."""
    return [name for name, offset in report.offsets.items() if offset.confidence > 0]


def add_by_motion(
    report: SyncReport,
    videos: Mapping[str, str | os.PathLike[str]],
    settings: SyncSettings | None = None,
    num_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SyncReport:
    """Place by motion what sound says nothing of.

    Args:
        report: of sound.
        videos: camera to video file, as for the report.
        settings: see `SyncSettings`.
        num_frames: look at the first so many frames only; None looks at all.
        progress: called with (cameras done, cameras).

    Raises:
        FileNotFoundError, SceneError: a video that cannot be read; the message names it.
    """
    return placed_by_motion(report, motion_signals(videos, num_frames, progress), settings)


def placed_by_motion(
    report: SyncReport, signals: Mapping[str, np.ndarray], settings: SyncSettings | None = None
) -> SyncReport:
    """The report with the cameras it does not know placed by one motion signal per camera.

    Each is compared with the cameras that the report knows, which stay as they are.

    Args:
        report: of sound, with at least one known camera.
        signals: camera to (T,) float64, one value a frame; see `motion_signal`.
        settings: see `SyncSettings`.
    """
    settings = settings or SyncSettings()
    names = list(report.offsets)
    curves = pair_curves([signals[name] for name in names], 1.0, settings.max_offset)
    anchors = known_by(report)
    offsets = dict(report.offsets)
    for name in names:
        if name not in anchors:
            frames = len(signals[name])
            offsets[name] = _placed(name, anchors, report.offsets, curves, frames, settings)
    return replace(report, method=MIXED, offsets=offsets)


def _placed(
    name: str,
    anchors: list[str],
    offsets: Mapping[str, CameraOffset],
    curves: PairCurves,
    frames: int,
    settings: SyncSettings,
) -> CameraOffset:
    """Where a camera's motion fits that of the anchors best, each held at its offset."""
    names = list(offsets)
    rows = [names.index(other) for other in (*anchors, name)]
    part = PairCurves(curves.grid, curves.values[np.ix_(rows, rows)])
    at = np.array([*(offsets[other].frames for other in anchors), 0.0])
    curve = part.around(len(anchors), at)
    if not np.isnan(curve).all():
        at[-1] = curves.grid[int(np.nanargmax(curve))]
    peaks = part.peak(len(anchors), at)
    found = judged(float(at[-1]), peaks, frames - abs(float(at[-1])), False, settings)
    return replace(found, method="motion")
