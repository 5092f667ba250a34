"""Drop-in for the counting rasterizer: per-Gaussian importance for pruning."""

from diff_gaussian_rasterization.compress import (
    GaussianRasterizationSettings,
    GaussianRasterizer,
    rasterize_gaussians,
)

__all__ = ["GaussianRasterizationSettings", "GaussianRasterizer", "rasterize_gaussians"]
