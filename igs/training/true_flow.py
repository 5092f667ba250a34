"""Optical flow of Gaussians whose motion is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Camera

_MIN_ALPHA = 0.9
_NEAR = 0.05  # of the scene's depth: nothing nearer can be projected
_DEPTH_SLACK = 0.03


def project(means: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """(N, 3) world points to (N, 2) pixels and (N,) z-depth, as the renderer does.

    Points at or behind the camera have pixels without meaning.
    """
    pose = torch.from_numpy(camera.world_to_camera).to(means)
    x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(dim=1)
    safe = torch.where(z > 0, z, 1.0)
    pixels = torch.stack([camera.fx * x / safe + camera.cx, camera.fy * y / safe + camera.cy], 1)
    return pixels, z


def render_flow(
    gaussians: Gaussians, next_means: Tensor, next_depth: Tensor, cameras: Sequence[Camera]
) -> tuple[Tensor, Tensor]:
    """Where every pixel goes.

    The displacement of each Gaussian's centre on screen is drawn as its colour and divided by the
    opacity, so that a pixel has the mean displacement of what it shows, weighted as its colours
    are. What it shows is hidden in the next frame if something else is clearly in front there.

    Args:
        gaussians: N Gaussians at the first time.
        next_means: (N, 3) their centres at the second.
        next_depth: (V, H, W) z-depth of the second time, world units.
        cameras: V cameras of H x W pixels.

    Returns:
        (V, 2, H, W) float32 flow in pixels, 0 where nothing is seen; (V, H, W) bool, where it is
        defined: the pixel is nearly opaque, and in the second image neither hidden nor outside.
    """
    flows, masks = [], []
    for camera, depth in zip(cameras, next_depth, strict=True):
        flow, valid = _one_view(gaussians, next_means, depth, camera)
        flows.append(flow)
        masks.append(valid)
    return torch.stack(flows), torch.stack(masks)


def _one_view(
    gaussians: Gaussians, next_means: Tensor, next_depth: Tensor, camera: Camera
) -> tuple[Tensor, Tensor]:
    before, z_before = project(gaussians.means, camera)
    after, z_after = project(next_means, camera)
    near = _NEAR * float(next_depth.mean())
    known = (z_before > near) & (z_after > near)
    # What goes behind the camera leaves the picture, by any road.
    away = before.new_tensor([2.0 * camera.width, 2.0 * camera.height])
    moved = torch.where(known[:, None], after - before, away)
    moved = torch.minimum(torch.maximum(moved, -2 * away), 2 * away)
    colors = torch.cat([moved, z_after[:, None]], dim=1)
    with torch.no_grad():
        shown = render(gaussians, camera, override_colors=colors)
    alpha = shown.alpha[0]
    mean = shown.color / alpha.clamp(min=1e-3)
    flow, depth = mean[:2] * (alpha > 1e-3), mean[2]
    valid = (alpha > _MIN_ALPHA) & _still_seen(flow, depth, next_depth)
    return flow, valid


def _still_seen(flow: Tensor, depth: Tensor, next_depth: Tensor) -> Tensor:
    """(H, W) bool: the place of arrival is in the picture, and nothing is in front of it."""
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = x.to(flow) + flow[0], y.to(flow) + flow[1]
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    # The farthest surface around the place of arrival: an edge nearby hides nothing.
    farthest = F.max_pool2d(next_depth[None, None], 3, stride=1, padding=1)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    there = F.grid_sample(
        farthest, grid[None], mode="nearest", padding_mode="border", align_corners=False
    )[0, 0]
    return inside & (depth <= there * (1 + _DEPTH_SLACK))
