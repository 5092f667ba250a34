"""Drop-in for the RaDe rasterizer: colour, depth, coordinates, alpha and normals."""

from diff_gaussian_rasterization.rade import (
    GaussianRasterizationSettings,
    GaussianRasterizer,
    rasterize_gaussians,
)

__all__ = ["GaussianRasterizationSettings", "GaussianRasterizer", "rasterize_gaussians"]
