"""Plain 3DGS signature: colour and radii (spec `rasterizer.md`, section 9 without counting)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diff_gaussian_rasterization._frontend import (
    RasterizerModule,
    absent_to_none,
    check_choice,
    view_of,
)
from diff_gaussian_rasterization.core import RasterOutput, rasterize
from diff_gaussian_rasterization.settings import PlainSettings as GaussianRasterizationSettings

LOW_PASS = 0.3  # pixels squared, added to the 2D covariance by plain 3DGS


def render_plain(
    means3D: Tensor,
    means2D: Tensor | None,
    sh: Tensor | None,
    colors_precomp: Tensor | None,
    opacities: Tensor,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3Ds_precomp: Tensor | None,
    settings: Any,
    **options: Any,
) -> RasterOutput:
    """Plain 3DGS through the core; empty tensors stand for absent inputs."""
    given = absent_to_none(means3D, sh, colors_precomp, scales, rotations, cov3Ds_precomp)
    return rasterize(
        means3D,
        given.quats,
        given.scales,
        opacities,
        sh=given.sh,
        colors=given.colors,
        cov3d=given.cov3d,
        view=view_of(settings),
        means2d=means2D,
        background=settings.bg,
        sh_degree=settings.sh_degree,
        scale_modifier=settings.scale_modifier,
        want=("color",),
        kernel_size=LOW_PASS,
        compensate=False,
        absolute_statistic=False,
        **options,
    )


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
) -> tuple[Tensor, Tensor]:
    """Render colour (3, H, W) and radii (P,); empty tensors stand for absent inputs."""
    out = render_plain(
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
    return out.color, out.radii


class GaussianRasterizer(RasterizerModule):
    """Plain 3DGS rasterizer as an `nn.Module` without parameters."""

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
    ) -> tuple[Tensor, Tensor]:
        """Render colour (3, H, W) and radii (P,).

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
        )
