"""YAML files of OpenCV's FileStorage, and the camera files that EasyMocap and ENeRF write in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from igs.prepare.capture import rig_with_lenses
from igs.scene import Camera, Rig, SceneError
from igs.scene.errors import nearest_hint


class _Loader(yaml.SafeLoader):
    """Knows OpenCV's matrices; a class of its own, as constructors are kept on the class."""


def _construct_matrix(loader: yaml.SafeLoader, node: yaml.MappingNode) -> np.ndarray:
    fields = loader.construct_mapping(node, deep=True)
    data = np.array([float(value) for value in fields["data"]])  # "1e-5" is text in YAML 1.1
    return data.reshape(int(fields["rows"]), int(fields["cols"]))


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _construct_matrix)


def read_opencv_yaml(path: Path) -> dict[str, Any]:
    """The entries of a FileStorage YAML; matrices as (rows, cols) float64.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: it cannot be parsed; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        # OpenCV heads its files with "%YAML:1.0", which no YAML reader takes.
        text = "\n".join(line for line in lines if not line.startswith("%YAML"))
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SceneError(f"{path}: not a YAML file of OpenCV ({reason})") from error
    if not isinstance(data, dict):
        raise SceneError(f"{path}: not a YAML file of OpenCV (no keys)")
    return {str(key): value for key, value in data.items()}


def read_easymocap(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Rig:
    """Cameras of ``intri.yml`` and ``extri.yml``.

    ``intri.yml``: ``K_<name>`` (3 x 3), ``D_<name>`` or ``dist_<name>`` (k1 k2 p1 p2 k3),
    optionally ``H_<name>`` and ``W_<name>``. ``extri.yml``: world to camera as ``Rot_<name>``
    (3 x 3) or ``R_<name>`` (rotation vector), and ``T_<name>``. Principal points count from the
    centre of the first pixel, as OpenCV does, and are moved to our convention.

    Args:
        folder: holds both files.
        sizes: camera name to the size of its pictures, for files that do not say.

    Raises:
        FileNotFoundError: a file is missing.
        SceneError: damaged files, or a camera without size, intrinsics or pose; names it.
    """
    intri, extri = read_opencv_yaml(folder / "intri.yml"), read_opencv_yaml(folder / "extri.yml")
    names = intri.get("names") or [key[2:] for key in intri if key.startswith("K_")]
    cameras, lenses = [], {}
    for name in (str(name) for name in names):
        where = f"{folder / 'intri.yml'}: camera {name!r}"
        matrix = _matrix(intri, f"K_{name}", (3, 3), folder / "intri.yml")
        lens = intri.get(f"D_{name}", intri.get(f"dist_{name}"))
        lenses[name] = () if lens is None else np.ravel(lens).tolist()
        width, height = _size(intri, name, sizes, where)
        cameras.append(
            Camera(
                name,
                width,
                height,
                fx=matrix[0, 0],
                fy=matrix[1, 1],
                cx=matrix[0, 2] + 0.5,
                cy=matrix[1, 2] + 0.5,
                world_to_camera=_pose(extri, name, folder / "extri.yml"),
            )
        )
    if not cameras:
        raise SceneError(f"{folder / 'intri.yml'}: holds no camera (K_<name>)")
    return rig_with_lenses(cameras, lenses)


def _matrix(data: Mapping[str, Any], key: str, shape: tuple[int, int], path: Path) -> np.ndarray:
    value = data.get(key)
    if not isinstance(value, np.ndarray):
        raise SceneError(f"{path}: lacks the matrix {key}{nearest_hint(key, data)}")
    if value.size != shape[0] * shape[1] or not np.isfinite(value).all():
        raise SceneError(f"{path}: {key} must hold {shape[0]} x {shape[1]} finite numbers")
    return value.reshape(shape)


def _pose(extri: Mapping[str, Any], name: str, path: Path) -> np.ndarray:
    pose = np.eye(4)
    if f"Rot_{name}" in extri:
        pose[:3, :3] = _matrix(extri, f"Rot_{name}", (3, 3), path)
    else:
        turn = _matrix(extri, f"R_{name}", (3, 1), path)
        pose[:3, :3] = Rotation.from_rotvec(turn.ravel()).as_matrix()
    pose[:3, 3:] = _matrix(extri, f"T_{name}", (3, 1), path)
    return pose


def _size(
    intri: Mapping[str, Any], name: str, sizes: Mapping[str, tuple[int, int]], where: str
) -> tuple[int, int]:
    width, height = intri.get(f"W_{name}"), intri.get(f"H_{name}")
    if width and height:
        return int(width), int(height)
    if name not in sizes:
        raise SceneError(
            f"{where}: has no pictures to take its size from{nearest_hint(name, sizes)}"
        )
    return sizes[name]
