"""Plain-torch twin of the rasterizer: small scenes, any float dtype, any device, autograd.

It is what the native engine is checked against and shares no code with it. Derivatives come
from autograd; the few conventions of the spec that differ from the true derivative are marked
where they are made. Source: spec `rasterizer.md`.
"""

from diff_gaussian_rasterization.reference.api import (
    count_gaussians_reference,
    rasterize_gaussians_reference,
)

__all__ = ["count_gaussians_reference", "rasterize_gaussians_reference"]
