"""The pinhole camera, the one noun that every room shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Camera:
    """One pinhole view of the scene, free of distortion.

    Axes are OpenCV's: x right, y down, z forward. Pixel centres lie at +0.5, so that a camera
    whose optical axis meets the image centre has ``cx = width / 2`` and ``cy = height / 2``.

    Attributes:
        name: unique within its rig; the file stem of its images or video.
        width: image width, pixels.
        height: image height, pixels.
        fx: focal length along x, pixels.
        fy: focal length along y, pixels.
        cx: principal point, pixels from the left border.
        cy: principal point, pixels from the top border.
        world_to_camera: (4, 4) float64, rigid; maps homogeneous world points to camera axes.

    Raises:
        ValueError: a size or focal length that is not positive, a matrix of another shape, or one
            whose rotation part is not a rotation; the message names the camera.
    """

    name: str
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    world_to_camera: np.ndarray

    def __post_init__(self) -> None:
        pose = np.asarray(self.world_to_camera, dtype=np.float64)
        object.__setattr__(self, "world_to_camera", pose)
        if self.width <= 0 or self.height <= 0:
            raise ValueError(
                f"camera {self.name!r}: size {self.width} x {self.height} must be positive"
            )
        if not (self.fx > 0 and self.fy > 0):
            raise ValueError(
                f"camera {self.name!r}: focal lengths must be positive, got {self.fx}, {self.fy}"
            )
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(
                f"camera {self.name!r}: world_to_camera must be a finite 4 x 4 matrix, "
                f"got shape {pose.shape}"
            )
        rotation = pose[:3, :3]
        if (
            not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
            or np.linalg.det(rotation) < 0
        ):
            raise ValueError(f"camera {self.name!r}: the 3 x 3 part is not a rotation")

    @property
    def camera_to_world(self) -> np.ndarray:
        """(4, 4) float64: the inverse of `world_to_camera`."""
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        pose = np.eye(4)
        pose[:3, :3] = rotation.T
        pose[:3, 3] = -rotation.T @ translation
        return pose

    @property
    def center(self) -> np.ndarray:
        """(3,) float64: the centre of projection in world axes."""
        return self.camera_to_world[:3, 3]

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) float64: K, in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def fov(self) -> tuple[float, float]:
        """Field of view along x and y in radians, ``2 atan(size / 2f)``."""
        return (
            2 * float(np.arctan(self.width / (2 * self.fx))),
            2 * float(np.arctan(self.height / (2 * self.fy))),
        )

    def resized(self, width: int, height: int) -> Camera:
        """The same view at another image size; the aspect ratio may change."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )
