"""Lens distortion (OpenCV's five-coefficient model) and taking it out of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from igs.scene.camera import Camera
from igs.scene.errors import SceneError

_MAX_ZOOM = 2.0


@dataclass(frozen=True)
class Distortion:
    """How the stored images of one camera differ from a pinhole's.

    A point at normalised pinhole coordinates (x, y), r^2 = x^2 + y^2, is found in the stored image
    at ``x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)``, and for y with x and y,
    p1 and p2 exchanged.

    Attributes:
        stored: the camera of the images as stored, without regard to its distortion.
        k1, k2, k3: radial coefficients.
        p1, p2: tangential coefficients.
    """

    stored: Camera
    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    @classmethod
    def from_coefficients(cls, stored: Camera, values: Sequence[float]) -> Distortion:
        """From OpenCV's order k1 k2 p1 p2 [k3]; shorter lists are filled with 0.

        Raises:
            SceneError: more than five coefficients (the rational and thin-prism models) or a
                value that is not a finite number.
        """
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):
            numbers = [float("nan")]
        if len(numbers) > 5 and not any(numbers[5:]):
            numbers = numbers[:5]
        if len(numbers) > 5 or not np.isfinite(numbers).all():
            raise SceneError(
                f"camera {stored.name!r}: distortion must be up to five finite numbers "
                f"k1 k2 p1 p2 k3, got {values!r}"
            )
        return cls(stored, *numbers)

    @property
    def coefficients(self) -> tuple[float, float, float, float, float]:
        """OpenCV's order: k1, k2, p1, p2, k3."""
        return (self.k1, self.k2, self.p1, self.p2, self.k3)

    def distort(self, points: np.ndarray) -> np.ndarray:
        """Move normalised pinhole coordinates (..., 2) to where the lens images them."""
        x, y = points[..., 0], points[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        xd = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        yd = y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y
        return np.stack([xd, yd], axis=-1)

    def undistorted(self) -> Camera:
        """The pinhole camera for the corrected images: the stored one, zoomed in if need be.

        The zoom is the smallest that leaves no pixel without a source, so that no black rim enters
        an optimisation.

        Raises:
            SceneError: more than a factor of two would be needed.
        """
        if self._covers(1.0):
            return self.stored
        if not self._covers(_MAX_ZOOM):
            raise SceneError(
                f"camera {self.stored.name!r}: distortion {self.coefficients} is too strong to be "
                "taken out here; undistort its images first"
            )
        low, high = 1.0, _MAX_ZOOM
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if self._covers(middle) else (middle, high)
        return self._zoomed(high)

    def _zoomed(self, zoom: float) -> Camera:
        return replace(self.stored, fx=self.stored.fx * zoom, fy=self.stored.fy * zoom)

    def _covers(self, zoom: float) -> bool:
        width, height = self.stored.width, self.stored.height
        columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
        sides = [(columns, 0.5), (columns, height - 0.5), (0.5, rows), (width - 0.5, rows)]
        pixels = [np.stack(np.broadcast_arrays(u, v), axis=-1) for u, v in sides]
        rim = _source_positions(self, self._zoomed(zoom), np.concatenate(pixels)) - 0.5
        # Half a pixel outside the outermost pixel centres is still inside the image.
        limit = np.array([width, height]) - 0.5
        return bool(((rim >= -0.5) & (rim <= limit)).all())


def _source_positions(distortion: Distortion, target: Camera, pixels: np.ndarray) -> np.ndarray:
    """Where in the stored image, at the target's size, pixels (..., 2) of `target` come from.

    Both are positions with pixel centres at +0.5.
    """
    stored = distortion.stored.resized(target.width, target.height)
    points = (pixels - [target.cx, target.cy]) / [target.fx, target.fy]
    return distortion.distort(points) * [stored.fx, stored.fy] + [stored.cx, stored.cy]


class Undistorter:
    """Resamples images of one camera and size, bilinearly, with weights computed once.

    Args:
        distortion: of the stored images.
        target: the pinhole camera to make the images fit, at the size of the images.
    """

    def __init__(self, distortion: Distortion, target: Camera) -> None:
        width, height = target.width, target.height
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5
        position = _source_positions(distortion, target, grid) - 0.5
        column = np.clip(position[..., 0], 0, width - 1).ravel()
        row = np.clip(position[..., 1], 0, height - 1).ravel()
        left = np.minimum(column.astype(np.int64), max(width - 2, 0))
        top = np.minimum(row.astype(np.int64), max(height - 2, 0))
        self._shape = (height, width)
        self._corner = top * width + left
        self._steps = (0, min(1, width - 1), width * min(1, height - 1))
        self._right = (column - left).astype(np.float32)[:, None]
        self._down = (row - top).astype(np.float32)[:, None]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Correct one (H, W, 3) uint8 image.

        Raises:
            SceneError: an image of another size.
        """
        if image.shape[:2] != self._shape:
            raise SceneError(
                f"undistortion: image of {image.shape[1]} x {image.shape[0]} pixels, "
                f"prepared for {self._shape[1]} x {self._shape[0]}"
            )
        flat = image.reshape(-1, image.shape[-1])
        _, right, below = self._steps
        upper = self._mix(flat, self._corner, self._corner + right)
        lower = self._mix(flat, self._corner + below, self._corner + below + right)
        upper += (lower - upper) * self._down
        return (upper + 0.5).astype(np.uint8).reshape(image.shape)

    def _mix(self, flat: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        out = flat[left].astype(np.float32)
        out += (flat[right].astype(np.float32) - out) * self._right
        return out
