"""Counting signature: per-Gaussian importance for pruning (spec `rasterizer.md`, section 9)."""

from __future__ import annotations

import torch
from torch import Tensor

from diff_gaussian_rasterization._frontend import RasterizerModule, check_choice
from diff_gaussian_rasterization.plain import render_plain
from diff_gaussian_rasterization.settings import CompressSettings as GaussianRasterizationSettings

Rendered = tuple[Tensor, Tensor]
Counted = tuple[Tensor, Tensor, Tensor, Tensor]


def rasterize_gaussians(
    means3D: Tensor,
    means2D: Tensor | None,
    sh: Tensor | None,
    colors_precomp: Tensor | None,
    opacities: Tensor,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3Ds_precomp: Tensor | None,
    raster_settings: GaussianRasterizationSettings,
    score_by_transmittance: bool = False,
) -> Rendered | Counted:
    """Render (color, radii), or with ``f_count`` (counts, score, color, radii) without a graph.

    Args:
        score_by_transmittance: sum opacity times transmittance, not opacity alone.

    Empty tensors stand for absent inputs.
    """
    arguments = (
        means3D,
        means2D,
        sh,
        colors_precomp,
        opacities,
        scales,
        rotations,
        cov3Ds_precomp,
        raster_settings,
    )
    if not raster_settings.f_count:
        out = render_plain(*arguments)
        return out.color, out.radii
    with torch.no_grad():
        out = render_plain(*arguments, counts=True, score_by_transmittance=score_by_transmittance)
    assert out.counts is not None
    assert out.scores is not None
    return out.counts, out.scores, out.color, out.radii


class GaussianRasterizer(RasterizerModule):
    """Counting rasterizer as an `nn.Module` without parameters.

    Args:
        raster_settings: the view, and whether to count.
        score_by_transmittance: sum opacity times transmittance, not opacity alone.
    """

    def __init__(
        self,
        raster_settings: GaussianRasterizationSettings,
        score_by_transmittance: bool = False,
    ) -> None:
        super().__init__(raster_settings)
        self.score_by_transmittance = score_by_transmittance

    def forward(
        self,
        means3D: Tensor,
        means2D: Tensor | None,
        opacities: Tensor,
        shs: Tensor | None = None,
        colors_precomp: Tensor | None = None,
        scales: Tensor | None = None,
        rotations: Tensor | None = None,
        cov3D_precomp: Tensor | None = None,
    ) -> Rendered | Counted:
        """Render (color, radii), or with ``f_count`` (counts, score, color, radii).

        Raises:
            ValueError: not exactly one kind of colour, or of shape.
        """
        check_choice(shs, colors_precomp, scales, rotations, cov3D_precomp)
        return rasterize_gaussians(
            means3D,
            means2D,
            shs,
            colors_precomp,
            opacities,
            scales,
            rotations,
            cov3D_precomp,
            self.raster_settings,
            self.score_by_transmittance,
        )

    def forward_count(
        self,
        means3D: Tensor,
        means2D: Tensor | None,
        opacities: Tensor,
        shs: Tensor | None = None,
        colors_precomp: Tensor | None = None,
        scales: Tensor | None = None,
        rotations: Tensor | None = None,
        cov3D_precomp: Tensor | None = None,
    ) -> Rendered | Counted:
        """The same as `forward`."""
        return self.forward(
            means3D,
            means2D,
            opacities,
            shs,
            colors_precomp,
            scales,
            rotations,
            cov3D_precomp,
        )
