"""Where the scene changed since the last key frame, in pixels and in Gaussians.

Refining only what changed keeps what stands still from drifting, and costs nothing there. The
idea is that of streaming methods which update only dynamic tokens or tiles; spec
`rasterizer_benchmark.md`, section 2, "active tiles only".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from igs.gaussians import Gaussians
from igs.render.images import to_tensor
from igs.scene import Camera

_BLUR = 3  # pixels; sensor noise is averaged over this window before the comparison
_REACH = 9  # pixels around a change that count as changed
_MIN_VIEWS = 2


class ChangeDetector:
    """Compares each view with what it showed when each of its pixels last changed.

    A slow change adds up until it passes the threshold, since the reference of a pixel is renewed
    only where a change was seen.

    Args:
        threshold: mean absolute difference over channels, 0..1, that counts as a change.
        reference: camera name to (H, W, 3) uint8, the first images to compare with.
        device: where to compare, and to keep the references.
    """

    def __init__(
        self,
        threshold: float,
        reference: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor],
        device: torch.device | str = "cpu",
    ) -> None:
        self.threshold = threshold
        self.reference = {n: to_tensor(image, device).clone() for n, image in reference.items()}

    def update(
        self, images: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Masks of change, camera name to (H, W) bool on the device; the references follow.

        Raises:
            KeyError: a camera without an image.
        """
        masks = {}
        for name, old in self.reference.items():
            new = to_tensor(images[name], old.device)
            mask = _changed(old, new, self.threshold)
            old.copy_(torch.where(mask[..., None], new, old))
            masks[name] = mask
        return masks


def _changed(old: torch.Tensor, new: torch.Tensor, threshold: float) -> torch.Tensor:
    difference = (old.to(torch.int16) - new.to(torch.int16)).abs().float().mean(dim=2)
    image = difference[None, None] / 255
    smooth = F.avg_pool2d(image, _BLUR, 1, _BLUR // 2, count_include_pad=False)
    grown = F.max_pool2d((smooth > threshold).float(), _REACH, 1, _REACH // 2)
    return grown[0, 0] > 0


def active_gaussians(
    gaussians: Gaussians, cameras: Sequence[Camera], masks: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Gaussians whose centre lies in a changed region of at least two views (of one, if V = 1).

    Args:
        gaussians: N Gaussians.
        cameras: V cameras.
        masks: camera name to (H, W) bool.

    Returns:
        (N,) bool.
    """
    votes = torch.zeros(len(gaussians), dtype=torch.int32, device=gaussians.device)
    means = gaussians.means.detach()
    for camera in cameras:
        pose = torch.as_tensor(camera.world_to_camera, dtype=means.dtype, device=means.device)
        x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
        u = (x / z * camera.fx + camera.cx).nan_to_num(-1).clamp(-1, camera.width).long()
        v = (y / z * camera.fy + camera.cy).nan_to_num(-1).clamp(-1, camera.height).long()
        inside = (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        mask = masks[camera.name].to(means.device)
        votes += inside & mask[v.clamp(0, camera.height - 1), u.clamp(0, camera.width - 1)]
    return votes >= min(_MIN_VIEWS, len(cameras))
