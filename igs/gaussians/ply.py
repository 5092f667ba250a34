"""Gaussians and coloured points as PLY files.

Source: spec `frame0.md`, section 3 (saved files); `streaming.md`, sections 2.3 and 16 (faults 17
and 18: a file without filter, and any SH degree).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from igs.gaussians.filter3d import apply_filter_3d
from igs.gaussians.gaussians import MAX_SH_DEGREE, Gaussians
from igs.gaussians.ply_table import read_vertices, write_vertices

_MEANS = ("x", "y", "z")
_NORMALS = ("nx", "ny", "nz")
_DC = ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES = ("scale_0", "scale_1", "scale_2")
_QUATS = ("rot_0", "rot_1", "rot_2", "rot_3")
_REST_COUNTS = {3 * ((d + 1) ** 2 - 1): d for d in range(MAX_SH_DEGREE + 1)}


def read_ply(path: str | Path, *, sh_degree: int | None = None) -> Gaussians:
    """Read Gaussians; a stored 3D filter is folded into scales and opacities.

    ASCII and binary files of either byte order. Properties that Gaussians do not have are ignored;
    a file without `filter_3D` has no filter.

    Args:
        path: the PLY file.
        sh_degree: degree wanted, at most that of the file, whose higher coefficients are then left
            out; None takes the degree of the file.

    Returns:
        N Gaussians on the CPU, float32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or truncated file, missing properties, an SH count that no degree
            has, a degree above the file's, or a value that is not finite; one line.
    """
    gaussians, filter_3d = _read_wide(Path(path), sh_degree)
    if filter_3d is not None:
        gaussians = apply_filter_3d(gaussians, filter_3d)
    return gaussians.map(lambda t: t.to(torch.float32).contiguous())


def read_ply_unfolded(
    path: str | Path, *, sh_degree: int | None = None
) -> tuple[Gaussians, torch.Tensor | None]:
    """Read Gaussians and their 3D filter apart, as training left them.

    Args:
        path: see `read_ply`, which folds the filter in.
        sh_degree: see `read_ply`.

    Returns:
        N Gaussians on the CPU, float32, and the filter, (N,) float32 in world units, or None for a
        file without.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `read_ply` does.
    """
    gaussians, filter_3d = _read_wide(Path(path), sh_degree)
    gaussians = gaussians.map(lambda t: t.to(torch.float32).contiguous())
    return gaussians, None if filter_3d is None else filter_3d.to(torch.float32)


def _read_wide(path: Path, sh_degree: int | None) -> tuple[Gaussians, torch.Tensor | None]:
    """Gaussians and filter; scales, opacity and filter float64, so that folding loses nothing."""
    table = read_vertices(path)
    degree = _degree(table, path)
    wanted = degree if sh_degree is None else sh_degree
    if not 0 <= wanted <= degree:
        raise ValueError(f"{path}: SH degree {wanted} is asked for, the file has degree {degree}")
    _require(table, (*_MEANS, *_DC, "opacity", *_SCALES, *_QUATS), path)
    gaussians = Gaussians(
        means=_columns(table, _MEANS, path),
        log_scales=_columns(table, _SCALES, path).double(),
        quats=_columns(table, _QUATS, path),
        opacity_logits=_columns(table, ("opacity",), path)[:, 0].double(),
        sh=_read_sh(table, degree, wanted, path),
    )
    if "filter_3D" not in (table.dtype.names or ()):
        return gaussians, None
    return gaussians, _columns(table, ("filter_3D",), path)[:, 0].double().abs()


def write_ply(
    path: str | Path, gaussians: Gaussians, *, filter_3d: torch.Tensor | None = None
) -> None:
    """Write Gaussians in the property order of the 3DGS family, binary little endian float32.

    Normals are zero, and so is `filter_3D` unless given: readers of this family require it. The
    file appears under its name only when it is complete.

    Args:
        path: where to write; missing folders are made.
        gaussians: N Gaussians of any SH degree.
        filter_3d: (N,) filter that is *not* yet folded into the Gaussians, world units.

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
        ValueError: a filter of another shape.
    """
    n = len(gaussians)
    if filter_3d is None:
        filter_3d = torch.zeros(n)
    if filter_3d.shape != (n,):
        raise ValueError(f"filter_3d: shape {tuple(filter_3d.shape)} must be ({n},)")
    sh = _numpy(gaussians.sh)
    rest = tuple(f"f_rest_{i}" for i in range(3 * (sh.shape[1] - 1)))
    columns = {
        _MEANS: _numpy(gaussians.means),
        _NORMALS: np.zeros((n, 3), np.float32),
        _DC: sh[:, 0],
        # Channel-major on disk: every coefficient of red, then green, then blue.
        rest: sh[:, 1:].transpose(0, 2, 1).reshape(n, len(rest)),
        ("opacity",): _numpy(gaussians.opacity_logits)[:, None],
        _SCALES: _numpy(gaussians.log_scales),
        _QUATS: _numpy(gaussians.quats),
        ("filter_3D",): _numpy(filter_3d)[:, None],
    }
    names = [name for group in columns for name in group]
    block = np.concatenate(list(columns.values()), axis=1, dtype=np.float32)
    write_vertices(path, np.ascontiguousarray(block).view([(n, "f4") for n in names]).reshape(-1))


@dataclass(frozen=True)
class PointCloud:
    """Coloured points, such as those of a structure-from-motion run.

    Attributes:
        positions: (N, 3) float32, world units and axes.
        colors: (N, 3) float32, RGB in 0..1.
    """

    positions: torch.Tensor
    colors: torch.Tensor

    def __len__(self) -> int:
        return self.positions.shape[0]


def read_points(path: str | Path) -> PointCloud:
    """Read points with the properties x y z red green blue; others are ignored.

    Args:
        path: PLY file; integer colours span the range of their type, float colours 0..1.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or truncated file, missing properties, values that are not finite or
            float colours outside 0..1; one line.
    """
    path = Path(path)
    table = read_vertices(path)
    colors = ("red", "green", "blue")
    _require(table, (*_MEANS, *colors), path)
    values = _columns(table, colors, path)
    kind = table.dtype["red"]
    if kind.kind in "iu":
        values = values / float(np.iinfo(kind).max)
    if len(values) and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"{path}: colours must lie in 0..1, found {float(values.max()):g}")
    positions = _columns(table, _MEANS, path)
    return PointCloud(positions.to(torch.float32), values.to(torch.float32))


def write_points(path: str | Path, points: PointCloud) -> None:
    """Write points as x y z nx ny nz (float, normals zero) and red green blue (8 bit).

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    fields = [(n, "f4") for n in (*_MEANS, *_NORMALS)] + [
        (n, "u1") for n in ("red", "green", "blue")
    ]
    table = np.zeros(len(points), np.dtype(fields))
    rounded = _numpy(points.colors.clamp(0, 1) * 255).round()
    for i, (axis, color) in enumerate(zip(_MEANS, ("red", "green", "blue"), strict=True)):
        table[axis] = _numpy(points.positions)[:, i]
        table[color] = rounded[:, i]
    write_vertices(path, table)


