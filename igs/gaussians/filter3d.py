"""The 3D smoothing filter of Mip-Splatting, as RaDe-GS uses it.

A Gaussian may not be finer than what the sharpest camera that sees it can resolve. Source: spec
`frame0.md`, section 2 (the filter) and section 3 (the opacity reset under it); `streaming.md`,
section 2.3 (folding it into the stored Gaussians).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from igs.gaussians.gaussians import Gaussians
from igs.scene import Camera

_FILTER_VARIANCE = 0.2  # of the screen-space low-pass the filter stands for, square pixels
_NEAREST = 0.2  # camera depth from which on a point counts, world units
_BORDER = 0.15  # share of the image size that a projection may lie outside
_LARGEST_LOGIT = 80.0  # exp of it is still a float32


def compute_filter_3d(means: torch.Tensor, cameras: Sequence[Camera]) -> torch.Tensor:
    """Standard deviation of the 3D filter per Gaussian.

    Args:
        means: (N, 3) centres, world axes.
        cameras: the training cameras.

    Returns:
        (N,) in world units, on the device and in the dtype of `means`; points that no camera sees
        take the value of the farthest point that one does.

    Raises:
        ValueError: no cameras, or none of them sees any of the points.
    """
    if not cameras:
        raise ValueError("the 3D filter needs at least one camera")
    distance = torch.full_like(means[:, 0], math.inf)
    for camera in cameras:
        seen, depth = _seen_depth(means, camera)
        distance = torch.where(seen, torch.minimum(distance, depth), distance)
    ever_seen = distance.isfinite()
    if len(means) == 0:
        return distance
    if not ever_seen.any():
        raise ValueError(f"none of the {len(cameras)} cameras sees any of the {len(means)} points")
    distance = torch.where(ever_seen, distance, distance[ever_seen].max())
    return distance * (math.sqrt(_FILTER_VARIANCE) / max(c.fx for c in cameras))


def _seen_depth(means: torch.Tensor, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    pose = torch.as_tensor(camera.world_to_camera, dtype=means.dtype, device=means.device)
    x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
    divisor = z.clamp(min=0.001)
    u = x / divisor * camera.fx + camera.cx
    v = y / divisor * camera.fy + camera.cy
    inside_x = (u >= -_BORDER * camera.width) & (u <= (1 + _BORDER) * camera.width)
    inside_y = (v >= -_BORDER * camera.height) & (v <= (1 + _BORDER) * camera.height)
    return (z > _NEAREST) & inside_x & inside_y, z


def filtered_log_scales(log_scales: torch.Tensor, filter_3d: torch.Tensor) -> torch.Tensor:
    """``log sqrt(s^2 + f^2)`` per axis; equal to the input where the filter is 0.

    Args:
        log_scales: (N, 3) natural logarithm of the standard deviations.
        filter_3d: (N,) filter in the same units as the scales, not differentiated.
    """
    log_variance = 2 * filter_3d.detach().log()
    return 0.5 * torch.logaddexp(2 * log_scales, log_variance[:, None].expand_as(log_scales))


def apply_filter_3d(gaussians: Gaussians, filter_3d: torch.Tensor) -> Gaussians:
    """Fold the filter into scales and opacities, so that plain activations give the filtered ones.

    Widened Gaussians become fainter by the ratio of volumes, ``o' = o sqrt(prod s^2 / prod s'^2)``.
    Differentiable in the Gaussians; where the filter is 0 nothing changes.

    Args:
        gaussians: N Gaussians.
        filter_3d: (N,) standard deviation of the filter, world units.

    Raises:
        ValueError: a filter of another shape.
    """
    if filter_3d.shape != gaussians.opacity_logits.shape:
        raise ValueError(f"filter_3d: shape {tuple(filter_3d.shape)} must be ({len(gaussians)},)")
    log_scales = filtered_log_scales(gaussians.log_scales, filter_3d)
    log_ratio = (gaussians.log_scales - log_scales).sum(-1)
    # logit(o c) = x + log c - log(1 + (1 - c) e^x) needs no opacity near 1 to be subtracted from 1.
    logits = gaussians.opacity_logits.clamp(max=_LARGEST_LOGIT)
    faded = logits + log_ratio - torch.log1p(-torch.expm1(log_ratio) * logits.exp())
    return gaussians.replace(log_scales=log_scales, opacity_logits=faded)


def reset_opacity(
    gaussians: Gaussians, filter_3d: torch.Tensor | None = None, max_opacity: float = 0.01
) -> torch.Tensor:
    """(N,) opacity logits whose filtered opacity is at most `max_opacity`; fainter ones stay.

    Args:
        gaussians: N Gaussians.
        filter_3d: (N,) 3D filter, or None for none.
        max_opacity: ceiling of the opacity as rendered, 0..1.
    """
    logits = gaussians.opacity_logits.detach()
    ratio = torch.ones_like(logits)
    if filter_3d is not None:
        log_scales = gaussians.log_scales.detach()
        ratio = (log_scales - filtered_log_scales(log_scales, filter_3d)).sum(-1).exp()
    ceiling = torch.logit((max_opacity / ratio).clamp(max=1.0))
    return torch.minimum(logits, ceiling)
