"""Photometric loss of Gaussian optimisation (L1 + SSIM) with its gradient in one pass.

Public names: `photometric_loss`, `ssim`, `ssim_map`; `fused_ssim.reference` holds the
plain-torch twin of each.
"""

from fused_ssim.loss import photometric_loss, ssim
from fused_ssim.reference import ssim_map

__all__ = ["photometric_loss", "ssim", "ssim_map"]
