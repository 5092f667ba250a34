"""Several views of the same Gaussians in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization._arguments import (
    checked_active,
    checked_background,
    checked_inputs,
    checked_view,
    wanted,
)
from diff_gaussian_rasterization._engine import Call, Options, RasterOutput
from diff_gaussian_rasterization.core import rasterize, run
from diff_gaussian_rasterization.view import View

MOST_AT_ONCE = 8  # views that one launch takes; more are split


def rasterize_views(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    *,
    views: Sequence[View],
    means2d: Tensor | None = None,
    background: Tensor | None = None,
    active_tiles: Tensor | None = None,
    **options: Any,
) -> RasterOutput:
    """Render V views of the same Gaussians, differentiably; gradients are summed over the views.

    On a GPU up to 8 views go through every stage together, which fills it better than one at a
    time; on the CPU this is a loop.

    Args:
        means: (P, 3), as all inputs and options not named here like in :func:`rasterize`.
        quats: (P, 4), or None.
        scales: (P, 3), or None.
        opacities: (P, 1) or (P,).
        views: V cameras with images of one size.
        means2d: (V, P, 3) dummy that receives each view's screen-space gradient.
        background: (3,), of all views.
        active_tiles: (V, ceil(H / 16), ceil(W / 16)) bool, the tiles to draw of each view.

    Returns:
        A :class:`RasterOutput` whose tensors have V in front: color (V, 3, H, W), radii (V, P), ...

    Raises:
        ValueError: no views, images of several sizes, and what :func:`rasterize` raises.
    """
    sizes = {(view.image_width, view.image_height) for view in views}
    if len(sizes) != 1:
        raise ValueError(f"views must have images of one size, got {sorted(sizes) or 'no view'}")
    if active_tiles is not None and len(active_tiles) != len(views):
        raise ValueError(f"active_tiles of {len(active_tiles)} views for {len(views)}")
    parts = []
    step = 1 if means.device.type == "cpu" else MOST_AT_ONCE
    for first in range(0, len(views), step):
        some = slice(first, first + step)
        dummy = None if means2d is None else means2d[some]
        active = None if active_tiles is None else active_tiles[some]
        together = _loop if means.device.type == "cpu" else _at_once
        parts.append(
            together(
                means, quats, scales, opacities, views[some], dummy, background, active, options
            )
        )
    return _joined(parts)


def _loop(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    views: Sequence[View],
    means2d: Tensor | None,
    background: Tensor | None,
    active: Tensor | None,
    options: dict[str, Any],
) -> RasterOutput:
    (view,) = views
    dummy = None if means2d is None else means2d[0]
    out = rasterize(
        means, quats, scales, opacities, view=view, means2d=dummy, background=background,
        active_tiles=None if active is None else active[0], **options,
    )  # fmt: skip
    return RasterOutput(*(None if t is None else t[None] for t in out))  # type: ignore[arg-type]


def _at_once(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    views: Sequence[View],
    means2d: Tensor | None,
    background: Tensor | None,
    active: Tensor | None,
    options: dict[str, Any],
) -> RasterOutput:
    rest = dict(options)
    sh, colors, cov3d = (rest.pop(name, None) for name in ("sh", "colors", "cov3d"))
    inputs, degree = checked_inputs(
        means, quats, scales, opacities, sh, colors, cov3d, means2d, rest.pop("sh_degree", None),
        len(views),
    )  # fmt: skip
    want = wanted(rest.pop("want", ("color", "alpha")), rest.get("counts", False))
    limit = float(rest.pop("gradient_limit", None) or 0.0)
    common = Options(want=want, gradient_limit=limit, **rest)
    behind = checked_background(background, means.device)
    device = means.device
    masks = [None] * len(views) if active is None else list(active)
    calls = tuple(
        Call(checked_view(v, device), behind, degree, common, checked_active(mask, v, device))
        for v, mask in zip(views, masks, strict=True)
    )
    return run(calls, True, means2d, inputs)


def _joined(parts: Sequence[RasterOutput]) -> RasterOutput:
    if len(parts) == 1:
        return parts[0]
    return RasterOutput(
        *(None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True))  # type: ignore[arg-type]
    )
