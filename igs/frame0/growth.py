"""Density control of frame 0: which rule at which iteration, and what several views agree on.

Source: spec `frame0.md`, section 3 (densification, opacity reset, loader cuts) and faults 2, 3 and
23 of section 8; spec `rasterizer_benchmark.md`, section 2, for what FastGS (multi-view consistent
growth) and Taming 3DGS (a budget of Gaussians) do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from igs.config.frame0 import Frame0Density
from igs.frame0.schedule import budget_at
from igs.gaussians import DensityRule, DensityStatistics, Gaussians
from igs.render import render
from igs.scene import Camera

_ERROR_QUANTILE = 0.7  # pixels above it count as badly drawn
_LEAST_WEIGHT = 0.5  # blended weight on such pixels, in units of pixels, that counts as a vote
_LEAST_VOTES = 2


def density_rule(density: Frame0Density, iteration: int, start_count: int) -> DensityRule:
    """The rule of one densification.

    Args:
        density: settings, iteration numbers as they are.
        iteration: counted from 1.
        start_count: Gaussians the run began with.
    """
    return DensityRule(
        grad_threshold=density.grad_threshold,
        min_opacity=density.min_opacity,
        percent_dense=density.percent_dense,
        max_num=budget_at(iteration, start_count, density),
        use_absolute=True,
        guard_absolute=density.guard_absolute,
        sample_clones=True,
        max_scale=density.max_scale if iteration > density.opacity_reset_interval else None,
        max_screen_radius=density.max_screen_radius,
    )


def error_votes(
    gaussians: Gaussians,
    views: Sequence[tuple[Camera, torch.Tensor]],
    background: torch.Tensor,
    sh_degree: int,
) -> torch.Tensor:
    """In how many views each Gaussian covers pixels that are badly drawn.

    The sum of blending weights over those pixels comes from one backward pass through colours: the
    gradient of a masked sum of one channel by a Gaussian's colour is exactly that sum.

    Args:
        gaussians: N Gaussians as rendered.
        views: cameras and their (3, H, W) images, at any size.
        background: (3,) colour.
        sh_degree: active degree.

    Returns:
        (N,) int64.
    """
    votes = torch.zeros(len(gaussians), dtype=torch.int64, device=gaussians.device)
    for camera, target in views:
        with torch.no_grad():
            image = render(gaussians, camera, background, sh_degree=sh_degree).color
            error = (image - target).abs().mean(dim=0)
            bad = error > torch.quantile(error.flatten()[:: max(1, error.numel() // 10_000)],
                                         _ERROR_QUANTILE)  # fmt: skip
        with torch.enable_grad():
            colors = torch.zeros_like(gaussians.means, requires_grad=True)
            covered = render(gaussians, camera, override_colors=colors).color[0]
            (weights,) = torch.autograd.grad((covered * bad).sum(), colors)
        votes += weights[:, 0] > _LEAST_WEIGHT
    return votes


def agreed_statistics(statistics: DensityStatistics, votes: torch.Tensor) -> DensityStatistics:
    """Statistics in which only Gaussians with enough votes have gradients.

    Args:
        statistics: of N Gaussians.
        votes: (N,) from `error_votes`.
    """
    agreed = votes >= _LEAST_VOTES
    result = DensityStatistics(len(statistics), statistics.grad.device)
    result.grad = statistics.grad * agreed
    result.grad_abs = statistics.grad_abs * agreed
    result.count, result.max_radii = statistics.count, statistics.max_radii
    return result


def clear_distances(cameras: Sequence[Camera], means: torch.Tensor, share: float) -> list[float]:
    """How deep the view of each camera is free: a share of its median distance to the points.

    Args:
        cameras: V cameras.
        means: (N, 3) the first points, world axes.
        share: 0 to 1.

    Returns:
        V distances, world units.
    """
    centers = [torch.as_tensor(c.center, dtype=means.dtype, device=means.device) for c in cameras]
    return [share * float((means.detach() - center).norm(dim=-1).median()) for center in centers]


def veils(
    means: torch.Tensor, cameras: Sequence[Camera], distances: Sequence[float]
) -> torch.Tensor:
    """(N,) bool, centres that hang right before a lens: inside a camera's view and too near.

    Where a surface has no texture, fog before it looks the same to the cameras opposite. One that
    trains clears its own view of it; one that is held out cannot, but that it sees freely is known.

    Args:
        means: (N, 3) centres, world axes.
        cameras: all cameras of the rig; only their calibration is used.
        distances: per camera, depth in world units up to which its view is free.
    """
    hangs = torch.zeros_like(means[:, 0], dtype=torch.bool)
    for camera, distance in zip(cameras, distances, strict=True):
        pose = torch.as_tensor(camera.world_to_camera, dtype=means.dtype, device=means.device)
        x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
        near = (z > 0) & (z < distance)
        u = x / z.clamp_min(1e-6) * camera.fx + camera.cx
        v = y / z.clamp_min(1e-6) * camera.fy + camera.cy
        hangs |= near & (u >= 0) & (u <= camera.width) & (v >= 0) & (v <= camera.height)
    return hangs


def cut_away(means: torch.Tensor, density: Frame0Density) -> torch.Tensor | None:
    """(N,) bool, centres beyond the world z that the config allows; None where it allows all."""
    if density.min_z is None and density.max_z is None:
        return None
    low = -torch.inf if density.min_z is None else density.min_z
    high = torch.inf if density.max_z is None else density.max_z
    return (means[:, 2] < low) | (means[:, 2] > high)
