"""RaDe signature, with and without limited gradients (spec `rasterizer.md`, sections 7 and 8)."""

from __future__ import annotations

from torch import Tensor

from diff_gaussian_rasterization._frontend import (
    RasterizerModule,
    absent_to_none,
    check_choice,
    view_of,
)
from diff_gaussian_rasterization.core import RasterOutput, rasterize
from diff_gaussian_rasterization.settings import RadeSettings as GaussianRasterizationSettings

GRADIENT_LIMIT = 15.0  # of the clamped variant

RadeOutput = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def _render(
    means3D: Tensor,
    means2D: Tensor | None,
    sh: Tensor | None,
    colors_precomp: Tensor | None,
    opacities: Tensor,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3Ds_precomp: Tensor | None,
    settings: GaussianRasterizationSettings,
    gradient_limit: float | None,
) -> RadeOutput:
    want = ["color", "alpha"]
    if settings.require_coord:
        want += ["coord", "median_coord"]
    if settings.require_depth:
        want += ["depth", "median_depth"]
    if settings.require_coord or settings.require_depth:
        want.append("normal")
    given = absent_to_none(means3D, sh, colors_precomp, scales, rotations, cov3Ds_precomp)
    out = rasterize(
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
        want=want,
        kernel_size=settings.kernel_size,
        gradient_limit=gradient_limit,
        nan_assertions=True,
    )
    return _eight(out)


def _eight(out: RasterOutput) -> RadeOutput:
    """The originals' tuple; outputs that were not required are zeros."""
    height, width = out.color.shape[1:]

    def filled(image: Tensor | None, channels: int) -> Tensor:
        return out.color.new_zeros(channels, height, width) if image is None else image

    return (
        out.color,
        out.radii,
        filled(out.coord, 3),
        filled(out.median_coord, 3),
        filled(out.depth, 1),
        filled(out.median_depth, 1),
        filled(out.alpha, 1),
        filled(out.normal, 3),
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
) -> RadeOutput:
    """Render (color, radii, coord, mcoord, depth, mdepth, alpha, normal).

    Empty tensors stand for absent inputs. Gradients that hold NaN raise AssertionError.
    """
    return _render(
        means3D,
        means2D,
        sh,
        colors_precomp,
        opacities,
        scales,
        rotations,
        cov3Ds_precomp,
        raster_settings,
        None,
    )


def rasterize_gaussians_clamped(
    means3D: Tensor,
    means2D: Tensor | None,
    sh: Tensor | None,
    colors_precomp: Tensor | None,
    opacities: Tensor,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3Ds_precomp: Tensor | None,
    raster_settings: GaussianRasterizationSettings,
) -> RadeOutput:
    """As `rasterize_gaussians`; gradients of means, sh, opacities, scales and rotations are cut
    to [-15, 15]."""
    return _render(
        means3D,
        means2D,
        sh,
        colors_precomp,
        opacities,
        scales,
        rotations,
        cov3Ds_precomp,
        raster_settings,
        GRADIENT_LIMIT,
    )


class GaussianRasterizer(RasterizerModule):
    """RaDe rasterizer as an `nn.Module` without parameters."""

    gradient_limit: float | None = None

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
    ) -> RadeOutput:
        """Render (color, radii, coord, mcoord, depth, mdepth, alpha, normal).

        Raises:
            ValueError: not exactly one kind of colour, or of shape.
        """
        check_choice(shs, colors_precomp, scales, rotations, cov3D_precomp)
        return _render(
            means3D,
            means2D,
            shs,
            colors_precomp,
            opacities,
            scales,
            rotations,
            cov3D_precomp,
            self.raster_settings,
            self.gradient_limit,
        )


class ClampedGaussianRasterizer(GaussianRasterizer):
    """RaDe rasterizer whose gradients are cut to [-15, 15]."""

    gradient_limit = GRADIENT_LIMIT
