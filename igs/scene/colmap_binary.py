"""COLMAP's binary files, little-endian: ``cameras.bin``, ``images.bin``, ``points3D.bin``."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from igs.scene.colmap_records import (
    CAMERA_MODELS,
    MODEL_NUMBERS,
    ColmapCamera,
    ColmapImage,
    ColmapPoints,
)
from igs.scene.errors import SceneError
from igs.scene.files import write_bytes

_FEATURE = np.dtype([("xy", "<f8", 2), ("id", "<i8")])
_POINT_SIZE = struct.calcsize("<Q3d3BdQ")


class _Reader:
    """A cursor over a file's bytes that refuses to run past their end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = path.read_bytes()
        self._at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        self._need(size)
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += size
        return values

    def array(self, dtype: np.dtype | str, count: int) -> np.ndarray:
        dtype = np.dtype(dtype)
        self._need(dtype.itemsize * count)
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += dtype.itemsize * count
        return values

    def name(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            self._need(len(self._data) + 1)
        raw, self._at = self._data[self._at : end], end + 1
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise SceneError(f"{self.path}: an image name is not text; damaged") from None

    def count(self, least: int) -> int:
        """A number of items of which each takes `least` bytes or more."""
        (number,) = self.take("<Q")
        self._need(number * least)
        return number

    def end(self) -> None:
        extra = len(self._data) - self._at
        if extra:
            raise SceneError(f"{self.path}: {extra} bytes follow the last item; damaged")

    def _need(self, size: int) -> None:
        if self._at + size > len(self._data):
            raise SceneError(
                f"{self.path}: cut off or damaged: needs {size} more bytes at byte {self._at}, "
                f"{len(self._data) - self._at} are left"
            )


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Read ``cameras.bin``: number to camera. Raises SceneError if damaged."""
    reader = _Reader(path)
    cameras: dict[int, ColmapCamera] = {}
    for _ in range(reader.count(least=24)):
        number, model, width, height = reader.take("<IiQQ")
        if model not in CAMERA_MODELS:
            raise SceneError(f"{path}: camera {number} has the unknown model number {model}")
        name, count = CAMERA_MODELS[model]
        cameras[number] = ColmapCamera(name, width, height, reader.take(f"<{count}d"))
    reader.end()
    return cameras


def read_images(path: Path) -> dict[int, ColmapImage]:
    """Read ``images.bin``: number to image. Raises SceneError if damaged."""
    reader = _Reader(path)
    images: dict[int, ColmapImage] = {}
    for _ in range(reader.count(least=73)):
        number, *pose, camera_id = reader.take("<I7dI")
        name = reader.name()
        features = reader.array(_FEATURE, reader.count(least=_FEATURE.itemsize))
        images[number] = ColmapImage(
            name,
            camera_id,
            np.array(pose[:4]),
            np.array(pose[4:]),
            features["xy"].astype(np.float64),
            features["id"].astype(np.int64),
        )
    reader.end()
    return images


def read_points(path: Path) -> ColmapPoints:
    """Read ``points3D.bin``. Raises SceneError if damaged."""
    reader = _Reader(path)
    count = reader.count(least=_POINT_SIZE)
    ids, errors = np.zeros(count, np.int64), np.zeros(count)
    xyz, rgb = np.zeros((count, 3)), np.zeros((count, 3), np.uint8)
    tracks = []
    for i in range(count):
        ids[i], *point, errors[i], length = reader.take("<Q3d3BdQ")
        xyz[i], rgb[i] = point[:3], point[3:]
        tracks.append(reader.array("<u4", 2 * length).reshape(length, 2))
    reader.end()
    starts = np.concatenate([[0], np.cumsum([len(track) for track in tracks], dtype=np.int64)])
    merged = np.concatenate(tracks) if tracks else np.zeros((0, 2))
    return ColmapPoints(xyz, rgb, ids, errors, merged.astype(np.int64), starts.astype(np.int64))


def write_cameras(path: Path, cameras: Mapping[int, ColmapCamera]) -> None:
    """Write ``cameras.bin``."""
    parts = [struct.pack("<Q", len(cameras))]
    for number, camera in cameras.items():
        model = MODEL_NUMBERS[camera.model]
        parts.append(struct.pack("<IiQQ", number, model, camera.width, camera.height))
        parts.append(struct.pack(f"<{len(camera.params)}d", *camera.params))
    write_bytes(path, b"".join(parts))


def write_images(path: Path, images: Mapping[int, ColmapImage]) -> None:
    """Write ``images.bin``."""
    parts = [struct.pack("<Q", len(images))]
    for number, image in images.items():
        parts.append(struct.pack("<I7dI", number, *image.quat, *image.translation, image.camera_id))
        parts.append(image.name.encode("utf-8") + b"\0")
        features = np.zeros(len(image.points2d), _FEATURE)
        features["xy"], features["id"] = image.points2d, image.point3d_ids
        parts.append(struct.pack("<Q", len(features)) + features.tobytes())
    write_bytes(path, b"".join(parts))


def write_points(path: Path, points: ColmapPoints) -> None:
    """Write ``points3D.bin``."""
    parts = [struct.pack("<Q", len(points))]
    for i in range(len(points)):
        track = points.tracks[points.track_starts[i] : points.track_starts[i + 1]]
        head = (int(points.ids[i]), *points.xyz[i], *points.rgb[i].tolist(), points.errors[i])
        parts.append(struct.pack("<Q3d3BdQ", *head, len(track)))
        parts.append(track.astype("<u4").tobytes())
    write_bytes(path, b"".join(parts))
