"""Rows by themselves: frames that need no other, and rows that are new; docs/fvv.md, section 6."""

from __future__ import annotations

import numpy as np

from igs.fvv.errors import FvvError, Limits
from igs.fvv.morton import MORTON_BITS, decode_morton, encode_morton
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Rows, sh_rows

_IN_ORDER, _MORTON = 0, 1


def write_base(writer: PlaneWriter, rows: Rows, grid_quat: int) -> None:
    """Append the base attributes of n rows; n stands elsewhere."""
    _write_positions(writer, rows.position)
    w, x, y, z = rows.quat.astype(np.int64)
    for values in (x, y, z, w - _fourth(x, y, z, grid_quat)):
        writer.ints(values)
    for values in rows.log_scale:
        writer.ints(values)
    writer.ints(rows.opacity[0])
    for values in to_ycc(rows.color):
        writer.ints(values)


def read_base(reader: PlaneReader, count: int, grid_quat: int) -> Rows:
    """The inverse of `write_base`, without spherical harmonics.

    Raises:
        FvvError: the payload does not hold that.
    """
    position = _read_positions(reader, count)
    x, y, z, rest = (reader.ints(count).astype(np.int64) for _ in range(4))
    quat = np.stack([rest + _fourth(x, y, z, grid_quat), x, y, z]).astype(np.int16)
    scale = _read(reader, 3, count)
    opacity = _read(reader, 1, count)
    return Rows(position, quat, scale, opacity, from_ycc(_read(reader, 3, count)))


def write_harmonics(writer: PlaneWriter, sh: np.ndarray) -> None:
    """Append one SH degree of n rows."""
    for values in sh:
        writer.ints(values)


def read_harmonics(reader: PlaneReader, degree: int, count: int) -> np.ndarray:
    """(3 (2 degree + 1), count) int16."""
    return _read(reader, sh_rows(degree), count)


def check_count(count: int, limits: Limits) -> int:
    """The number of rows of a frame, if it is within the limits.

    Raises:
        FvvError: it is not.
    """
    if count > limits.gaussians:
        raise FvvError(f"payload: {count} Gaussians, the limit is {limits.gaussians}")
    return count


def morton_order(position: np.ndarray) -> np.ndarray:
    """(N,) rows along the curve; by x where the positions span too far for it."""
    cells = _cells(position)
    if cells is None:
        return np.lexsort(position[::-1])
    return np.argsort(encode_morton(cells), kind="stable")


def to_ycc(color: np.ndarray) -> np.ndarray:
    """(3, n) RGB integers to brightness and two differences, without loss (YCoCg-R)."""
    red, green, blue = color.astype(np.int64)
    orange = red - blue
    middle = blue + (orange >> 1)
    greenish = green - middle
    return np.stack([middle + (greenish >> 1), orange, greenish])


def from_ycc(ycc: np.ndarray) -> np.ndarray:
    """The inverse of `to_ycc`, (3, n) int16."""
    bright, orange, greenish = ycc.astype(np.int32)
    middle = bright - (greenish >> 1)
    blue = middle - (orange >> 1)
    return np.stack([blue + orange, greenish + middle, blue]).astype(np.int16)


def _write_positions(writer: PlaneWriter, position: np.ndarray) -> None:
    cells = _cells(position)
    codes = None if cells is None else encode_morton(cells)
    if codes is None or (codes[1:] < codes[:-1]).any():
        writer.number(_IN_ORDER)
        for values in position:
            writer.ints(values)
        return
    writer.number(_MORTON)
    for low in position.min(axis=1) if position.size else (0, 0, 0):
        writer.number(int(low) & 0xFFFFFFFF)
    writer.gaps(codes)


def _read_positions(reader: PlaneReader, count: int) -> np.ndarray:
    mode = reader.number()
    if mode == _IN_ORDER:
        return np.stack([reader.ints(count).astype(np.int32) for _ in range(3)])
    if mode != _MORTON:
        raise FvvError(f"payload: {mode} is no kind of positions")
    low = np.array([reader.number() for _ in range(3)], np.uint32).view(np.int32)
    return decode_morton(reader.gaps(count)) + low[:, None]


def _cells(position: np.ndarray) -> np.ndarray | None:
    """Positions from their minimum; None if they span more than the curve has bits for."""
    if not position.size:
        return position
    cells = position.astype(np.int64) - position.min(axis=1, keepdims=True)
    return cells if cells.max() < 1 << MORTON_BITS else None


def _fourth(x: np.ndarray, y: np.ndarray, z: np.ndarray, scale: int) -> np.ndarray:
    """What w should be, from x y z int64 in steps of 1 / scale."""
    rest = np.maximum(scale * scale - x * x - y * y - z * z, 0)
    return np.floor(np.sqrt(rest.astype(np.float64)) + 0.5).astype(np.int64)


def _read(reader: PlaneReader, components: int, count: int) -> np.ndarray:
    values = np.empty((components, count), np.int16)
    for i in range(components):
        values[i] = reader.ints(count)
    return values
