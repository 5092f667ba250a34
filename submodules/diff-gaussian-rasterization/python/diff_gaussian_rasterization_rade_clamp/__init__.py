"""Drop-in for the RaDe rasterizer whose gradients are limited to 15 in size."""

from diff_gaussian_rasterization.rade import (
    ClampedGaussianRasterizer as GaussianRasterizer,
)
from diff_gaussian_rasterization.rade import (
    GaussianRasterizationSettings,
)
from diff_gaussian_rasterization.rade import (
    rasterize_gaussians_clamped as rasterize_gaussians,
)

__all__ = ["GaussianRasterizationSettings", "GaussianRasterizer", "rasterize_gaussians"]
