"""Cameras of motion-capture tools: calibration TOML (Pose2Sim, caliscope) and Qualisys' XML."""

from __future__ import annotations

import importlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from igs.prepare.capture import renamed, rig_with_lenses
from igs.prepare.media import last_number
from igs.scene import Camera, Rig, SceneError
from igs.scene.errors import list_names
from igs.scene.json_fields import read_array

_QUALISYS_FIXED_POINT = 64.0  # intrinsics are stored in 64ths of a pixel
_MILLIMETRE = 1e-3


def _toml() -> ModuleType:
    for name in ("tomllib", "tomli"):  # tomllib comes with Python 3.11
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SceneError("reading TOML needs Python 3.11 or `pip install tomli`")


def is_calibration_toml(path: Path) -> bool:
    """Whether a TOML file holds cameras; an unreadable one counts as none."""
    try:
        return bool(_tables(_toml().loads(path.read_text(encoding="utf-8"))))
    except (ValueError, OSError):
        return False


def read_calibration_toml(path: Path) -> Rig:
    """Cameras of a calibration TOML.

    Each camera is a table with ``matrix`` (3 x 3), ``rotation`` (rotation vector) and
    ``translation``, world to camera in OpenCV axes, ``size`` (width, height), optionally
    ``distortions`` (or ``dist``; k1 k2 p1 p2 k3) and ``name``. Principal points count from the
    centre of the first pixel, as OpenCV does, and are moved to our convention.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: not TOML, no camera in it, or one that lacks a key or is a fisheye; names it.
    """
    try:
        data = _toml().loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise SceneError(f"{path}: not valid TOML ({error})") from error
    tables = _tables(data)
    if not tables:
        raise SceneError(f'{path}: holds no camera (a table with "matrix" and "translation")')
    cameras, lenses = [], {}
    for key, table in tables.items():
        name = str(table.get("name", key))
        where = f"{path}: camera {name!r}"
        if table.get("fisheye"):
            raise SceneError(f"{where}: fisheye lenses are not supported; undistort its videos")
        cameras.append(_toml_camera(name, table, where))
        lens = table.get("distortions", table.get("distortion", table.get("dist")))
        lenses[name] = lens or ()
    return rig_with_lenses(cameras, lenses)


def _tables(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tables of cameras, at the top or under ``cameras``."""
    nested = data.get("cameras")
    top = {**data, **nested} if isinstance(nested, Mapping) else data
    return {
        key: table
        for key, table in top.items()
        if isinstance(table, Mapping) and "matrix" in table and "translation" in table
    }


def _toml_camera(name: str, table: Mapping[str, Any], where: str) -> Camera:
    matrix = read_array(table, "matrix", shape=(3, 3), where=where)
    width, height = read_array(table, "size", shape=(2,), where=where)
    pose = np.eye(4)
    turn = np.asarray(table.get("rotation"), dtype=object)
    if turn.shape == (3, 3):
        pose[:3, :3] = read_array(table, "rotation", shape=(3, 3), where=where)
    else:
        vector = read_array(table, "rotation", shape=(3,), where=where)
        pose[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    pose[:3, 3] = read_array(table, "translation", shape=(3,), where=where)
    return Camera(
        name,
        int(width),
        int(height),
        fx=matrix[0, 0],
        fy=matrix[1, 1],
        cx=matrix[0, 2] + 0.5,
        cy=matrix[1, 2] + 0.5,
        world_to_camera=pose,
    )


def read_qualisys(path: Path) -> Rig:
    """Cameras of a Qualisys calibration (``.qca.txt``, XML), in metres.

    The file has millimetres, intrinsics in 64ths of a pixel, and camera axes x right, y up, z
    backward; the rows of its 3 x 3 transform are these axes in the world.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: not such a file, or a value that is missing; names the camera.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise SceneError(f"{path}: not valid XML ({error})") from error
    cameras, lenses = [], {}
    for entry in root.iter("camera"):
        name = entry.get("serial", "")
        where = f"{path}: camera {name!r}"
        fov = _attributes(entry, "fov_video", ("left", "right", "top", "bottom"), where)
        lens = _attributes(
            entry,
            "intrinsic",
            ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV"),
            where,
        )
        cameras.append(_qualisys_camera(name, entry, fov, lens / _QUALISYS_FIXED_POINT, where))
        order = ("radialDistortion1", "radialDistortion2")
        tail = ("tangentalDistortion1", "tangentalDistortion2", "radialDistortion3")
        lenses[name] = _attributes(entry, "intrinsic", (*order, *tail), where).tolist()
    if not cameras:
        raise SceneError(f"{path}: holds no camera")
    return rig_with_lenses(cameras, lenses)


def _qualisys_camera(
    name: str, entry: ElementTree.Element, fov: np.ndarray, lens: np.ndarray, where: str
) -> Camera:
    keys = [f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    rotation = _attributes(entry, "transform", keys, where).reshape(3, 3)
    center = _attributes(entry, "transform", ("x", "y", "z"), where) * _MILLIMETRE
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ rotation
    pose[:3, 3] = -pose[:3, :3] @ center
    left, right, top, bottom = fov
    fx, fy, cx, cy = lens
    width, height = int(right - left) + 1, int(bottom - top) + 1
    return Camera(name, width, height, fx, fy, cx - left + 0.5, cy - top + 0.5, pose)


def _attributes(
    entry: ElementTree.Element, tag: str, keys: Iterable[str], where: str
) -> np.ndarray:
    element = entry.find(tag)
    if element is None:
        raise SceneError(f"{where}: lacks <{tag}>")
    try:
        return np.array([float(element.attrib[key]) for key in keys])
    except (KeyError, ValueError) as error:
        raise SceneError(f"{where}: <{tag}> lacks the number {error}") from None


def with_names_of(rig: Rig, names: Iterable[str], path: Path) -> Rig:
    """The rig with its cameras called like the pictures.

    A camera goes with the pictures of its name, or of the same last number (``int_cam1_img`` with
    ``cam01``).

    Raises:
        SceneError: a camera that cannot be told so; the message lists what there is.
    """
    known = list(names)
    if set(rig.cameras) <= set(known):
        return rig
    by_number: dict[int | None, list[str]] = {}
    for name in known:
        by_number.setdefault(last_number(name), []).append(name)
    new = {}
    for name in rig.cameras:
        same = [name] if name in known else by_number.get(last_number(name), [])
        if len(same) != 1 or last_number(name) is None:
            raise SceneError(
                f"{path}: camera {name!r} goes with no video by name or number; there are "
                f"{list_names(known)}"
            )
        new[name] = same[0]
    return renamed(rig, new)
