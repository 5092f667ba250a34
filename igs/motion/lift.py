"""From maps to anchors: projection into every view, bilinear sampling, mean over the views."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

OUTSIDE = 10.0  # a sampling coordinate that is outside every map (they span -1..1)
NEAREST = 1e-6  # depth below which a point counts as behind the camera


def intrinsics_from_fov(fov: Tensor, height: int, width: int) -> Tensor:
    """(V, 2) fields of view, radians, to (V, 3, 3) pinhole matrices with a central axis."""
    focal = torch.tensor([width, height], device=fov.device, dtype=fov.dtype) / 2
    focal = focal / torch.tan(fov / 2)
    K = fov.new_zeros(len(fov), 3, 3)
    K[:, 0, 0], K[:, 1, 1] = focal.unbind(1)
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = width / 2, height / 2, 1
    return K


def project(points: Tensor, world_to_camera: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Project points into every view.

    Args:
        points: (M, 3) float32, world axes.
        world_to_camera: (V, 4, 4) float32.
        intrinsics: (V, 3, 3) float32, pixels of the map to sample.

    Returns:
        (V, M, 2) coordinates (column, row) with pixel centres at +0.5, and (V, M) depth along the
        camera's z axis. Where depth is not positive the coordinates mean nothing.

    Source: spec `agm_net.md`, section 8.
    """
    rotation, translation = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
    camera = points @ rotation.transpose(1, 2) + translation[:, None]
    depth = camera[..., 2]
    on_plane = camera / depth.clamp(min=NEAREST)[..., None]
    return (on_plane @ intrinsics.transpose(1, 2))[..., :2], depth


def sampling_grid(pixels: Tensor, depth: Tensor, height: int, width: int) -> Tensor:
    """(V, M, 2) pixel coordinates to the -1..1 range of `grid_sample`.

    Points behind the camera are put outside the map.
    """
    size = torch.tensor([width, height], device=pixels.device, dtype=pixels.dtype)
    grid = (2 * pixels / size - 1).clamp(-OUTSIDE, OUTSIDE)
    return torch.where((depth > NEAREST)[..., None], grid, OUTSIDE)


def sample(maps: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of (V, C, h, w) maps at a (V, M, 2) grid, zeros outside: (V, M, C)."""
    samples = F.grid_sample(
        maps, grid[:, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return samples[:, :, 0].transpose(1, 2)


def mean_over_views(samples: Tensor) -> Tensor:
    """(V, M, C) samples to (M, C); a view that does not see a point gives zeros and counts.

    This is what the released weights expect; see `mean_over_seeing_views` for the other.
    """
    return samples.mean(dim=0)


def mean_over_seeing_views(samples: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
    """(V, M, C) samples at a (V, M, 2) grid of a height x width map to (M, C).

    Views count by how much of a sample's four neighbours lies in the map, so that a point that
    leaves a picture does so smoothly. Points that no view sees get zeros.
    """
    coverage = seen_share(grid, height, width)
    return samples.sum(dim=0) / coverage.sum(dim=0).clamp(min=1)[:, None]


def seen_share(grid: Tensor, height: int, width: int) -> Tensor:
    """How much of a bilinear sample's neighbours lies in the map.

    Args:
        grid: (..., 2), for `grid_sample`.
        height: rows of the map.
        width: its columns.

    Returns:
        (...), 0..1.
    """
    size = torch.tensor([width, height], device=grid.device, dtype=grid.dtype)
    return ((1 - grid.abs()) * size / 2 + 0.5).clamp(0, 1).prod(dim=-1)
