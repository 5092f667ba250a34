"""How fine a stream is stored: its grid, chosen by its first frame, and the errors that follow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from igs.config.fvv import FvvConfig
from igs.fvv.header import StreamHeader
from igs.fvv.rows import Grid
from igs.gaussians import Gaussians
from igs.scene import Camera

_SMALL = 0.2  # quantile of sizes that positions are measured by


def make_header(
    first: Gaussians,
    config: FvvConfig,
    *,
    cameras: Mapping[str, Camera] | None = None,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    extra: Mapping[str, object] | None = None,
) -> StreamHeader:
    """The header for a stream that begins with these Gaussians.

    Raises:
        ValueError: no Gaussians, or values that are not finite.
    """
    if not len(first):
        raise ValueError("the first frame has no Gaussians")
    means = first.means.detach().cpu().numpy().astype(np.float64)
    scales = np.sort(first.scales.detach().cpu().numpy().astype(np.float64), axis=1)
    if not (np.isfinite(means).all() and np.isfinite(scales).all()):
        raise ValueError("the first frame has values that are not finite")
    low, high = means.min(axis=0), means.max(axis=0)
    size = max(float(np.quantile(scales[:, 1], _SMALL)), float((high - low).max()) * 1e-6, 1e-12)
    grid = _grid(config, _three((low + high) / 2), size)
    factor = config.refine
    return StreamHeader(
        grid=grid,
        sh_degree=first.sh_degree,
        bounds=(_three(low), _three(high)),
        cameras=tuple((cameras or {}).values()),
        error_bounds=error_bounds(grid, config.largest_hold / factor),
        background=background,
        refine=factor,
        refined_error_bounds=error_bounds(grid, config.largest_hold, factor) if factor > 1 else {},
        extra=dict(extra or {}),
    )


def error_bounds(grid: Grid, hold: float, factor: int = 1) -> dict[str, float]:
    """The largest error of each attribute, apart from float32 rounding of what is decoded.

    `position` in world units per axis; `rotation` radians; `log_scale` for values within -20..20,
    farther ones are clipped; `opacity` of 0..1; `color` of SH degree 0 of 0..1; `sh1`.. of the
    coefficients.

    Args:
        grid: of the stream.
        hold: tolerance in steps, of the refinement's if it is meant.
        factor: how many steps of the refinement make one of the grid; 1 without it.
    """
    steps = (0.5 + hold) / factor
    # Each of four components is off by at most this much of a quaternion of length one.
    chord = 2 * steps / grid.quat
    bounds = {
        "position": steps * grid.position,
        "rotation": 2 * float(np.arcsin(min(chord, 1.0))),
        "log_scale": steps * grid.log_scale,
        "opacity": steps / grid.opacity + 1e-4,
        "color": steps * grid.color,
    }
    return {**bounds, **{f"sh{d}": steps * grid.sh[d - 1] for d in (1, 2, 3)}}


def _grid(config: FvvConfig, origin: tuple[float, float, float], size: float) -> Grid:
    """Steps of the base; with a refinement they are so many times those asked for."""
    factor = config.refine
    sh = config.sh * factor
    return Grid(
        origin=origin,
        position=size * config.position * factor,
        quat=max(round(config.quat / factor), 1),
        log_scale=config.log_scale * factor,
        opacity=max(round(config.opacity / factor), 1),
        color=config.color * factor,
        sh=(sh, 2 * sh, 2 * sh),
    )


def _three(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
