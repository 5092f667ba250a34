"""The NeRF camera file: ``transforms.json`` as instant-ngp and nerfstudio write it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from igs.scene.camera import Camera
from igs.scene.distortion import Distortion
from igs.scene.errors import SceneError
from igs.scene.files import write_json
from igs.scene.json_fields import invert_pose, read_array, read_number, read_size
from igs.scene.rig import Rig

# OpenGL camera axes (x right, y up, z backward) against OpenCV's.
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def rig_from_transforms(data: Mapping[str, Any]) -> Rig:
    """A rig from parsed ``transforms.json``.

    Each item of ``frames`` has ``file_path`` (its name up to the first dot names the camera) and
    ``transform_matrix``, camera to world in OpenGL axes. Intrinsics ``w, h, fl_x, fl_y, cx, cy,
    k1, k2, k3, p1, p2`` stand in the frame or, for all, at the top; ``fl_y`` defaults to ``fl_x``,
    ``fl_x`` to ``camera_angle_x``, the principal point to the centre. An optional ``split`` per
    frame is our addition; without any, all cameras train.

    Raises:
        SceneError: a missing or wrong key, or a fisheye camera.
    """
    cameras: list[Camera] = []
    lenses: dict[str, Distortion] = {}
    held_out: list[str] = []
    for i, frame in enumerate(data["frames"]):
        if not isinstance(frame, Mapping) or not isinstance(frame.get("file_path"), str):
            raise SceneError(f'frame {i}: lacks "file_path"')
        camera = _camera({**data, **frame}, PurePosixPath(frame["file_path"]).name.split(".")[0])
        cameras.append(camera)
        lens = _lens({**data, **frame}, camera)
        if any(lens.coefficients):
            lenses[camera.name] = lens
        if frame.get("split") == "test":
            held_out.append(camera.name)
    fps = read_number(data, "fps", where='"fps"', default=0.0)
    return Rig(Rig.of(cameras).cameras, tuple(held_out), lenses, fps if fps > 0 else None)


def _camera(entry: Mapping[str, Any], name: str) -> Camera:
    where = f"camera {name!r}"
    model = str(entry.get("camera_model", "OPENCV"))
    if entry.get("is_fisheye") or "FISHEYE" in model.upper():
        raise SceneError(f"{where}: fisheye lenses are not supported; undistort its images first")
    width, height = read_size(entry, "w", where=where), read_size(entry, "h", where=where)
    fx = _focal(entry, width, where)
    pose = read_array(entry, "transform_matrix", shape=(4, 4), where=where) @ _FLIP
    return Camera(
        name,
        width,
        height,
        fx=fx,
        fy=read_number(entry, "fl_y", where=where, default=fx),
        cx=read_number(entry, "cx", where=where, default=width / 2),
        cy=read_number(entry, "cy", where=where, default=height / 2),
        world_to_camera=invert_pose(pose, "transform_matrix", where),
    )


def _focal(entry: Mapping[str, Any], width: int, where: str) -> float:
    if "fl_x" in entry or "camera_angle_x" not in entry:
        return read_number(entry, "fl_x", where=where)
    return width / (2 * np.tan(read_number(entry, "camera_angle_x", where=where) / 2))


def _lens(entry: Mapping[str, Any], camera: Camera) -> Distortion:
    where = f"camera {camera.name!r}"
    values = [
        read_number(entry, key, where=where, default=0.0) for key in ("k1", "k2", "p1", "p2", "k3")
    ]
    if read_number(entry, "k4", where=where, default=0.0):
        raise SceneError(f"{where}: distortion with k4 is not supported; undistort first")
    return Distortion.from_coefficients(camera, values)


def write_transforms(path: str | os.PathLike[str], rig: Rig, suffix: str = ".png") -> None:
    """Write ``transforms.json`` with intrinsics per frame and files ``images/<name><suffix>``.

    The cameras are written as they are, pinholes for undistorted images.
    """
    frames = [
        {
            "file_path": f"images/{name}{suffix}",
            "split": "test" if name in rig.held_out else "train",
            "w": camera.width,
            "h": camera.height,
            "fl_x": camera.fx,
            "fl_y": camera.fy,
            "cx": camera.cx,
            "cy": camera.cy,
            "transform_matrix": (camera.camera_to_world @ _FLIP).tolist(),
        }
        for name, camera in rig.cameras.items()
    ]
    head = {"camera_model": "PINHOLE"} | ({"fps": rig.fps} if rig.fps else {})
    write_json(path, {**head, "frames": frames}, indent=1)
