"""Feature transformer: two maps look at themselves and at each other, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmflow.windows import cut, join, shift_mask, window_shift


@dataclass(frozen=True)
class Shift:
    """How far a block rolls its maps, and the mask that goes with it."""

    rows: int
    columns: int
    mask: Tensor


class AttentionLayer(nn.Module):
    """Single-head attention in windows, post-normalised, optionally with a feed-forward layer.

    The layer adds a message to its source; there is no norm before attention.
    """

    def __init__(self, channels: int, expansion: int | None) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.message_norm = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels, expansion) if expansion else None

    def forward(
        self, source: Tensor, target: Tensor, windows: int, shift: Shift | None = None
    ) -> Tensor:
        """`source` and `target` are (B, h, w, C); queries come from the source."""
        q, k, v = self.query(source), self.key(target), self.value(target)
        message = self.message_norm(self.merge(windowed_attention(q, k, v, windows, shift)))
        if self.feed_forward is not None:
            message = self.feed_forward(source, message)
        return source + message


class FeedForward(nn.Module):
    """Two linear layers over the source and its message together, then a norm."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.expand = nn.Linear(2 * channels, 2 * channels * expansion, bias=False)
        self.contract = nn.Linear(2 * channels * expansion, channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, source: Tensor, message: Tensor) -> Tensor:
        hidden = F.gelu(self.expand(torch.cat([source, message], dim=-1)))
        return self.norm(self.contract(hidden))


class TransformerBlock(nn.Module):
    """Self-attention of the source, then cross-attention to the target with feed-forward.

    Source: spec `gmflow.md`, section 5.
    """

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.self_attention = AttentionLayer(channels, None)
        self.cross_attention = AttentionLayer(channels, expansion)

    def forward(
        self, source: Tensor, target: Tensor, windows: int, shift: Shift | None = None
    ) -> Tensor:
        """`source` and `target` are (B, h, w, C), h and w multiples of `windows`."""
        source = self.self_attention(source, source, windows, shift)
        return self.cross_attention(source, target, windows, shift)


class FeatureTransformer(nn.Module):
    """A chain of blocks in which both maps are updated from each other's state before the block.

    Odd blocks work on shifted windows where there is more than one.
    """

    def __init__(self, channels: int, blocks: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TransformerBlock(channels, expansion) for _ in range(blocks))

    def forward(self, map0: Tensor, map1: Tensor, windows: int) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) maps with their position encoding already added, and the same out."""
        source = torch.cat([map0, map1]).permute(0, 2, 3, 1)
        shift = make_shift(source, windows) if windows > 1 and len(self.blocks) > 1 else None
        for i, block in enumerate(self.blocks):
            target = source.roll(len(map0), dims=0)  # the two halves of the batch swapped
            source = block(source, target, windows, shift if i % 2 else None)
        out0, out1 = source.permute(0, 3, 1, 2).chunk(2)
        return out0.contiguous(), out1.contiguous()


def make_shift(tokens: Tensor, windows: int) -> Shift:
    """The half-window shift of a (B, h, w, C) map and its mask."""
    _, height, width, _ = tokens.shape
    rows, columns = window_shift(height, width, windows)
    return Shift(rows, columns, shift_mask(height, width, windows, tokens))


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, windows: int, shift: Shift | None
) -> Tensor:
    """Scaled dot-product attention inside each window; all tensors (B, h, w, C)."""
    _, height, width, _ = query.shape
    if shift is not None:
        query, key, value = (
            x.roll((-shift.rows, -shift.columns), dims=(1, 2)) for x in (query, key, value)
        )
    mask = None if shift is None else shift.mask.to(query.dtype)
    q, k, v = (cut(x, windows) for x in (query, key, value))
    # The windows take the place of the heads, so that one mask serves the whole batch.
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out = join(out, windows, height, width)
    return out if shift is None else out.roll((shift.rows, shift.columns), dims=(1, 2))
