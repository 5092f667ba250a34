"""Self-attention over the anchors, which lets each know how all the others move."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to one another; only the output has a bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, M, width) to the same."""
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.output(attended.transpose(1, 2).flatten(2))


class GatedFeedForward(nn.Module):
    """GEGLU with an inner width of four times the outer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 8 * width)
        self.output = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., width) to the same."""
        value, gate = self.project(tokens).chunk(2, dim=-1)
        return self.output(value * F.gelu(gate))


class AnchorBlock(nn.Module):
    """Attention and feed-forward, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = GatedFeedForward(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, M, width) to the same."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.feed_forward(self.feed_forward_norm(tokens))


class AnchorTransformer(nn.Module):
    """Blocks of self-attention between a projection in and out, added to the input.

    There is no position encoding: the order of the anchors does not matter.

    Source: spec `agm_net.md`, section 9.
    """

    def __init__(self, channels: int, width: int, heads: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.project_in = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(AnchorBlock(width, heads) for _ in range(blocks))
        self.project_out = nn.Linear(width, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, M, C) to the same; M may differ from call to call."""
        normed = self.norm(features.transpose(1, 2)).transpose(1, 2)
        tokens = self.project_in(normed)
        for block in self.blocks:
            tokens = block(tokens)
        return features + self.project_out(tokens)
