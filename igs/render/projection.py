"""From a `Camera` to the matrices that the rasterizer takes.

Source: spec `rasterizer.md`, section 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from igs.scene import Camera

NEAR, FAR = 0.01, 100.0  # of the projection matrix only; nothing is cut at these depths


class CameraMatrices(NamedTuple):
    """A camera as the rasterizer wants it; matrices multiply row vectors from the right.

    Attributes:
        viewmatrix: (4, 4) float32, transpose of `world_to_camera`.
        projmatrix: (4, 4) float32, world to clip space, principal point included.
        campos: (3,) float32, camera centre in world axes.
        tanfovx: ``width / (2 fx)``.
        tanfovy: ``height / (2 fy)``.
    """

    viewmatrix: torch.Tensor
    projmatrix: torch.Tensor
    campos: torch.Tensor
    tanfovx: float
    tanfovy: float


def camera_matrices(camera: Camera, device: torch.device | str = "cpu") -> CameraMatrices:
    """Matrices with which a world point lands at ``u = fx x/z + cx`` (pixel centres at +0.5).

    The rasterizer puts the device coordinate n at ``((n + 1) W - 1) / 2`` counted from the centre
    of the first pixel, that is at ``u = (n + 1) W / 2`` from the image border; hence
    ``n = 2 u / W - 1``.
    """
    projection = np.zeros((4, 4))
    projection[0, 0] = 2 * camera.fx / camera.width
    projection[0, 2] = 2 * camera.cx / camera.width - 1
    projection[1, 1] = 2 * camera.fy / camera.height
    projection[1, 2] = 2 * camera.cy / camera.height - 1
    projection[2, 2] = FAR / (FAR - NEAR)
    projection[2, 3] = -FAR * NEAR / (FAR - NEAR)
    projection[3, 2] = 1.0
    view = camera.world_to_camera
    return CameraMatrices(
        _tensor(view.T, device),
        _tensor((projection @ view).T, device),
        _tensor(camera.center, device),
        camera.width / (2 * camera.fx),
        camera.height / (2 * camera.fy),
    )


def depth_correction(camera: Camera, device: torch.device | str = "cpu") -> torch.Tensor | None:
    """(H, W) factor that mends the rasterizer's z-depth under an off-centre principal point.

    The rasterizer turns ray length into z-depth by dividing by ``L``, the ray's length per unit of
    z, taken with the image centre. The factor is that ``L`` over the one with the principal point.
    Pixel coordinates are those of the rasterizer, without the half pixel (fault 10 of the spec), so
    that a centred camera keeps its numbers.

    Returns:
        The factor, or None for a camera whose principal point is the image centre.
    """
    if camera.cx == camera.width / 2 and camera.cy == camera.height / 2:
        return None
    taken = _ray_lengths(camera, camera.width / 2, camera.height / 2)
    return _tensor(taken / _ray_lengths(camera, camera.cx, camera.cy), device)


def _ray_lengths(camera: Camera, cx: float, cy: float) -> np.ndarray:
    x = (np.arange(camera.width) - cx) / camera.fx
    y = (np.arange(camera.height) - cy) / camera.fy
    return np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + 1)


def _tensor(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)
