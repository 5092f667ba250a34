"""The grid of tiles that both engines draw."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

TILE = 16  # pixels, both ways; kTile of include/math_base.h


def tiles_of(pixels: Tensor) -> Tensor:
    """Tiles that hold at least one marked pixel: what ``active_tiles`` of a call takes.

    Args:
        pixels: (..., H, W) bool.

    Returns:
        (..., ceil(H / 16), ceil(W / 16)) bool on the same device.
    """
    height, width = pixels.shape[-2:]
    padded = pad(pixels, (0, -width % TILE, 0, -height % TILE))
    return padded.unflatten(-1, (-1, TILE)).any(-1).unflatten(-2, (-1, TILE)).any(-2)
