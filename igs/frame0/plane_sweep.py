"""First points from the images alone: a plane sweep over views with known cameras.

For every view, depth hypotheses uniform in inverse depth are scored by the zero-mean normalised
cross-correlation with neighbouring views (Collins, CVPR 1996; Hosni et al. for the windowed
winner-take-all form); depths that several views agree on become points. It needs no features, no
matching and no structure-from-motion program, only calibrated cameras.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from igs.gaussians import PointCloud
from igs.render.paths import focus_point
from igs.scene import Camera

logger = logging.getLogger(__name__)

_DEPTHS_AT_ONCE = 16
_MIN_TEXTURE = 0.006  # standard deviation in 0..1 below which a window holds only noise


@dataclass(frozen=True)
class SweepSettings:
    """How the sweep is done.

    Attributes:
        width: image width in pixels at which views are compared.
        num_depths: hypotheses, uniform in inverse depth.
        neighbours: views compared with each reference view.
        best: how many of the neighbours' scores count (the best ones; the rest may be occluded).
        window: side of the correlation window, pixels, odd.
        min_score: least correlation of a point, -1..1.
        tolerance: largest relative depth difference between views that agree.
        min_views: views beside the reference that must agree.
        fill_stride: where a view has no depth, its confirmed depths around are carried into the
            hole and every so many pixels a point is set; those that would hang before a surface
            another view has confirmed are left out. 0 for no such points.
    """

    width: int = 240
    num_depths: int = 96
    neighbours: int = 4
    best: int = 2
    window: int = 7
    min_score: float = 0.6
    tolerance: float = 0.03
    min_views: int = 1
    fill_stride: int = 0


def rig_depth_range(cameras: Sequence[Camera]) -> tuple[float, float]:
    """Near and far depth of a rig that looks at something, in world units.

    The point nearest to all optical axes is taken as what the rig looks at; the range is a quarter
    of its smallest distance to three times its largest.

    Raises:
        ValueError: cameras whose axes are parallel or meet behind them.
    """
    focus = focus_point(cameras)
    distances = [float(np.linalg.norm(focus - c.center)) for c in cameras]
    return 0.25 * min(distances), 3.0 * max(distances)


def plane_sweep(
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    depth_range: tuple[float, float] | None = None,
    settings: SweepSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PointCloud:
    """Coloured points on the surfaces that at least two views agree on.

    Args:
        cameras: V cameras of one time step, V >= 2.
        images: camera name to (H, W, 3) uint8.
        depth_range: near and far, world units; None takes `rig_depth_range`.
        settings: see `SweepSettings`.
        progress: called with (views done, V).

    Returns:
        P points in world axes with colours in 0..1.

    Raises:
        ValueError: fewer than two cameras, or near and far that are not 0 < near < far.
    """
    settings = settings or SweepSettings()
    if len(cameras) < 2:
        raise ValueError(
            f"plane sweep: needs at least 2 cameras, got {len(cameras)}; frame0.init.mode=points "
            "or random does with one"
        )
    near, far = depth_range or rig_depth_range(cameras)
    if not 0 < near < far:
        raise ValueError(f"plane sweep: depth range {near}..{far} must be 0 < near < far")
    views = [_SweepView.make(c, images[c.name], settings.width) for c in cameras]
    inverse = torch.linspace(1 / far, 1 / near, settings.num_depths)
    maps = []
    for i, view in enumerate(views):
        others = _neighbours(views, i, settings.neighbours)
        maps.append(_depth_map(view, others, inverse, settings))
        if progress is not None:
            progress(i + 1, len(views))
    kept = [_agreeing(views, maps, i, settings) for i in range(len(views))]
    if settings.fill_stride:
        sure = [_confirmed(maps[i], kept[i].mask) for i in range(len(views))]
        kept += [_filling(views, sure, i, settings) for i in range(len(views))]
    cloud = PointCloud(
        torch.cat([part.points for part in kept]), torch.cat([part.colors for part in kept])
    )
    logger.info("plane sweep: %d points from %d views", len(cloud), len(views))
    return cloud


@dataclass(frozen=True)
class _SweepView:
    camera: Camera
    color: torch.Tensor  # (3, h, w), 0..1
    gray: torch.Tensor  # (1, 1, h, w), 0..1
    K: torch.Tensor  # (3, 3)
    w2c: torch.Tensor  # (4, 4)
    c2w: torch.Tensor
    rays: torch.Tensor  # (h, w, 3) camera axes, z = 1

    @staticmethod
    def make(camera: Camera, image: np.ndarray, width: int) -> _SweepView:
        """A camera and its (H, W, 3) uint8 image at the width of the sweep."""
        width = min(width, camera.width)
        height = max(1, round(camera.height * width / camera.width))
        small = camera.resized(width, height)
        color = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        color = F.interpolate(color, (height, width), mode="bilinear", antialias=True)[0]
        v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        x, y = (u - small.cx) / small.fx, (v - small.cy) / small.fy
        rays = torch.stack([x, y, torch.ones_like(x)], -1).float()
        return _SweepView(
            small,
            color,
            color.mean(0)[None, None],
            K=torch.from_numpy(small.intrinsics).float(),
            w2c=torch.from_numpy(small.world_to_camera).float(),
            c2w=torch.from_numpy(small.camera_to_world).float(),
            rays=rays,
        )

    def project(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """World points (..., 3) to `grid_sample` coordinates (..., 2) and depth (...)."""
        local = points @ self.w2c[:3, :3].T + self.w2c[:3, 3]
        z = local[..., 2]
        pixel = local @ self.K.T
        size = torch.tensor([self.camera.width, self.camera.height])
        grid = pixel[..., :2] / pixel[..., 2:].clamp_min(1e-6) / size * 2 - 1
        return torch.where(z[..., None] > 1e-3, grid, torch.full_like(grid, 3.0)), z


def _neighbours(views: Sequence[_SweepView], i: int, count: int) -> list[_SweepView]:
    """Views with the nearest centres whose axes differ by less than 70 degrees."""
    center, axis = views[i].camera.center, views[i].camera.camera_to_world[:3, 2]
    ranked = sorted(
        (float(np.linalg.norm(v.camera.center - center)), j)
        for j, v in enumerate(views)
        if j != i and float(v.camera.camera_to_world[:3, 2] @ axis) > np.cos(np.deg2rad(70))
    )
    return [views[j] for _, j in ranked[:count]]


def _box(x: torch.Tensor, window: int) -> torch.Tensor:
    """Mean over a square window, borders renormalised; separable, since it dominates the cost."""
    half = window // 2
    x = F.avg_pool2d(x, (1, window), stride=1, padding=(0, half), count_include_pad=False)
    return F.avg_pool2d(x, (window, 1), stride=1, padding=(half, 0), count_include_pad=False)


def _depth_map(
    view: _SweepView, others: Sequence[_SweepView], inverse: torch.Tensor, settings: SweepSettings
) -> torch.Tensor:
    """Depth (h, w) by winner take all, 0 where no hypothesis is good enough."""
    h, w = view.rays.shape[:2]
    if not others:
        return torch.zeros(h, w)
    mean = _box(view.gray, settings.window)
    variance = (_box(view.gray**2, settings.window) - mean**2).clamp_min(0)
    chunks = [
        _scores_at(view, others, 1 / part, mean, variance, settings)
        for part in inverse.split(_DEPTHS_AT_ONCE)
    ]
    scores = torch.cat(chunks)
    best, arg = scores.max(0)
    depth = 1 / _subpixel(scores, arg, inverse)
    good = (best >= settings.min_score) & (variance[0, 0].sqrt() > _MIN_TEXTURE)
    return torch.where(good, depth, torch.zeros(()))


def _scores_at(
    view: _SweepView,
    others: Sequence[_SweepView],
    depths: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    settings: SweepSettings,
) -> torch.Tensor:
    """(D, h, w) mean of the best neighbours' correlations at D fronto-parallel depths."""
    world = (view.rays[None] * depths[:, None, None, None]) @ view.c2w[:3, :3].T + view.c2w[:3, 3]
    scores = []
    for other in others:
        grid, _ = other.project(world)
        source = other.gray.expand(len(depths), -1, -1, -1)
        warped = F.grid_sample(source, grid, align_corners=False)
        joint = _box(torch.cat([warped, warped**2, warped * view.gray], 1), settings.window)
        mb, bb, ab = joint.chunk(3, dim=1)
        spread = variance * (bb - mb**2).clamp_min(0)
        score = ((ab - mean * mb) / (spread + 1e-10).sqrt())[:, 0]
        scores.append(torch.where((grid.abs() < 1).all(-1), score, torch.full_like(score, -1.0)))
    best = min(settings.best, len(scores))
    return torch.stack(scores).topk(best, dim=0).values.mean(0)


