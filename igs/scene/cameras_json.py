"""Camera files in JSON: the 3DGS/IGS list and an object of named cameras.

`read_rig` tells the forms apart by their content; the NeRF form has a module of its own,
`transforms_json`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from igs.scene.camera import Camera
from igs.scene.distortion import Distortion
from igs.scene.errors import SceneError
from igs.scene.files import read_json, write_json
from igs.scene.images import stem_of_image
from igs.scene.json_fields import invert_pose, read_array, read_number, read_size, require
from igs.scene.rig import Rig
from igs.scene.transforms_json import rig_from_transforms

CONVENTION = "OpenCV world-to-camera; pixel centres at +0.5"


def read_rig(
    path: str | os.PathLike[str],
    *,
    held_out: Sequence[str | int] | None = None,
    undistort: bool = False,
) -> Rig:
    """Read a camera file of any of the three forms.

    The list form (``cameras.json`` of 3DGS and IGS): ``id, img_name, width, height, position,
    rotation`` (camera to world, OpenCV axes), ``fx, fy`` and, our addition, ``cx, cy, split``;
    without a principal point it is the centre, without any ``split`` the first camera is held out.

    The object form: ``{"cameras": {name: {"width" | "w", "height" | "h", "K", "world_to_camera" |
    "w2c", "split": "train" | "test", "dist": [k1, k2, p1, p2, k3]}}, "fps", "frames",
    "convention"}``, all after ``K`` and pose optional. A ``convention`` that mentions integer
    pixel centres makes the principal points move by half a pixel to ours.

    In both forms a name may carry the suffix of its image; the camera's name is without.

    The NeRF form (``transforms.json``): see `transforms_json.rig_from_transforms`.

    Args:
        path: the file.
        held_out: names or positions of the held-out cameras instead of the file's.
        undistort: accept lens distortion; frame sources then take it out of the images. The
            cameras returned are pinholes for the corrected images.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: unknown form, missing or wrong keys, or distortion without `undistort`; the
            message names the file and the camera.

    Source: spec `streaming.md`, section 2.1.
    """
    data = read_json(path)
    try:
        if isinstance(data, list):
            rig = _rig_from_list(data)
        elif isinstance(data, dict) and isinstance(data.get("cameras"), dict):
            rig = _rig_from_object(data)
        elif isinstance(data, dict) and isinstance(data.get("frames"), list):
            rig = rig_from_transforms(data)
        else:
            raise SceneError(
                'not a camera file: neither a list of cameras nor an object with "cameras" '
                'or with a list of "frames"'
            )
        if held_out is not None:
            rig = rig.with_held_out(held_out)
        return _settle_distortion(rig, undistort)
    except ValueError as error:
        raise SceneError(f"{path}: {error}") from None


def _settle_distortion(rig: Rig, undistort: bool) -> Rig:
    if rig.distortion and not undistort:
        name, lens = next(iter(rig.distortion.items()))
        raise SceneError(
            f"camera {name!r} has lens distortion {lens.coefficients}; "
            "undistort the images first or read the rig with undistort=True"
        )
    straight = {name: lens.undistorted() for name, lens in rig.distortion.items()}
    cameras = {name: straight.get(name, camera) for name, camera in rig.cameras.items()}
    return Rig(cameras, rig.held_out, rig.distortion, rig.fps, rig.num_frames)


def _rig_from_list(entries: list[Any]) -> Rig:
    cameras: list[Camera] = []
    splits: dict[str, Any] = {}
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise SceneError(f"entry {i} must be an object")
        name = stem_of_image(str(require(entry, "img_name", where=f"entry {i}")))
        where = f"camera {name!r}"
        width, height = (read_size(entry, key, where=where) for key in ("width", "height"))
        pose = np.eye(4)
        pose[:3, :3] = read_array(entry, "rotation", shape=(3, 3), where=where)
        pose[:3, 3] = read_array(entry, "position", shape=(3,), where=where)
        cameras.append(
            Camera(
                name,
                width,
                height,
                fx=read_number(entry, "fx", where=where),
                fy=read_number(entry, "fy", where=where),
                cx=read_number(entry, "cx", where=where, default=width / 2),
                cy=read_number(entry, "cy", where=where, default=height / 2),
                world_to_camera=invert_pose(pose, "rotation", where),
            )
        )
        splits[name] = entry.get("split")
    rig = Rig.of(cameras)
    if not any(splits.values()):
        return rig.with_held_out([0] if len(cameras) > 1 else [])
    return rig.with_held_out(_held_out(splits))


def _rig_from_object(data: Mapping[str, Any]) -> Rig:
    shift = 0.5 if "integer pixel cent" in str(data.get("convention", "")).lower() else 0.0
    cameras: list[Camera] = []
    lenses: dict[str, Distortion] = {}
    splits: dict[str, Any] = {}
    for name, entry in data["cameras"].items():
        where = f"camera {name!r}"
        if not isinstance(entry, Mapping):
            raise SceneError(f"{where}: must be an object")
        matrix = read_array(entry, "K", shape=(3, 3), where=where)
        if not np.allclose(matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]], [0, 0, 0, 0, 1]):
            raise SceneError(f"{where}: K must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        name = stem_of_image(name)
        camera = Camera(
            name,
            read_size(entry, "width", "w", where=where),
            read_size(entry, "height", "h", where=where),
            fx=float(matrix[0, 0]),
            fy=float(matrix[1, 1]),
            cx=float(matrix[0, 2]) + shift,
            cy=float(matrix[1, 2]) + shift,
            world_to_camera=_read_pose(entry, where),
        )
        cameras.append(camera)
        splits[name] = entry.get("split")
        lens = Distortion.from_coefficients(camera, entry.get("dist") or ())
        if any(lens.coefficients):
            lenses[name] = lens
    fps = read_number(data, "fps", where='"fps"', default=0.0)
    frames = read_number(data, "frames", where='"frames"', default=0.0)
    return Rig(
        Rig.of(cameras).cameras,
        held_out=tuple(_held_out(splits)),
        distortion=lenses,
        fps=fps if fps > 0 else None,
        num_frames=int(frames) if frames > 0 else None,
    )


def _read_pose(entry: Mapping[str, Any], where: str) -> np.ndarray:
    keys = ("world_to_camera", "w2c")
    given = require(entry, *keys, where=where)
    rows = 3 if isinstance(given, list) and len(given) == 3 else 4
    pose = np.eye(4)
    pose[:rows] = read_array(entry, *keys, shape=(rows, 4), where=where)
    return pose


def _held_out(splits: Mapping[str, Any]) -> list[str]:
    for name, split in splits.items():
        if split not in (None, "train", "test"):
            raise SceneError(f'camera {name!r}: split must be "train" or "test", got {split!r}')
    return [name for name, split in splits.items() if split == "test"]


def write_camera_list(path: str | os.PathLike[str], rig: Rig) -> None:
    """Write the list form: held-out cameras first, then the others, each part sorted by name.

    Besides the original's keys each entry has ``cx``, ``cy`` and ``split``.

    Source: spec `streaming.md`, section 2.1.
    """
    ordered = sorted(rig.cameras, key=lambda name: (name not in rig.held_out, name))
    entries = []
    for i, name in enumerate(ordered):
        camera = rig.cameras[name]
        entries.append(
            {
                "id": i,
                "img_name": name,
                "width": camera.width,
                "height": camera.height,
                "position": camera.center.tolist(),
                "rotation": camera.camera_to_world[:3, :3].tolist(),
                "fx": camera.fx,
                "fy": camera.fy,
                "cx": camera.cx,
                "cy": camera.cy,
                "split": "test" if name in rig.held_out else "train",
            }
        )
    write_json(path, entries)


def write_camera_object(path: str | os.PathLike[str], rig: Rig) -> None:
    """Write the object form, cameras in the rig's order, pixel centres at +0.5.

    A camera with lens distortion is written as stored, with its ``dist``.
    """
    head: dict[str, Any] = {"convention": CONVENTION}
    if rig.fps is not None:
        head["fps"] = rig.fps
    if rig.num_frames is not None:
        head["frames"] = rig.num_frames
    cameras: dict[str, Any] = {}
    for name, camera in rig.cameras.items():
        lens = rig.distortion.get(name)
        shown = lens.stored if lens else camera
        cameras[name] = {
            "split": "test" if name in rig.held_out else "train",
            "width": shown.width,
            "height": shown.height,
            "K": shown.intrinsics.tolist(),
            "world_to_camera": shown.world_to_camera.tolist(),
        }
        if lens:
            cameras[name]["dist"] = list(lens.coefficients)
    write_json(path, {**head, "cameras": cameras}, indent=1)
