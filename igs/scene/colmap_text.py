"""COLMAP's text files: ``cameras.txt``, ``images.txt``, ``points3D.txt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from igs.scene.colmap_records import ColmapCamera, ColmapImage, ColmapPoints
from igs.scene.errors import SceneError
from igs.scene.files import write_text


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line that is not a comment; blank lines are kept."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SceneError(f"{path}: is not text; damaged") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.startswith("#"):
            yield number, line.strip()


def _refuse(path: Path, number: int, wanted: str) -> SceneError:
    return SceneError(f"{path}: line {number} is damaged or cut off; it should read {wanted}")


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Read ``cameras.txt``: number to camera. Raises SceneError if damaged."""
    cameras: dict[int, ColmapCamera] = {}
    for number, line in _lines(path):
        if not line:
            continue
        fields = line.split()
        try:
            size = int(fields[2]), int(fields[3])
            params = tuple(float(value) for value in fields[4:])
            cameras[int(fields[0])] = ColmapCamera(fields[1], *size, params)
        except SceneError as error:
            raise SceneError(f"{path}: line {number}: {error}") from None
        except (ValueError, IndexError):
            raise _refuse(path, number, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS") from None
    return cameras


def read_images(path: Path) -> dict[int, ColmapImage]:
    """Read ``images.txt``: number to image. Raises SceneError if damaged."""
    images: dict[int, ColmapImage] = {}
    lines = _lines(path)
    for number, line in lines:
        if not line:
            continue
        fields = line.split(maxsplit=9)
        # The features' line may be blank, and at the file's end it may be missing.
        features_at, features = next(lines, (number + 1, ""))
        try:
            pose = np.array([float(value) for value in fields[1:8]])
            key, camera_id, name = int(fields[0]), int(fields[8]), fields[9]
        except (ValueError, IndexError):
            raise _refuse(path, number, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME") from None
        try:
            table = np.array(features.split(), dtype=np.float64).reshape(-1, 3)
        except ValueError:
            raise _refuse(path, features_at, "X Y POINT3D_ID for every feature") from None
        images[key] = ColmapImage(
            name, camera_id, pose[:4], pose[4:], table[:, :2].copy(), table[:, 2].astype(np.int64)
        )
    return images


def read_points(path: Path) -> ColmapPoints:
    """Read ``points3D.txt``. Raises SceneError if damaged."""
    ids, xyz, rgb, errors, tracks = [], [], [], [], []
    for number, line in _lines(path):
        if not line:
            continue
        fields = line.split()
        try:
            ids.append(int(fields[0]))
            xyz.append([float(value) for value in fields[1:4]])
            rgb.append([_byte(value) for value in fields[4:7]])
            errors.append(float(fields[7]))
            tracks.append(np.array(fields[8:], dtype=np.int64).reshape(-1, 2))
        except (ValueError, IndexError):
            wanted = "POINT3D_ID X Y Z R G B ERROR and pairs IMAGE_ID POINT2D_IDX"
            raise _refuse(path, number, wanted) from None
    count = len(ids)
    starts = np.cumsum([0, *(len(track) for track in tracks)], dtype=np.int64)
    return ColmapPoints(
        np.array(xyz, dtype=np.float64).reshape(count, 3),
        np.array(rgb, dtype=np.uint8).reshape(count, 3),
        np.array(ids, dtype=np.int64),
        np.array(errors, dtype=np.float64),
        np.concatenate(tracks) if tracks else np.zeros((0, 2), np.int64),
        starts,
    )


def _byte(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 255:
        raise ValueError(text)
    return value


def write_cameras(path: Path, cameras: Mapping[int, ColmapCamera]) -> None:
    """Write ``cameras.txt``."""
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for number, camera in cameras.items():
        lines.append(
            f"{number} {camera.model} {camera.width} {camera.height} {_join(camera.params)}"
        )
    write_text(path, "\n".join(lines) + "\n")


def write_images(path: Path, images: Mapping[int, ColmapImage]) -> None:
    """Write ``images.txt``."""
    lines = [
        "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
        "# POINTS2D[] as (X, Y, POINT3D_ID)",
    ]
    for number, image in images.items():
        pose = _join([*image.quat, *image.translation])
        lines.append(f"{number} {pose} {image.camera_id} {image.name}")
        features = zip(image.points2d, image.point3d_ids, strict=True)
        lines.append(" ".join(f"{_join(xy)} {int(key)}" for xy, key in features))
    write_text(path, "\n".join(lines) + "\n")


def write_points(path: Path, points: ColmapPoints) -> None:
    """Write ``points3D.txt``."""
    lines = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    for i in range(len(points)):
        track = points.tracks[points.track_starts[i] : points.track_starts[i + 1]]
        colour = " ".join(str(value) for value in points.rgb[i].tolist())
        head = f"{int(points.ids[i])} {_join(points.xyz[i])} {colour} {_join([points.errors[i]])}"
        lines.append(" ".join([head, *(str(value) for value in track.ravel().tolist())]))
    write_text(path, "\n".join(lines) + "\n")


def _join(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)
