"""Prediction of moved rows: blocks of rows, each carried by one affine map and one rotation.

Everything a decoder does here is done on integers, or on doubles that hold integers exactly,
followed by one correctly rounded square root, one division and one product: every decoder gets the
same integers. docs/fvv.md, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from igs.fvv.errors import FvvError
from igs.fvv.planes import PlaneReader, PlaneWriter

UNIT = 1 << 14  # of the matrix
SUBSTEPS = 4  # of the translation, a step
ROTATION_UNIT = (1 << 15) - 1
_LIMITS = {"translation": (1 << 28) - 1, "matrix": (1 << 15) - 1, "rotation": (1 << 15) - 1}
MAX_BLOCK = (1 << 16) - 1


@dataclass
class Blocks:
    """How B blocks of consecutive moved rows move.

    A row at p moves by ``t + M (p - c)``, c being the mean position of its block.

    Attributes:
        lengths: (B,) int64, rows of each block.
        translation: (3, B) int64, t in quarter steps.
        matrix: (9, B) int64, M in units of 2^-14, row by row.
        rotation: (3, B) int64, x y z of a unit quaternion with w >= 0 times 32767, world axes; all
            zero leaves quaternions as they are.
    """

    lengths: np.ndarray
    translation: np.ndarray
    matrix: np.ndarray
    rotation: np.ndarray

    def write(self, writer: PlaneWriter) -> None:
        """Append to a payload."""
        writer.number(len(self.lengths))
        writer.ints(self.lengths)
        for table in (self.translation, self.matrix, self.rotation):
            for row in table:
                writer.ints(row)

    @classmethod
    def read(cls, reader: PlaneReader, moved: int) -> Blocks:
        """Read from a payload.

        Raises:
            FvvError: lengths that do not add up to the moved rows, or numbers out of range.
        """
        count = reader.number()
        if count > moved:
            raise FvvError(f"payload: {count} blocks for {moved} moved rows")
        lengths = reader.ints(count).astype(np.int64)
        if (lengths < 1).any() or lengths.sum() != moved:
            raise FvvError(f"payload: blocks do not add up to {moved} moved rows")
        tables = {}
        for name, rows in (("translation", 3), ("matrix", 9), ("rotation", 3)):
            table = np.empty((rows, count), np.int64)
            for i in range(rows):
                table[i] = reader.ints(count)
            if (np.abs(table) > _LIMITS[name]).any():
                raise FvvError(f"payload: {name} out of range")
            tables[name] = table
        return cls(lengths, **tables)


def carry_positions(position: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Where the blocks take their rows.

    Args:
        position: (3, n) int32, moved rows in order.
        blocks: whose lengths add up to n.

    Returns:
        (3, n) int64.
    """
    start = position.astype(np.int64)
    if not len(blocks.lengths):
        return start
    firsts = np.cumsum(blocks.lengths) - blocks.lengths
    center = np.add.reduceat(start, firsts, axis=1) // blocks.lengths
    still = ~(blocks.translation.any(axis=0) | blocks.matrix.any(axis=0))
    if still.all():
        return start
    of_row = np.repeat(np.arange(len(blocks.lengths)), blocks.lengths)
    offset = start - center[:, of_row]
    moved = np.empty_like(start)
    for i in range(3):
        total = (blocks.translation[i] * (UNIT // SUBSTEPS) + UNIT // 2)[of_row]
        for j in range(3):
            row = blocks.matrix[3 * i + j]
            if row.any():
                total = total + row[of_row] * offset[j]
        moved[i] = start[i] + (total >> 14)
    return moved


def carry_quats(quat: np.ndarray, blocks: Blocks, scale: int) -> np.ndarray:
    """How the blocks turn their rows.

    Args:
        quat: (4, n) int16, moved rows in order.
        blocks: whose lengths add up to n.
        scale: length of a unit quaternion on the grid.

    Returns:
        (4, n) int64; of length `scale` where the block turns, else unchanged.
    """
    start = quat.astype(np.int64)
    turning = blocks.rotation.any(axis=0)
    if not turning.any():
        return start
    x, y, z = blocks.rotation
    rest = np.maximum(ROTATION_UNIT**2 - x * x - y * y - z * z, 0)
    w = np.floor(np.sqrt(rest.astype(np.float64)) + 0.5).astype(np.int64)
    rows = np.repeat(turning, blocks.lengths)
    turn = np.repeat(np.stack([w, x, y, z])[:, turning], blocks.lengths[turning], axis=1)
    start[:, rows] = _rescaled(_product(turn, start[:, rows]), scale)
    return start


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton product of (4, n) integers, exact."""
    w1, x1, y1, z1 = left
    w2, x2, y2, z2 = right
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ]
    )


def _rescaled(quat: np.ndarray, scale: int) -> np.ndarray:
    """(4, n) integers to length `scale`, rounded; exact in doubles up to the square root."""
    values = quat.astype(np.float64)
    w, x, y, z = values
    squared = ((w * w + x * x) + y * y) + z * z
    factor = scale / np.sqrt(np.maximum(squared, 1.0))
    return np.floor(values * factor + 0.5).astype(np.int64)
