"""`.spz`, versions 2 and 3 (read), 3 (written): gzip around a header and one block per attribute.

Source: the public documentation of the format (README of nianticlabs/spz, MIT). Axes in a file are
x right, y up, z backward; ours count as x right, y down, z forward, as those of PLY files do.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from igs.fvv.stills.axes import turned_about_x
from igs.gaussians import MAX_SH_DEGREE, Gaussians
from igs.scene.files import write_bytes

_HEADER = struct.Struct("<IIIBBBB")
_MAGIC = 0x5053474E
_VERSION = 3
_FRACTION_BITS = 12
_COLOR_SCALE = 0.15
_SH_BITS = (5, 4, 4)  # of degrees 1 to 3
_LARGEST24 = (1 << 23) - 1
_LEAST_OPACITY = 0.5 / 255
MAX_GAUSSIANS = 20_000_000


def write_spz(path: str | Path, gaussians: Gaussians, *, fraction_bits: int | None = None) -> None:
    """Write version 3, with the quantisation that its documentation calls the default.

    Args:
        path: where to.
        gaussians: N Gaussians of any degree.
        fraction_bits: of positions; None takes 12 (steps of 1/4096), fewer where positions reach
            farther than 2048 units.

    Raises:
        OSError: it cannot be written.
        ValueError: positions that are farther off than 24 bits reach.
    """
    turned = turned_about_x(gaussians.detach().to("cpu"))
    means = turned.means.numpy().astype(np.float64)
    reach = float(np.abs(means).max(initial=0.0))
    bits = fraction_bits
    if bits is None:
        bits = next((b for b in range(_FRACTION_BITS, -1, -1) if reach * (1 << b) < _LARGEST24), 0)
    if not reach * (1 << bits) < _LARGEST24:
        raise ValueError(f"{path}: a position {reach:g} does not fit {bits} fraction bits")
    blocks = [
        _positions(means, bits),
        np.rint(turned.opacities.numpy() * 255).astype(np.uint8),
        _byte(turned.sh[:, 0].numpy() * (_COLOR_SCALE * 255) + 0.5 * 255),
        _byte((turned.log_scales.numpy() + 10) * 16),
        _smallest_three(turned.unit_quats.numpy()),
        _harmonics(turned),
    ]
    header = _HEADER.pack(_MAGIC, _VERSION, len(turned), turned.sh_degree, bits, 0, 0)
    body = b"".join(block.tobytes() for block in blocks)
    write_bytes(path, gzip.compress(header + body, mtime=0))


def read_spz(path: str | Path) -> Gaussians:
    """Read versions 2 and 3.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, an unknown version, or a damaged one.
    """
    data = _unzip(Path(path))
    if len(data) < _HEADER.size:
        raise ValueError(f"{path}: not an .spz file, {len(data)} bytes are no header")
    magic, version, count, degree, bits, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or version not in (2, 3) or degree > MAX_SH_DEGREE or bits > 23:
        raise ValueError(f"{path}: not an .spz file of version 2 or 3 and degree 0 to 3")
    rest = 3 * ((degree + 1) ** 2 - 1)
    widths = (9, 1, 3, 3, 4 if version == 3 else 3, rest)
    if len(data) < _HEADER.size + count * sum(widths):
        raise ValueError(f"{path}: truncated, {count} Gaussians do not fit its {len(data)} bytes")
    blocks, at = [], _HEADER.size
    for width in widths:
        blocks.append(np.frombuffer(data, np.uint8, count * width, at).reshape(count, width))
        at += count * width
    return _gaussians(blocks, version, bits)


def _unzip(path: Path) -> bytes:
    largest = _HEADER.size + MAX_GAUSSIANS * 65
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(largest + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not an .spz file ({error})") from error
    if len(data) > largest:
        raise ValueError(f"{path}: more than {MAX_GAUSSIANS} Gaussians")
    return data


def _gaussians(blocks: list[np.ndarray], version: int, bits: int) -> Gaussians:
    position, alpha, color, scale, turn, rest = blocks
    wide = np.zeros((len(position), 3, 4), np.uint8)
    wide[:, :, 1:] = position.reshape(-1, 3, 3)
    means = (wide.view("<i4")[..., 0] >> 8) / float(1 << bits)
    opacity = np.clip(alpha[:, 0] / 255, _LEAST_OPACITY, 1 - _LEAST_OPACITY)
    dc = (color / 255 - 0.5) / _COLOR_SCALE
    harmonics = (rest.astype(np.float64) - 128) / 128
    sh = np.concatenate([dc, harmonics], axis=1).reshape(len(dc), -1, 3)
    quats = _from_smallest_three(turn) if version == 3 else _from_first_three(turn)
    values = {
        "means": means,
        "log_scales": scale / 16 - 10,
        "quats": quats,
        "opacity_logits": np.log(opacity / (1 - opacity)),
        "sh": sh,
    }
    return turned_about_x(Gaussians(**{k: torch.from_numpy(v).float() for k, v in values.items()}))


def _positions(means: np.ndarray, bits: int) -> np.ndarray:
    """(N, 9) three 24-bit integers each, little endian."""
    fixed = np.rint(means * (1 << bits)).astype("<i4")
    return np.ascontiguousarray(fixed[..., None].view(np.uint8)[..., :3]).reshape(len(means), -1)


def _byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _smallest_three(quats: np.ndarray) -> np.ndarray:
    """(N,) 32 bits: index of the largest of x y z w, then sign and 9 bits of the three others."""
    xyzw = quats[:, [1, 2, 3, 0]].astype(np.float64)
    rows = np.arange(len(xyzw))
    largest = np.abs(xyzw).argmax(axis=1)
    xyzw = xyzw * np.where(xyzw[rows, largest] < 0, -1, 1)[:, None]
    packed = largest.astype(np.uint32)
    magnitude = np.minimum(np.floor(np.abs(xyzw) * (511 * np.sqrt(2)) + 0.5), 511).astype(np.uint32)
    signed = magnitude | ((xyzw < 0).astype(np.uint32) << 9)
    for i in range(4):
        packed = np.where(largest == i, packed, (packed << 10) | signed[:, i])
    return packed.astype("<u4")


def _from_smallest_three(table: np.ndarray) -> np.ndarray:
    packed = np.ascontiguousarray(table).view("<u4")[:, 0].astype(np.int64)
    largest = packed >> 30
    xyzw = np.zeros((len(packed), 4))
    for i in range(3, -1, -1):
        stored = largest != i
        part = packed & 1023
        value = (part & 511) / (511 * np.sqrt(2)) * np.where(part & 512, -1, 1)
        xyzw[stored, i] = value[stored]
        packed = np.where(stored, packed >> 10, packed)
    rest = np.sqrt(np.maximum(1 - (xyzw**2).sum(axis=1), 0))
    xyzw[np.arange(len(xyzw)), largest] = rest
    return xyzw[:, [3, 0, 1, 2]]


def _from_first_three(table: np.ndarray) -> np.ndarray:
    xyz = table / 127.5 - 1
    w = np.sqrt(np.maximum(1 - (xyz**2).sum(axis=1, keepdims=True), 0))
    return np.concatenate([w, xyz], axis=1)


def _harmonics(gaussians: Gaussians) -> np.ndarray:
    """(N, 3 K - 3) bytes, coefficient by coefficient, RGB inside, rounded to few bits."""
    parts = []
    for degree in range(1, gaussians.sh_degree + 1):
        values = gaussians.sh[:, degree**2 : (degree + 1) ** 2].reshape(len(gaussians), -1).numpy()
        bucket = 1 << (8 - _SH_BITS[degree - 1])
        level = np.rint(values * 128) + 128
        parts.append(_byte(np.floor((level + bucket / 2) / bucket) * bucket))
    if not parts:
        return np.zeros((len(gaussians), 0), np.uint8)
    return np.concatenate(parts, axis=1)
