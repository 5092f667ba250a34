"""What the drop-in modules share: the argument rules of the originals."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from diff_gaussian_rasterization.core import mark_visible
from diff_gaussian_rasterization.view import View


def view_of(settings: Any) -> View:
    """The camera of any of the settings NamedTuples."""
    return View(
        image_height=settings.image_height,
        image_width=settings.image_width,
        tanfovx=settings.tanfovx,
        tanfovy=settings.tanfovy,
        viewmatrix=settings.viewmatrix,
        projmatrix=settings.projmatrix,
        campos=settings.campos,
    )


class Given(NamedTuple):
    """The optional inputs under the core's names; None where one is absent."""

    sh: Tensor | None
    colors: Tensor | None
    scales: Tensor | None
    quats: Tensor | None
    cov3d: Tensor | None


def none_if_empty(value: Tensor | None) -> Tensor | None:
    """The module-level functions take empty tensors where an input is absent."""
    return None if value is None or value.numel() == 0 else value


def absent_to_none(
    means3d: Tensor,
    sh: Tensor | None,
    colors: Tensor | None,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3d: Tensor | None,
) -> Given:
    """The optional inputs, some of which may be empty placeholders."""
    if means3d.dim() == 2 and means3d.shape[0] == 0:
        return _empty_scene(means3d, sh, colors, scales, rotations, cov3d)
    return Given(*map(none_if_empty, (sh, colors, scales, rotations, cov3d)))


def _empty_scene(
    means3d: Tensor,
    sh: Tensor | None,
    colors: Tensor | None,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3d: Tensor | None,
) -> Given:
    """Without Gaussians every input is empty: tell placeholders by their shape."""

    def real(value: Tensor | None, *tail: int | None) -> Tensor | None:
        if value is None or value.dim() != len(tail) + 1:
            return None
        fits = all(t is None or t == n for t, n in zip(tail, value.shape[1:], strict=True))
        return value if fits else None

    sh, cov3d = real(sh, None, 3), real(cov3d, 6)
    colors = None if sh is not None else real(colors, 3)
    if sh is None and colors is None:
        colors = means3d.new_empty(0, 3)
    scales, rotations = real(scales, 3), real(rotations, 4)
    if cov3d is not None:
        scales = rotations = None
    else:
        scales = means3d.new_empty(0, 3) if scales is None else scales
        rotations = means3d.new_empty(0, 4) if rotations is None else rotations
    return Given(sh, colors, scales, rotations, cov3d)


def check_choice(
    shs: Tensor | None,
    colors: Tensor | None,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3d: Tensor | None,
) -> None:
    """Exactly one kind of colour and one kind of shape.

    Raises:
        ValueError: none or both were given.
    """
    if (shs is None) == (colors is None):
        raise ValueError("give exactly one of shs and colors_precomp")
    pair = scales is not None or rotations is not None
    complete = scales is not None and rotations is not None
    if pair == (cov3d is not None) or (pair and not complete):
        raise ValueError("give exactly one of cov3D_precomp and the pair scales and rotations")


class RasterizerModule(nn.Module):
    """Holds the settings; the drop-in rasterizers add `forward`."""

    def __init__(self, raster_settings: Any) -> None:
        super().__init__()
        self.raster_settings = raster_settings

    def markVisible(self, positions: Tensor) -> Tensor:  # noqa: N802 - the callers' name
        """(P,) bool: beyond the near cut of the settings' camera. No gradient."""
        return mark_visible(positions.detach(), self.raster_settings.viewmatrix)
