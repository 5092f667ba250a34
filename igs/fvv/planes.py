"""Integers as bytes: the vocabulary of every payload; docs/fvv.md, section 4.

Structure of arrays: each component of each attribute is one run of integers, zigzag coded, split
into byte planes (all low bytes, then all next bytes), so that a general compressor sees like beside
like. Lengths never stand in a payload where they follow from what was read before.
"""

from __future__ import annotations

import struct

import numpy as np

from igs.fvv.errors import FvvError

_DELTA = 0x10
_NONE, _ALL, _SOME = 0, 1, 2

# Undoing zigzag for one-byte planes by table is four times faster than by arithmetic.
_UNZIGZAG8 = ((np.arange(256) >> 1) ^ -(np.arange(256) & 1)).astype(np.int16)


class PlaneWriter:
    """Collects the parts of one payload."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def number(self, value: int) -> None:
        """An unsigned 32-bit integer."""
        self._parts.append(struct.pack("<I", value))

    def ints(self, values: np.ndarray) -> None:
        """n signed integers, plain or as differences, whichever is likely to end up smaller."""
        values = np.asarray(values, np.int64)
        plain = _zigzag(values)
        steps = _zigzag(np.diff(values, prepend=0))
        differs = len(values) > 1 and steps.max() < 1 << 32 and _cost(steps) < _cost(plain)
        coded = steps if differs else plain
        width = _width(int(coded.max())) if len(coded) else 0
        self._parts.append(bytes([width | (_DELTA if differs else 0)]))
        self._planes(coded, width)

    def gaps(self, sorted_codes: np.ndarray) -> None:
        """n ascending unsigned 64-bit integers, as differences."""
        steps = np.diff(sorted_codes, prepend=np.uint64(0))
        width = (int(steps.max()).bit_length() + 7) // 8 if len(steps) else 0
        self._parts.append(bytes([width]))
        self._planes(steps, width)

    def bits(self, mask: np.ndarray) -> None:
        """n booleans."""
        if not mask.any():
            self._parts.append(bytes([_NONE]))
        elif mask.all():
            self._parts.append(bytes([_ALL]))
        else:
            packed = np.packbits(mask, bitorder="little").tobytes()
            self._parts.append(bytes([_SOME]) + packed)

    def finish(self) -> bytes:
        """The payload."""
        return b"".join(self._parts)

    def _planes(self, coded: np.ndarray, width: int) -> None:
        if width:
            rows = coded.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
            self._parts.append(np.ascontiguousarray(rows.T).tobytes())


class PlaneReader:
    """Reads what `PlaneWriter` wrote; every length is checked before anything is made of it."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self) -> int:
        """An unsigned 32-bit integer.

        Raises:
            FvvError: the payload ends before; so for all methods.
        """
        return struct.unpack("<I", self._take(4))[0]

    def ints(self, count: int) -> np.ndarray:
        """(count,) int16 or int32."""
        kind = self._take(1)[0]
        width = kind & 0x0F
        if kind & ~(_DELTA | 0x0F) or width not in (0, 1, 2, 4):
            raise FvvError(f"payload: {kind:#x} is no kind of integers")
        if width == 0:
            return np.zeros(count, np.int16)
        data = np.frombuffer(self._take(width * count), np.uint8)
        values = _UNZIGZAG8[data] if width == 1 else _unzigzag(data, width, count)
        if kind & _DELTA:
            # Sums wrap at 32 bits, in every decoder alike.
            values = np.cumsum(values, dtype=np.int32)
        return values

    def gaps(self, count: int) -> np.ndarray:
        """(count,) uint64, ascending."""
        width = self._take(1)[0]
        if width > 8:
            raise FvvError(f"payload: gaps of {width} bytes")
        planes = np.frombuffer(self._take(width * count), np.uint8).reshape(width, count)
        rows = np.zeros((count, 8), np.uint8)
        rows[:, :width] = planes.T
        return np.cumsum(rows.view("<u8")[:, 0], dtype=np.uint64)

    def bits(self, count: int) -> np.ndarray:
        """(count,) bool."""
        kind = self._take(1)[0]
        if kind in (_NONE, _ALL):
            return np.full(count, kind == _ALL)
        if kind != _SOME:
            raise FvvError(f"payload: {kind:#x} is no kind of bits")
        packed = np.frombuffer(self._take((count + 7) // 8), np.uint8)
        return np.unpackbits(packed, count=count, bitorder="little").view(bool)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            FvvError: there is.
        """
        if self._at != len(self._data):
            raise FvvError(f"payload: {len(self._data) - self._at} bytes left over")

    def _take(self, count: int) -> memoryview:
        end = self._at + count
        if end > len(self._data):
            raise FvvError(f"payload: ends {end - len(self._data)} bytes too early")
        part = memoryview(self._data)[self._at : end]
        self._at = end
        return part


def _zigzag(values: np.ndarray) -> np.ndarray:
    return (values << 1) ^ (values >> 63)


def _unzigzag(data: np.ndarray, width: int, count: int) -> np.ndarray:
    planes = data.reshape(width, count)
    coded = planes[0].astype(np.uint16 if width == 2 else np.uint32)
    for i in range(1, width):
        coded |= planes[i].astype(coded.dtype) << coded.dtype.type(8 * i)
    halves = (coded >> coded.dtype.type(1)).view(f"i{width}")
    return halves ^ -(coded & coded.dtype.type(1)).view(f"i{width}")


def _width(largest: int) -> int:
    for width in (0, 1, 2, 4):
        if largest < 1 << (8 * width):
            return width
    raise ValueError(f"{largest} does not fit in 32 bits")


def _cost(coded: np.ndarray) -> float:
    """Bits by the entropy of the bytes, a fair guess of what the compressor makes of it."""
    width = _width(int(coded.max())) if len(coded) and coded.max() < 1 << 32 else 8
    total = 0.0
    for i in range(width):
        counts = np.bincount((coded >> (8 * i)) & 0xFF, minlength=256)
        counts = counts[counts > 0]
        total += float((counts * np.log2(len(coded) / counts)).sum())
    return total
