"""Order along a space-filling curve (Z-order, Morton): neighbours in space are near in rows."""

from __future__ import annotations

import numpy as np

MORTON_BITS = 21  # an axis; three of them make 63 bits

_SPREAD = (
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)


def encode_morton(cells: np.ndarray) -> np.ndarray:
    """Interleave the bits of three axes, x in the lowest.

    Args:
        cells: (3, N) integers in 0 .. 2^21 - 1.

    Returns:
        (N,) uint64.
    """
    x, y, z = (_spread(axis.astype(np.uint64)) for axis in cells)
    return x | (y << np.uint64(1)) | (z << np.uint64(2))


def decode_morton(codes: np.ndarray) -> np.ndarray:
    """The inverse of `encode_morton`: (N,) uint64 to (3, N) int32."""
    return np.stack([_gather(codes >> np.uint64(axis)).astype(np.int32) for axis in range(3)])


def _spread(values: np.ndarray) -> np.ndarray:
    for shift, mask in _SPREAD:
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values


def _gather(codes: np.ndarray) -> np.ndarray:
    values = codes & np.uint64(_SPREAD[-1][1])
    for (shift, _), mask in zip(
        reversed(_SPREAD), (*(m for _, m in reversed(_SPREAD[:-1])), (1 << 21) - 1), strict=True
    ):
        values = (values | (values >> np.uint64(shift))) & np.uint64(mask)
    return values