def _degree(table: np.ndarray, path: Path) -> int:
    rest = [n for n in table.dtype.names or () if re.fullmatch(r"f_rest_\d+", n)]
    if len(rest) not in _REST_COUNTS:
        raise ValueError(
            f"{path}: {len(rest)} f_rest properties; a degree of 0 to {MAX_SH_DEGREE} has "
            f"{', '.join(map(str, _REST_COUNTS))}"
        )
    _require(table, tuple(f"f_rest_{i}" for i in range(len(rest))), path)
    return _REST_COUNTS[len(rest)]


def _read_sh(table: np.ndarray, degree: int, wanted: int, path: Path) -> torch.Tensor:
    per_channel, kept = (degree + 1) ** 2 - 1, (wanted + 1) ** 2 - 1
    parts = [_columns(table, _DC, path)[:, None, :]]
    if kept:
        # Only the kept ones are looked at: a truncated read need not care about the others.
        names = tuple(f"f_rest_{c * per_channel + k}" for c in range(3) for k in range(kept))
        parts.append(_columns(table, names, path).reshape(-1, 3, kept).transpose(1, 2))
    return torch.cat(parts, dim=1)


def _require(table: np.ndarray, names: tuple[str, ...], path: Path) -> None:
    missing = [name for name in names if name not in (table.dtype.names or ())]
    if missing:
        raise ValueError(f"{path}: missing properties: {' '.join(missing)}")


def _columns(table: np.ndarray, names: tuple[str, ...], path: Path) -> torch.Tensor:
    single = all(table.dtype[name] == np.float32 for name in names)
    values = np.empty((len(table), len(names)), np.float32 if single else np.float64)
    for i, name in enumerate(names):
        values[:, i] = table[name]
        bad = ~np.isfinite(values[:, i])
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{path}: vertex {row}: {name} is {values[row, i]}, must be finite")
    return torch.from_numpy(values)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().to(torch.float32).numpy()
