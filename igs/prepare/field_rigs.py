"""Cameras of the field's data sets: ``poses_bounds.npy`` and Technicolor's parameter file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from igs.prepare.capture import rig_with_lenses
from igs.prepare.media import last_number
from igs.scene import Camera, Rig, SceneError
from igs.scene.rotations import rotation_from_quat

_LLFF_COLUMNS = 17
_TECHNICOLOR_COLUMNS = 12


def read_poses_bounds(
    path: Path,
    names: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    order: str | None = None,
) -> Rig:
    """Cameras of LLFF's ``poses_bounds.npy``, as N3DV and Meeting Room have it.

    Row i is the i-th camera: a 3 x 5 matrix with columns down, right, back, centre and (height,
    width, focal length), then near and far. There is no distortion and the principal point is the
    centre; where the pictures are smaller than the rows say, cameras are scaled.

    Args:
        path: the file.
        names: the cameras.
        sizes: of their pictures.
        order: whether rows follow the cameras by ``name`` or by the ``number`` in it; None will
            do where both are the same.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: not N x 17 numbers, another number of rows than cameras, or the order matters.

    Source: spec `streaming.md`, section 9.
    """
    rows = _load_rows(path)
    ordered = _in_order(path, names, order)
    if len(rows) != len(ordered):
        raise SceneError(
            f"{path}: has {len(rows)} rows, but there are {len(ordered)} cameras "
            f"({ordered[0]} to {ordered[-1]}); rows go with cameras by order, so that all of them "
            "must be there (cameras.exclude leaves out some afterwards)"
        )
    cameras = []
    for name, row in zip(ordered, rows, strict=True):
        matrix = row[:15].reshape(3, 5)
        down, right, back, center, (height, width, focal) = matrix.T
        to_world = np.eye(4)
        to_world[:3] = np.stack([right, down, -back, center], axis=1)
        width, height = round(width), round(height)
        try:
            pose = np.linalg.inv(to_world)
            camera = Camera(name, width, height, focal, focal, width / 2, height / 2, pose)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise SceneError(f"{path}: row of {name}: {error}") from None
        cameras.append(camera.resized(*sizes[name]))
    return rig_with_lenses(cameras, {})


def _load_rows(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise SceneError(f"{path}: not an array file of NumPy ({error})") from error
    if rows.ndim != 2 or rows.shape[1] != _LLFF_COLUMNS or not np.isfinite(rows).all():
        raise SceneError(f"{path}: must hold N x 17 finite numbers, has shape {rows.shape}")
    return rows.astype(np.float64)


def _in_order(path: Path, names: Sequence[str], order: str | None) -> list[str]:
    by_name = sorted(names)
    by_number = sorted(names, key=lambda name: (last_number(name) or 0, name))
    if order is None and by_name != by_number:
        raise SceneError(
            f"{path}: its rows go with the cameras by order, which is {by_name[0]}, {by_name[1]}, "
            f"{by_name[2]}, ... by name but {by_number[0]}, {by_number[1]}, {by_number[2]}, ... by "
            "number; give cameras.order=name or cameras.order=number"
        )
    return by_number if order == "number" else by_name


def read_technicolor(path: Path, names: Sequence[str], sizes: Mapping[str, tuple[int, int]]) -> Rig:
    """Cameras of Technicolor's ``cameras_parameters.txt``.

    A heading, then a row per camera: focal length, principal point x and y, aspect ratio (fy is
    the focal length times it), skew, quaternion w x y z and translation, world to camera.

    Args:
        path: the file.
        names: the cameras, in the order of the rows.
        sizes: of their pictures, which must be as calibrated.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: rows that are not twelve numbers, skew, or another number of rows than cameras.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    rows = [_numbers(path, i, words) for i, words in enumerate(lines, start=2) if words]
    if len(rows) != len(names):
        raise SceneError(f"{path}: has {len(rows)} cameras, but there are {len(names)} with images")
    cameras = []
    for name, row in zip(names, rows, strict=True):
        focal, cx, cy, aspect, skew = row[:5]
        if abs(skew) > 1e-3 * focal:
            raise SceneError(f"{path}: camera {name!r} has skew {skew:g}, which is not supported")
        pose = np.eye(4)
        pose[:3, :3] = rotation_from_quat(row[5:9])
        pose[:3, 3] = row[9:12]
        width, height = sizes[name]
        cameras.append(Camera(name, width, height, focal, focal * aspect, cx, cy, pose))
    return rig_with_lenses(cameras, {})


def _numbers(path: Path, line: int, words: Sequence[str]) -> np.ndarray:
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        row = np.zeros(0)
    if len(row) != _TECHNICOLOR_COLUMNS or not np.isfinite(row).all():
        raise SceneError(f"{path}: line {line} must hold {_TECHNICOLOR_COLUMNS} numbers")
    return row
