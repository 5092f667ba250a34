"""From two feature maps to flow: global matching, propagation, upsampling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmflow.config import DOWNSAMPLING


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Whole-number coordinates of a map, (2, height, width), channel 0 = x."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([x, y])


def to_tokens(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h*w, C)."""
    return maps.flatten(2).transpose(1, 2)


def global_matching(features0: Tensor, features1: Tensor) -> Tensor:
    """Expected displacement of every position under the softmax of all matches.

    Args:
        features0: (B, C, h, w) float32, the map to match from.
        features1: (B, C, h, w) float32, the map to find it in.

    Returns:
        (B, 2, h, w) flow in feature pixels, channel 0 = x.

    Source: GMFlow (CVPR 2022), section 3.1; spec `gmflow.md`, section 7.
    """
    batch, _, height, width = features0.shape
    grid = pixel_grid(height, width, features0).expand(batch, -1, -1, -1)
    matched = F.scaled_dot_product_attention(
        to_tokens(features0), to_tokens(features1), to_tokens(grid)
    )
    return matched.transpose(1, 2).view(batch, 2, height, width) - grid


class Propagation(nn.Module):
    """Spreads flow to positions that look alike: self-attention of the features, flow as value.

    The key is projected from the *query*, not from the features. The published weights were
    trained with that slip and mean nothing without it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        """(B, C, h, w) features and (B, 2, h, w) flow to (B, 2, h, w) flow."""
        query = self.query(to_tokens(features))
        spread = F.scaled_dot_product_attention(query, self.key(query), to_tokens(flow))
        return spread.transpose(1, 2).reshape(flow.shape)


class Upsampler(nn.Module):
    """Eightfold upsampling: every fine pixel is a learnt mean of its 3x3 coarse neighbours."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels + 2, width, 3, padding=1)
        self.weights = nn.Conv2d(width, 9 * DOWNSAMPLING**2, 1)

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        """(B, C, h, w) features and (B, 2, h, w) flow to (B, 2, 8h, 8w) flow in image pixels."""
        batch, _, height, width = flow.shape
        scale = DOWNSAMPLING
        weights = self.weights(F.relu(self.hidden(torch.cat([flow, features], dim=1))))
        weights = weights.view(batch, 9, scale, scale, height, width).softmax(dim=1)
        neighbours = F.unfold(scale * flow, 3, padding=1).view(batch, 2, 9, height, width)
        fine = torch.einsum("bnijrc,bdnrc->bdricj", weights, neighbours)
        return fine.reshape(batch, 2, scale * height, scale * width)
