"""One instant of a scene from disk: cameras, images at the size to work at, and known points.

Source: spec `frame0.md`, section 1 (split, sizes), with the principal point kept (fault 13) and
lens distortion taken out of the images instead of being refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from igs.scene import (
    Camera,
    Rig,
    SceneError,
    Undistorter,
    VideoFolderSource,
    read_colmap,
    read_image,
    read_rig,
    resize_image,
)
from igs.scene.images import IMAGE_SUFFIXES
from igs.scene.rig import require_shape

SPLITS = ("auto", "n3d", "meet", "enerf", "eighth", "none")
_DIVISORS = (1, 2, 4, 8)
_WIDEST = 1600
_CAMERA_FILES = ("cameras.json", "transforms.json")
_POINT_FILES = ("points3D.bin", "points3D.txt", "points3D.ply")


@dataclass(frozen=True)
class Photographs:
    """One instant of a scene.

    Attributes:
        rig: cameras at the size of the images, without distortion; `held_out` is the test split.
        images: camera name to (H, W, 3) uint8.
        full: the cameras at the size of the files, for the output folder's cameras.json.
        points: file of known points, None where the scene has none.
    """

    rig: Rig
    images: Mapping[str, np.ndarray]
    full: Rig
    points: Path | None

    @property
    def training(self) -> list[Camera]:
        """The cameras to optimise against, in order."""
        return list(self.rig.training.values())


def read_photographs(
    root: str | Path,
    *,
    images: str = "images",
    videos: str = "videos",
    resolution: int = -1,
    split: str = "auto",
    held_out: Sequence[str | int] | None = None,
) -> Photographs:
    """Read a scene's first instant.

    `root` holds one of ``sparse/0`` (COLMAP), ``cameras.json`` or ``transforms.json``, and a folder
    of images named like the cameras; or, with a camera file, a folder of videos.

    Args:
        root: the scene's folder, such as ``<scene>/colmap_0``.
        images: folder of images in it.
        videos: folder of videos in it, looked for when there are no images.
        resolution: 1, 2, 4 or 8 divides the size, -1 keeps it up to 1600 wide, any other number is
            the width.
        split: which cameras are held out, one of SPLITS; `auto` takes what the camera file says,
            from COLMAP the first camera.
        held_out: names or positions instead.

    Raises:
        FileNotFoundError: no cameras, or no image of a camera; names the file.
        SceneError: damaged files or images of another shape.
        ValueError: an unknown split, or a resolution that is not positive.
    """
    base = Path(root)
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} must be one of {', '.join(SPLITS)}")
    rig, points, from_colmap = _read_cameras(base)
    rig = rig.with_held_out(_held_out(rig, split, held_out, from_colmap))
    folder = base / images
    if not folder.is_dir() and not from_colmap and (base / videos).is_dir():
        return _from_videos(base / videos, rig, resolution, points)
    cameras: dict[str, Camera] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, camera in rig.cameras.items():
        cameras[name], arrays[name] = _read_one(folder, camera, rig, resolution)
    return Photographs(replace(rig, cameras=cameras, distortion={}), arrays, rig, points)


def working_size(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Width and height to work at; see `read_photographs`. Halves are rounded to even.

    Raises:
        ValueError: a resolution that is neither positive nor -1.
    """
    if resolution in _DIVISORS:
        return max(1, round(width / resolution)), max(1, round(height / resolution))
    if resolution == -1:
        factor = max(1.0, width / _WIDEST)
    elif resolution > 0:
        factor = width / resolution
    else:
        raise ValueError(f"resolution: {resolution} must be 1, 2, 4, 8, -1 or a width in pixels")
    return max(1, int(width / factor)), max(1, int(height / factor))


def _read_cameras(base: Path) -> tuple[Rig, Path | None, bool]:
    """The rig, the file of known points, and whether the rig is COLMAP's."""
    if not base.is_dir():
        raise FileNotFoundError(f"{base}: no such folder")
    sparse = base / "sparse" / "0"
    if sparse.is_dir():
        points = next((sparse / n for n in _POINT_FILES if (sparse / n).is_file()), None)
        return read_colmap(sparse).rig(undistort=True), points, True
    for name in _CAMERA_FILES:
        if (base / name).is_file():
            return read_rig(base / name, undistort=True), None, False
    raise FileNotFoundError(
        f"{base}: no cameras here (sparse/0, {' or '.join(_CAMERA_FILES)}); `igs prepare` makes "
        "them from images or videos"
    )


def _held_out(
    rig: Rig, split: str, held_out: Sequence[str | int] | None, from_colmap: bool
) -> list[str]:
    names = list(rig.cameras)
    if held_out is not None:
        return list(rig.with_held_out(held_out).held_out)
    if split == "auto" and not from_colmap:
        return list(rig.held_out)
    if split == "none" or len(names) < 2:
        return []
    if split == "enerf":
        return names[17:18]
    if split == "eighth":
        return names[::8]
    return names[::100]


def _read_one(folder: Path, camera: Camera, rig: Rig, resolution: int) -> tuple[Camera, np.ndarray]:
    """A camera at the working size and its image, distortion taken out."""
    found = [folder / f"{camera.name}{suffix}" for suffix in IMAGE_SUFFIXES]
    path = next((p for p in found if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{found[0]}: no image of camera {camera.name!r} (nor {', '.join(IMAGE_SUFFIXES[1:])})"
        )
    image = read_image(path)
    height, width = image.shape[:2]
    require_shape(path, camera, width, height)
    if camera.name in rig.distortion:
        stored = resize_image(image, camera.width, camera.height)
        image = Undistorter(rig.distortion[camera.name], camera)(stored)
    size = working_size(camera.width, camera.height, resolution)
    return camera.resized(*size), resize_image(image, *size)


def _from_videos(folder: Path, rig: Rig, resolution: int, points: Path | None) -> Photographs:
    first = next(iter(rig.cameras.values()))
    size = working_size(first.width, first.height, resolution)
    source = VideoFolderSource(folder, rig, size=size, num_frames=1)
    frame = next(iter(source.frames(0)), None)
    if frame is None:
        raise SceneError(f"{folder}: the videos have no frame")
    cameras = dict(source.cameras)
    held_out = tuple(name for name in rig.held_out if name in cameras)
    small = replace(rig, cameras=cameras, distortion={}, held_out=held_out)
    return Photographs(small, dict(frame.images), rig, points)