def _subpixel(scores: torch.Tensor, arg: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Inverse depth at the vertex of the parabola through the best score and its neighbours."""
    last = len(inverse) - 1
    at = arg.clamp(1, last - 1)
    left, mid, right = (scores.gather(0, (at + o)[None])[0] for o in (-1, 0, 1))
    curve = (left - 2 * mid + right).clamp_max(-1e-6)
    offset = (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
    offset = torch.where(arg == at, offset, torch.zeros(()))
    step = inverse[1] - inverse[0]
    return (inverse[arg] + offset * step).clamp_min(1e-6)


@dataclass(frozen=True)
class _Points:
    """What one view contributes: points, colours, and which of the pixels asked for they are of."""

    points: torch.Tensor
    colors: torch.Tensor
    mask: torch.Tensor


def _agreeing(
    views: Sequence[_SweepView],
    maps: Sequence[torch.Tensor],
    i: int,
    settings: SweepSettings,
) -> _Points:
    """World points and colours of view i's pixels whose depth other views confirm."""
    view, depth = views[i], maps[i]
    pick = depth > 0
    world = _lifted(view, depth, pick)
    votes = torch.zeros(len(world))
    for j, other in enumerate(views):
        if j == i or not len(world):
            continue
        z, seen = _depth_seen(other, maps[j], world)
        votes += ((seen - z).abs() < settings.tolerance * z) & (seen > 0)
    keep = votes >= settings.min_views
    return _Points(world[keep], view.color[:, pick].T[keep], keep)


def _lifted(view: _SweepView, depth: torch.Tensor, pick: torch.Tensor) -> torch.Tensor:
    """(P, 3) world points of the picked pixels."""
    local = view.rays[pick] * depth[pick][:, None]
    return local @ view.c2w[:3, :3].T + view.c2w[:3, 3]


def _depth_seen(
    view: _SweepView, depth: torch.Tensor, world: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth of world points in a view, and that of its map where they fall; 0 for none."""
    grid, z = view.project(world)
    seen = F.grid_sample(depth[None, None], grid[None, None], mode="nearest", align_corners=False)[
        0, 0, 0
    ]
    return z, seen


def _confirmed(depth: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """A depth map with only those of its depths that were kept, 0 elsewhere."""
    sure = torch.zeros_like(depth)
    sure[depth > 0] = torch.where(keep, depth[depth > 0], torch.zeros(()))
    return sure


def _filling(
    views: Sequence[_SweepView],
    sure: Sequence[torch.Tensor],
    i: int,
    settings: SweepSettings,
) -> _Points:
    """Points in the holes of view i, on a surface drawn smoothly between its confirmed depths."""
    view, depth = views[i], sure[i]
    pick = torch.zeros_like(depth, dtype=torch.bool)
    pick[:: settings.fill_stride, :: settings.fill_stride] = True
    pick &= depth == 0
    if not bool((depth > 0).any()):
        pick[:] = False
    world = _lifted(view, 1 / _smooth_inverse(depth).clamp_min(1e-9), pick)
    fits = torch.ones(len(world), dtype=torch.bool)
    for j, other in enumerate(views):
        if j == i or not len(world):
            continue
        z, seen = _depth_seen(other, sure[j], world)
        fits &= ~((z > 0) & (seen > 0) & (z < (1 - settings.tolerance) * seen))
    return _Points(world[fits], view.color[:, pick].T[fits], fits)


def _smooth_inverse(depth: torch.Tensor) -> torch.Tensor:
    """Inverse depth, holes filled from coarser and coarser means of what is there (push-pull)."""
    weight = (depth > 0).float()[None, None]
    value = torch.where(depth > 0, 1 / depth.clamp_min(1e-9), torch.zeros(()))[None, None]
    levels = [(value, weight)]
    while min(value.shape[-2:]) > 1:
        total = F.avg_pool2d(value * weight, 2, ceil_mode=True)
        mass = F.avg_pool2d(weight, 2, ceil_mode=True)
        value = total / mass.clamp_min(1e-9)
        weight = (mass > 0).float()
        levels.append((value, weight))
    filled = levels[-1][0]
    for value, weight in reversed(levels[:-1]):
        coarse = F.interpolate(filled, value.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, value, coarse)
    return filled[0, 0]
