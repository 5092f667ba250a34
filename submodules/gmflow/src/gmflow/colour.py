"""Flow as a picture: hue is direction, saturation is length."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def flow_to_rgb(flow: Tensor, max_length: float | None = None) -> Tensor:
    """Colour a flow field; no motion is white.

    Args:
        flow: (..., 2, H, W), channel 0 = x.
        max_length: length in pixels at full saturation; None for the longest in the input.

    Returns:
        (..., 3, H, W) RGB, 0..1; rightward red, downward yellow-green, leftward cyan.
    """
    x, y = flow.unbind(-3)
    length = torch.hypot(x, y)
    longest = float(length.max()) if max_length is None else max_length
    saturation = (length / max(longest, 1e-9)).clamp(0, 1)
    hue = torch.atan2(y, x) / (2 * math.pi) * 6
    sector = torch.tensor([5.0, 3.0, 1.0], device=flow.device, dtype=flow.dtype)
    k = (sector.view(3, 1, 1) + hue.unsqueeze(-3)) % 6
    return 1 - saturation.unsqueeze(-3) * torch.minimum(k, 4 - k).clamp(0, 1)
