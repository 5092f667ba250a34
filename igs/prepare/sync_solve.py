"""Correlation curves between all pairs of signals, and the offsets that agree with them best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

_FINE = 0.05  # frames; step of the curves
_TREND = 20.0  # frames over which slow changes are taken out
_MIN_SHARED = 16  # frames that two signals must have in common at an offset
_NEAR = 4.0  # frames around a peak that belong to it
_ROUNDS = 20
_INDEPENDENT = 4.0  # frames


@dataclass(frozen=True)
class PairCurves:
    """Correlation of every pair of signals over their relative offset.

    Attributes:
        grid: (G,) float64, relative offsets in frames, evenly spaced around 0.
        values: (C, C, G) float64; entry [i, j, g] is the correlation where camera j shows at frame
            t + grid[g] what camera i shows at frame t. NaN where nothing is known.
    """

    grid: np.ndarray
    values: np.ndarray

    def around(self, camera: int, offsets: np.ndarray) -> np.ndarray:
        """(G,) mean correlation with all others if `camera` had the offsets of the grid."""
        step = self.grid[1] - self.grid[0]
        total, count = np.zeros(len(self.grid)), np.zeros(len(self.grid))
        for other in range(len(self.values)):
            curve = self.values[other, camera]
            if other == camera or np.isnan(curve).all():
                continue
            at = np.arange(len(self.grid)) - round(float(offsets[other] / step))
            inside = (at >= 0) & (at < len(self.grid))
            part = np.where(inside, curve[np.clip(at, 0, len(curve) - 1)], np.nan)
            known = ~np.isnan(part)
            total[known] += part[known]
            count[known] += 1
        enough = count >= max(1, 0.5 * count.max(initial=0))
        return np.where(enough, total / np.maximum(count, 1), np.nan)

    def peak(self, camera: int, offsets: np.ndarray) -> tuple[float, float, float]:
        """Mean correlations of a camera with the others at three offsets.

        Returns:
            At its own offset, at the best one elsewhere (its rival), and at 0, synchronised; all 0
            for a camera without any curve.
        """
        curve = self.around(camera, offsets)
        if np.isnan(curve).all():
            return 0.0, 0.0, 0.0
        curve = np.nan_to_num(curve)
        top = float(curve[int(np.argmin(np.abs(self.grid - offsets[camera])))])
        rival = curve[np.abs(self.grid - offsets[camera]) > _NEAR]
        together = float(curve[len(curve) // 2])
        return top, float(rival.max(initial=0.0)), together


def pair_curves(
    signals: Sequence[np.ndarray], samples_per_frame: float, max_offset: float
) -> PairCurves:
    """Correlate all pairs of signals; the offset of a pair reaches to twice `max_offset`.

    Args:
        signals: C arrays (T,); constant or very short ones get no curve.
        samples_per_frame: samples of the signals per frame.
        max_offset: frames.
    """
    reach = 2 * max_offset
    grid = np.arange(-round(reach / _FINE), round(reach / _FINE) + 1) * _FINE
    ready = [_flattened(np.asarray(s, np.float64), samples_per_frame) for s in signals]
    values = np.full((len(ready), len(ready), len(grid)), np.nan)
    for i, first in enumerate(ready):
        for j in range(i + 1, len(ready)):
            second = ready[j]
            if first is None or second is None:
                continue
            curve = _curve(first, second, samples_per_frame, reach, grid)
            values[i, j], values[j, i] = curve, curve[::-1]
    return PairCurves(grid, values)


def _flattened(signal: np.ndarray, samples_per_frame: float) -> np.ndarray | None:
    """Without trend, at most three deviations high; None for a signal that says nothing."""
    if len(signal) < _MIN_SHARED * samples_per_frame or not np.ptp(signal) > 1e-9:
        return None
    compressed = np.sqrt(np.maximum(signal, 0))
    flat = compressed - gaussian_filter1d(compressed, _TREND * samples_per_frame, mode="nearest")
    spread = 1.4826 * np.median(np.abs(flat - np.median(flat))) or flat.std()
    return np.clip(flat, -4 * spread, 4 * spread) if spread > 0 else None


def _curve(
    first: np.ndarray, second: np.ndarray, per_frame: float, reach: float, grid: np.ndarray
) -> np.ndarray:
    most = int(np.ceil(reach * per_frame))
    # A short overlap is alike by chance too often: two thirds of the shorter recording are needed.
    shared = max(_MIN_SHARED * per_frame, 2 / 3 * min(len(first), len(second)))
    lags = np.arange(-most, most + 1)
    found = np.full(len(lags), np.nan)
    for k, lag in enumerate(lags):
        low, high = max(0, -lag), min(len(first), len(second) - lag)
        if high - low < shared:
            continue
        a, b = first[low:high], second[low + lag : high + lag]
        a, b = a - a.mean(), b - b.mean()
        norm = np.sqrt((a @ a) * (b @ b))
        found[k] = (a @ b) / norm if norm > 1e-12 else np.nan
    known = np.flatnonzero(~np.isnan(found))
    if len(known) < 4:
        return np.full(len(grid), np.nan)
    frames = lags[known] / per_frame
    curve = CubicSpline(frames, found[known])(grid)
    return np.where((grid >= frames[0]) & (grid <= frames[-1]), curve, np.nan)


def evidence(better: float, worse: float, frames: float) -> float:
    """Logarithm of how much likelier the better of two correlations makes its offset.

    That of Gaussian signals, where frames count as independent only some frames apart.
    """
    high, low = (float(np.clip(value, 0.0, 0.995)) for value in (better, worse))
    return 0.5 * frames / _INDEPENDENT * float(np.log((1 - low**2) / (1 - high**2)))


def solve_offsets(
    curves: PairCurves, max_offset: float, reference: int | None
) -> tuple[np.ndarray, int]:
    """Offsets that raise the sum of all pairs' correlations, camera by camera in turn.

    It starts once from "all synchronised" and once from the offsets against the best connected
    camera, and keeps the better end.

    Args:
        curves: of all pairs.
        max_offset: frames; offsets stay within it.
        reference: number of the camera whose offset is 0; None takes the one whose correlation
            with all others is highest, among those that stand with the majority.

    Returns:
        (C,) float64 offsets in frames, and the number of the reference.
    """
    count = len(curves.values)
    ends = []
    for start in (np.zeros(count), _star(curves)):
        offsets = _ascend(curves, start, max_offset)
        ends.append((sum(curves.peak(i, offsets)[0] for i in range(count)), offsets))
    offsets = max(ends, key=lambda end: end[0])[1]
    if reference is None:
        peaks = np.array([curves.peak(i, offsets)[0] for i in range(count)])
        middle = np.median(offsets[peaks > 0]) if (peaks > 0).any() else 0.0
        near = np.abs(offsets - middle) <= 0.5
        reference = int(np.argmax(np.where(near | ~near.any(), peaks, -np.inf)))
    return offsets - offsets[reference], reference


def _star(curves: PairCurves) -> np.ndarray:
    best = np.nanmax(np.nan_to_num(curves.values, nan=-1.0), axis=2)
    np.fill_diagonal(best, 0.0)
    centre = int(np.argmax(best.sum(axis=1)))
    offsets = np.zeros(len(best))
    for other in range(len(best)):
        curve = curves.values[centre, other]
        if other != centre and not np.isnan(curve).all():
            offsets[other] = curves.grid[int(np.nanargmax(curve))]
    return offsets


def _ascend(curves: PairCurves, start: np.ndarray, max_offset: float) -> np.ndarray:
    offsets = start.copy()
    for _ in range(_ROUNDS):
        before = offsets.copy()
        for camera in range(len(offsets)):
            curve = curves.around(camera, offsets)
            allowed = (np.abs(curves.grid) <= 2 * max_offset) & ~np.isnan(curve)
            if allowed.any():
                offsets[camera] = curves.grid[int(np.argmax(np.where(allowed, curve, -np.inf)))]
        if np.allclose(before, offsets, atol=_FINE / 2):
            break
    return offsets
