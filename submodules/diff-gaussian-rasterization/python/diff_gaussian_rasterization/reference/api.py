"""The two public functions of the twin, and the walk over tiles that they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization.reference import blend as blending
from diff_gaussian_rasterization.reference.inputs import (
    Gaussians,
    View,
    read_gaussians,
    read_view,
)
from diff_gaussian_rasterization.reference.plane import planes
from diff_gaussian_rasterization.reference.project import (
    TILE,
    Footprint,
    camera_point,
    footprint,
    project,
)
from diff_gaussian_rasterization.reference.shade import colours

CHANNELS = (3, 3, 3, 1, 1, 1, 3)  # colour, coord, mcoord, depth, mdepth, alpha, normal


def _splats(g: Gaussians, view: View, plain: bool) -> blending.Splats:
    point = camera_point(g.means, view)
    projected = project(g, point, view)
    statistic = torch.zeros_like(projected.opacity)
    if g.means2D is not None and not plain:
        statistic = g.means2D[:, 2]
    return blending.Splats(
        projected.centre,
        projected.conic,
        projected.opacity,
        colours(g, view),
        statistic,
        planes(g, point, view) if view.want_depth or view.want_coord else None,
    )


def _tile_pixels(column: int, row: int, view: View, like: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Pixels (p, 2) of a tile, row by row, and its (height, width)."""
    xs = torch.arange(column * TILE, min((column + 1) * TILE, view.width)).to(like)
    ys = torch.arange(row * TILE, min((row + 1) * TILE, view.height)).to(like)
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x.reshape(-1), grid_y.reshape(-1)], -1), (len(ys), len(xs))


def _order(fp: Footprint) -> Tensor:
    """Indices of the Gaussians that take part, nearest first, ties by index."""
    taking_part = fp.radii.nonzero()[:, 0]
    nearest_first = torch.sort(fp.depths[taking_part], stable=True).indices
    return taking_part[nearest_first]


def _walk(
    splats: blending.Splats, tiles: Tensor, view: View
) -> Iterator[tuple[Tensor, Tensor, blending.Weights]]:
    """For every tile, row by row: indices into `splats`, its image (15, h, w), its weights."""
    for row in range(-(-view.height // TILE)):
        for column in range(-(-view.width // TILE)):
            inside = (tiles[:, 0] <= column) & (column < tiles[:, 2])
            inside &= (tiles[:, 1] <= row) & (row < tiles[:, 3])
            index = inside.nonzero()[:, 0]
            pixels, size = _tile_pixels(column, row, view, splats.centre)
            values, weights = blending.blend(splats.select(index), pixels, view)
            yield index, values.T.reshape(-1, *size), weights


def _assemble(images: list[Tensor], view: View) -> list[Tensor]:
    """Put tile images together and take the outputs apart."""
    columns = -(-view.width // TILE)
    rows = [torch.cat(images[i : i + columns], 2) for i in range(0, len(images), columns)]
    return list(torch.cat(rows, 1).split(CHANNELS))


def rasterize_gaussians_reference(
    means3D: Tensor,
    means2D: Tensor | None,
    opacities: Tensor,
    *,
    shs: Tensor | None = None,
    colors_precomp: Tensor | None = None,
    scales: Tensor | None = None,
    rotations: Tensor | None = None,
    cov3D_precomp: Tensor | None = None,
    settings: Any,
    plain: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Render small scenes with plain torch operations.

    Args:
        means3D: (N, 3) float of any precision, world units.
        means2D: (N, 3) or None; only receives a gradient: x and y with respect to normalised
            device coordinates, third the sum of absolute per-pixel values (0 when `plain`).
        opacities: (N, 1), 0 to 1.
        shs: (N, M, 3), M >= (sh_degree + 1)^2; or
        colors_precomp: (N, 3), any sign.
        scales: (N, 3), positive, world units; with
        rotations: (N, 4), w, x, y, z, unit length; or
        cov3D_precomp: (N, 6), upper triangle xx, xy, xz, yy, yz, zz.
        settings: `RadeSettings`, or when `plain` anything with the fields of `PlainSettings`.
        plain: 3DGS semantics instead of RaDe: +0.3 on the diagonal of the 2D covariance, no
            opacity compensation, colour and alpha only.

    Returns:
        color (3, H, W), radii (N,) int32, coord (3, H, W), mcoord (3, H, W), depth (1, H, W),
        mdepth (1, H, W), alpha (1, H, W), normal (3, H, W); camera axes, scene units. Outputs
        that the settings do not ask for are zeros.

    Raises:
        RuntimeError: if means3D is not (N, 3).
        ValueError: if shapes, dtypes, devices or alternatives do not fit, or an input is not
            finite; the message names the array and the first bad Gaussian.

    Source: spec `rasterizer.md`, sections 1 to 7 ("exact"), and 9 for `plain`.
    """
    view = read_view(settings, plain, means3D)
    g = read_gaussians(
        means3D,
        means2D,
        opacities,
        shs,
        colors_precomp,
        scales,
        rotations,
        cov3D_precomp,
        view.sh_degree,
    )
    fp = footprint(g, view)
    order = _order(fp)
    splats = _splats(g.select(order), view, plain)
    images = [image for _, image, _ in _walk(splats, fp.tiles[order], view)]
    color, coord, mcoord, depth, mdepth, alpha, normal = _assemble(images, view)
    return color, fp.radii, coord, mcoord, depth, mdepth, alpha, normal


@torch.no_grad()
def count_gaussians_reference(
    means3D: Tensor,
    opacities: Tensor,
    *,
    shs: Tensor | None = None,
    colors_precomp: Tensor | None = None,
    scales: Tensor | None = None,
    rotations: Tensor | None = None,
    cov3D_precomp: Tensor | None = None,
    settings: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Count the pixels into which each Gaussian is blended, with plain 3DGS semantics.

    Arguments and errors as in `rasterize_gaussians_reference` with `plain=True`; no gradients.

    Returns:
        count (N,) int32; score (N,), the sum of the opacity over those pixels; score_T (N,), the
        sum of opacity times the transmittance in front; color (3, H, W); radii (N,) int32.

    Source: spec `rasterizer.md`, section 9.
    """
    view = read_view(settings, True, means3D)
    optional = (shs, colors_precomp, scales, rotations, cov3D_precomp)
    g = read_gaussians(means3D, None, opacities, *optional, view.sh_degree).detach()
    fp = footprint(g, view)
    order = _order(fp)
    count = torch.zeros(len(means3D), dtype=torch.int64, device=means3D.device)
    through = torch.zeros_like(g.means[:, 0])
    images = []
    for index, image, weights in _walk(_splats(g.select(order), view, True), fp.tiles[order], view):
        images.append(image)
        visible = torch.where(weights.blended, weights.transmittance, 0)
        count.index_add_(0, order[index], weights.blended.sum(0))
        through.index_add_(0, order[index], visible.sum(0))
    opacity = g.opacities.reshape(-1)
    color = _assemble(images, view)[0]
    return count.to(torch.int32), opacity * count, opacity * through, color, fp.radii
