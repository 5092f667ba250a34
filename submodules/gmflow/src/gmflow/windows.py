"""Attention windows: position encoding, cutting a map into windows, and the shifted mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SEPARATED = -100.0  # added to the score of two tokens that the shift brought together


def sine_position(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Sine and cosine position encoding of a map, (C, height, width) float32.

    The first half of the channels encodes the row, the second half the column; each counts from 1
    and is scaled so that the last one is at (nearly) 2 pi.

    Args:
        like: a tensor on the wanted device.

    Source: spec `gmflow.md`, section 4.
    """
    half = channels // 2
    index = torch.arange(half, device=like.device)
    period = 10000.0 ** (2 * (index // 2).float() / half)

    def encode(count: int) -> Tensor:
        position = torch.arange(1, count + 1, device=like.device).float()
        angle = (position / (count + 1e-6) * (2 * math.pi))[None, :] / period[:, None]
        even = (index % 2 == 0)[:, None]
        return torch.where(even, angle.sin(), angle.cos())

    rows = encode(height)[:, :, None].expand(half, height, width)
    columns = encode(width)[:, None, :].expand(half, height, width)
    return torch.cat([rows, columns])


def windowed_position(height: int, width: int, channels: int, windows: int, like: Tensor) -> Tensor:
    """Position encoding that starts anew in each of windows x windows parts of the map."""
    part = sine_position(height // windows, width // windows, channels, like)
    return part.repeat(1, windows, windows)


def window_shift(height: int, width: int, windows: int) -> tuple[int, int]:
    """Rows and columns by which odd blocks roll the map: half a window."""
    return height // windows // 2, width // windows // 2


def cut(tokens: Tensor, windows: int) -> Tensor:
    """(B, h, w, C) to (B, windows^2, h/windows * w/windows, C)."""
    b, h, w, c = tokens.shape
    parts = tokens.view(b, windows, h // windows, windows, w // windows, c)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(b, windows * windows, -1, c)


def join(parts: Tensor, windows: int, height: int, width: int) -> Tensor:
    """Undo `cut`: back to (B, height, width, C)."""
    b, _, _, c = parts.shape
    grid = parts.view(b, windows, windows, height // windows, width // windows, c)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(b, height, width, c)


def shift_mask(height: int, width: int, windows: int, like: Tensor) -> Tensor:
    """Score offsets for shifted windows, (windows^2, L, L) with L tokens per window.

    Rolling brings the map's opposite borders into one window; pairs from different sides get
    `SEPARATED`, all others 0.

    Source: spec `gmflow.md`, section 5.
    """
    row_shift, column_shift = window_shift(height, width, windows)

    def label(size: int, window: int, shift: int) -> Tensor:
        position = torch.arange(size, device=like.device)
        return (position >= size - window).long() + (position >= size - shift).long()

    rows = label(height, height // windows, row_shift)
    columns = label(width, width // windows, column_shift)
    labels = (rows[:, None] * 3 + columns[None, :])[None, :, :, None]
    region = cut(labels, windows)[0, :, :, 0]
    return (region[:, :, None] != region[:, None, :]).to(like.dtype) * SEPARATED
