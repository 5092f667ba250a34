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
_REACH = 3.0  # standard deviations, to where a Gaussian is drawn


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
    """How far about each camera nothing stands: a share of its median distance to the points.

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
    gaussians: Gaussians, cameras: Sequence[Camera], distances: Sequence[float]
) -> torch.Tensor:
    """(N,) bool, Gaussians that hang before a lens: a camera lies within their reach, or too near.

    A surface that other cameras see right behind or beside a camera, such as the wall it is mounted
    on, may be drawn so thick that the camera stands inside it. Cameras that train clear their own
    view; one that is held out cannot, but that it stands free is known.

    Args:
        gaussians: N Gaussians as rendered.
        cameras: all cameras of the rig; only where they stand is used.
        distances: per camera, world units; centres nearer than that go.
    """
    hangs = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    w, v = gaussians.unit_quats.split((1, 3), dim=-1)
    scales = gaussians.scales
    for camera, distance in zip(cameras, distances, strict=True):
        center = torch.as_tensor(camera.center, dtype=scales.dtype, device=scales.device)
        offset = center - gaussians.means
        # World to the Gaussian's own axes: the inverse turn.
        turned = 2 * torch.linalg.cross(-v, offset)
        local = offset + w * turned + torch.linalg.cross(-v, turned)
        hangs |= (local / scales).norm(dim=-1) < _REACH
        hangs |= offset.norm(dim=-1) < distance
    return hangs


def cut_away(means: torch.Tensor, density: Frame0Density) -> torch.Tensor | None:
    """(N,) bool, centres beyond the world z that the config allows; None where it allows all."""
    if density.min_z is None and density.max_z is None:
        return None
    low = -torch.inf if density.min_z is None else density.min_z
    high = torch.inf if density.max_z is None else density.max_z
    return (means[:, 2] < low) | (means[:, 2] > high)
