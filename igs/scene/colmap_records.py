"""The records that COLMAP's files hold, binary and text alike."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from igs.scene.errors import SceneError

# Model number -> (name, number of parameters), as COLMAP numbers them.
CAMERA_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    12: ("SIMPLE_DIVISION", 4),
    13: ("DIVISION", 5),
    14: ("SIMPLE_FISHEYE", 3),
    15: ("FISHEYE", 4),
    16: ("EUCM", 6),
    17: ("EQUIRECTANGULAR", 2),
}
MODEL_NUMBERS = {name: number for number, (name, _) in CAMERA_MODELS.items()}


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics as COLMAP stores them; pixel centres at +0.5.

    Attributes:
        model: one of `CAMERA_MODELS`, such as ``PINHOLE`` (fx, fy, cx, cy).
        width, height: image size, pixels.
        params: the model's parameters in COLMAP's order.

    Raises:
        SceneError: an unknown model, or another number of parameters than it has.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in MODEL_NUMBERS:
            raise SceneError(f"camera model {self.model!r} is not one of COLMAP's")
        count = CAMERA_MODELS[MODEL_NUMBERS[self.model]][1]
        if len(self.params) != count:
            raise SceneError(f"{self.model} has {count} parameters, got {len(self.params)}")


@dataclass(frozen=True)
class ColmapImage:
    """One registered image.

    Attributes:
        name: file name, with its folder inside the image folder if any.
        camera_id: number of its camera.
        quat: (4,) float64, world to camera, w x y z.
        translation: (3,) float64, world to camera.
        points2d: (K, 2) float64, positions of features in pixels.
        point3d_ids: (K,) int64, number of the 3D point of each feature, -1 for none.
    """

    name: str
    camera_id: int
    quat: np.ndarray
    translation: np.ndarray
    points2d: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    point3d_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class ColmapPoints:
    """The sparse points, N of them.

    Attributes:
        xyz: (N, 3) float64, world axes.
        rgb: (N, 3) uint8.
        ids: (N,) int64, COLMAP's numbers.
        errors: (N,) float64, mean reprojection error in pixels; -1 where unknown.
        tracks: (M, 2) int64, image number and feature position of every observation.
        track_starts: (N + 1,) int64; point i owns ``tracks[track_starts[i]:track_starts[i + 1]]``.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    ids: np.ndarray
    errors: np.ndarray
    tracks: np.ndarray
    track_starts: np.ndarray

    def __len__(self) -> int:
        return len(self.xyz)

    @classmethod
    def of(cls, xyz: np.ndarray, rgb: np.ndarray) -> ColmapPoints:
        """Points without observations, numbered from 1."""
        count = len(xyz)
        return cls(
            np.asarray(xyz, np.float64).reshape(count, 3),
            np.asarray(rgb, np.uint8).reshape(count, 3),
            np.arange(1, count + 1, dtype=np.int64),
            np.full(count, -1.0),
            np.zeros((0, 2), np.int64),
            np.zeros(count + 1, np.int64),
        )
