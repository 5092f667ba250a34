"""One view: image size, field of view and matrices."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NEAR, _FAR = 0.01, 100.0


class View(NamedTuple):
    """A camera in the row-vector convention of the drop-in rasterizers.

    Attributes:
        image_height: H in pixels.
        image_width: W in pixels.
        tanfovx: tangent of half the horizontal field of view.
        tanfovy: tangent of half the vertical field of view.
        viewmatrix: (4, 4) float32, transpose of world-to-camera: ``[X, 1] @ viewmatrix``.
        projmatrix: (4, 4) float32, full projection, ``viewmatrix @ Pm.T``.
        campos: (3,) float32, camera centre in world axes.

    Source: spec `rasterizer.md`, section 1.
    """

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    viewmatrix: Tensor
    projmatrix: Tensor
    campos: Tensor

    @classmethod
    def from_pinhole(
        cls,
        width: int,
        height: int,
        fx: float,
        fy: float,
        world_to_camera: Tensor,
        cx: float | None = None,
        cy: float | None = None,
    ) -> View:
        """Build a view from pinhole intrinsics in pixels (pixel centres at +0.5).

        Args:
            width: image width in pixels.
            height: image height in pixels.
            fx: horizontal focal length in pixels.
            fy: vertical focal length in pixels.
            world_to_camera: (4, 4), OpenCV axes (x right, y down, z forward).
            cx: principal point, default the image centre ``width / 2``.
            cy: principal point, default ``height / 2``.
        """
        cx = width / 2 if cx is None else cx
        cy = height / 2 if cy is None else cy
        w2c = world_to_camera.detach().to("cpu", torch.float64)
        projection = torch.zeros(4, 4, dtype=torch.float64)
        projection[0, 0] = 2.0 * fx / width
        projection[1, 1] = 2.0 * fy / height
        projection[0, 2] = 2.0 * cx / width - 1.0
        projection[1, 2] = 2.0 * cy / height - 1.0
        projection[2, 2] = _FAR / (_FAR - _NEAR)
        projection[2, 3] = -_FAR * _NEAR / (_FAR - _NEAR)
        projection[3, 2] = 1.0
        device = world_to_camera.device
        return cls(
            image_height=int(height),
            image_width=int(width),
            tanfovx=width / (2.0 * fx),
            tanfovy=height / (2.0 * fy),
            viewmatrix=w2c.T.contiguous().to(device, torch.float32),
            projmatrix=(w2c.T @ projection.T).contiguous().to(device, torch.float32),
            campos=torch.linalg.inv(w2c)[:3, 3].contiguous().to(device, torch.float32),
        )
