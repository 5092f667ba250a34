"""Differentiable Gaussian rasterizer: plain 3DGS signature, and the core behind all variants."""

from diff_gaussian_rasterization.core import (
    OUTPUTS,
    RasterOutput,
    get_num_threads,
    mark_visible,
    rasterize,
    set_num_threads,
    simd_variant,
    tiles_of,
)
from diff_gaussian_rasterization.plain import (
    GaussianRasterizationSettings,
    GaussianRasterizer,
    rasterize_gaussians,
)
from diff_gaussian_rasterization.view import View
from diff_gaussian_rasterization.views import rasterize_views

__all__ = [
    "OUTPUTS",
    "GaussianRasterizationSettings",
    "GaussianRasterizer",
    "RasterOutput",
    "View",
    "get_num_threads",
    "mark_visible",
    "rasterize",
    "rasterize_gaussians",
    "rasterize_views",
    "set_num_threads",
    "simd_variant",
    "tiles_of",
]
