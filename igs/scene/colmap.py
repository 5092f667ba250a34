"""COLMAP models: read and written, and the way from them to cameras and back.

The records stand in `colmap_records`, the file formats in `colmap_binary` and `colmap_text`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from igs.scene import colmap_binary, colmap_text
from igs.scene.camera import Camera
from igs.scene.colmap_records import ColmapCamera, ColmapImage, ColmapPoints
from igs.scene.distortion import Distortion
from igs.scene.errors import SceneError
from igs.scene.rig import Rig
from igs.scene.rotations import quat_from_rotation, rotation_from_quat


@dataclass(frozen=True)
class ColmapModel:
    """A reconstruction: cameras and images by COLMAP's numbers, and the points."""

    cameras: Mapping[int, ColmapCamera]
    images: Mapping[int, ColmapImage]
    points: ColmapPoints

    def rig(self, *, undistort: bool = False) -> Rig:
        """The registered images as cameras, sorted by name; none is held out.

        A camera is called like its file, up to the first dot and without folders.

        Args:
            undistort: accept SIMPLE_RADIAL, RADIAL and OPENCV cameras; frame sources then take
                the distortion out of the images.

        Raises:
            SceneError: no image, two of one name, an image whose camera is missing, or a camera
                with distortion that is not to be, or cannot be, taken out.
        """
        cameras: list[Camera] = []
        lenses: dict[str, Distortion] = {}
        for image in sorted(self.images.values(), key=lambda item: camera_name(item.name)):
            if image.camera_id not in self.cameras:
                raise SceneError(f"COLMAP image {image.name}: there is no camera {image.camera_id}")
            record = self.cameras[image.camera_id]
            camera, lens = _pinhole(image, record)
            if lens is not None and not undistort:
                raise SceneError(
                    f"COLMAP image {image.name}: camera model {record.model} has lens distortion; "
                    "undistort the images first (`colmap image_undistorter`)"
                )
            cameras.append(camera if lens is None else lens.undistorted())
            if lens is not None:
                lenses[camera.name] = lens
        return Rig(Rig.of(cameras).cameras, distortion=lenses)


def camera_name(file_name: str) -> str:
    """A file's name without folders, up to its first dot."""
    return PurePosixPath(file_name.replace("\\", "/")).name.split(".")[0]


def _pinhole(image: ColmapImage, record: ColmapCamera) -> tuple[Camera, Distortion | None]:
    p = record.params
    if record.model in ("PINHOLE", "OPENCV"):
        fx, fy, cx, cy = p[:4]
    elif record.model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        fx, fy, cx, cy = p[0], p[0], p[1], p[2]
    else:
        raise SceneError(
            f"COLMAP image {image.name}: camera model {record.model} is not a pinhole; "
            "undistort the images first (`colmap image_undistorter`)"
        )
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_quat(image.quat)
    pose[:3, 3] = image.translation
    name = camera_name(image.name)
    camera = Camera(name, record.width, record.height, fx, fy, cx, cy, pose)
    coefficients = p[4:8] if record.model == "OPENCV" else p[3:]
    if "PINHOLE" in record.model or not any(coefficients):
        return camera, None
    return camera, Distortion.from_coefficients(camera, coefficients)


def model_from_rig(
    rig: Rig, points: ColmapPoints | None = None, suffix: str = ".png"
) -> ColmapModel:
    """A PINHOLE model of a rig; image and camera numbers from 1 in the rig's order."""
    if points is None:
        points = ColmapPoints.of(np.zeros((0, 3)), np.zeros((0, 3)))
    cameras: dict[int, ColmapCamera] = {}
    images: dict[int, ColmapImage] = {}
    for i, (name, camera) in enumerate(rig.cameras.items(), start=1):
        params = (camera.fx, camera.fy, camera.cx, camera.cy)
        cameras[i] = ColmapCamera("PINHOLE", camera.width, camera.height, params)
        pose = camera.world_to_camera
        images[i] = ColmapImage(name + suffix, i, quat_from_rotation(pose[:3, :3]), pose[:3, 3])
    return ColmapModel(cameras, images, points)


def read_colmap(folder: str | os.PathLike[str]) -> ColmapModel:
    """Read a model: ``cameras``, ``images`` and ``points3D``, binary where there is a choice.

    Args:
        folder: holds the files, such as ``<scene>/sparse/0``. Points may be missing.

    Raises:
        FileNotFoundError: the folder, the cameras or the images are missing.
        SceneError: a file is cut off or malformed; the message names it.
    """
    readers = {".bin": colmap_binary, ".txt": colmap_text}
    base = Path(folder)
    suffix = next((s for s in readers if (base / f"cameras{s}").is_file()), None)
    if suffix is None:
        raise FileNotFoundError(f"{base}: no COLMAP model (cameras.bin or cameras.txt) here")
    if not (base / f"images{suffix}").is_file():
        raise FileNotFoundError(f"{base / f'images{suffix}'}: missing from the COLMAP model")
    reader = readers[suffix]
    cameras = reader.read_cameras(base / f"cameras{suffix}")
    images = reader.read_images(base / f"images{suffix}")
    points = ColmapPoints.of(np.zeros((0, 3)), np.zeros((0, 3)))
    for points_suffix in (suffix, *readers):
        if (base / f"points3D{points_suffix}").is_file():
            points = readers[points_suffix].read_points(base / f"points3D{points_suffix}")
            break
    return ColmapModel(cameras, images, points)


def write_colmap(
    folder: str | os.PathLike[str], model: ColmapModel, *, binary: bool = True
) -> None:
    """Write a model's three files, each whole or not at all."""
    base, writer, suffix = Path(folder), colmap_text, ".txt"
    if binary:
        writer, suffix = colmap_binary, ".bin"
    writer.write_cameras(base / f"cameras{suffix}", model.cameras)
    writer.write_images(base / f"images{suffix}", model.images)
    writer.write_points(base / f"points3D{suffix}", model.points)
