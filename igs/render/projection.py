"""From a `Camera` to what the rasterizer takes, and what it leaves to mend.

Source: spec `rasterizer.md`, section 1 and fault 10 of section 12.
"""

from __future__ import annotations

import numpy as np
import torch
from diff_gaussian_rasterization import View

from igs.scene import Camera


def raster_view(camera: Camera, device: torch.device | str = "cpu") -> View:
    """The rasterizer's view of a camera, principal point included.

    A world point lands at ``u = fx x/z + cx`` pixels from the image border.
    """
    view = View.from_pinhole(
        camera.width,
        camera.height,
        camera.fx,
        camera.fy,
        torch.from_numpy(camera.world_to_camera),
        camera.cx,
        camera.cy,
    )
    return view._replace(
        viewmatrix=view.viewmatrix.to(device),
        projmatrix=view.projmatrix.to(device),
        campos=view.campos.to(device),
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
    factor = taken / _ray_lengths(camera, camera.cx, camera.cy)
    return torch.tensor(factor, dtype=torch.float32, device=device)


def _ray_lengths(camera: Camera, cx: float, cy: float) -> np.ndarray:
    x = (np.arange(camera.width) - cx) / camera.fx
    y = (np.arange(camera.height) - cy) / camera.fy
    return np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + 1)
