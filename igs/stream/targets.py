"""What key-frame refinement compares its renders with: whole views, or the tiles that changed.

Source: spec `rasterizer_benchmark.md`, section 2, "active tiles only": still pixels cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from diff_gaussian_rasterization import tiles_of
from fused_ssim import photometric_loss

from igs.gaussians import Gaussians
from igs.render import RenderOutput, render
from igs.render.images import to_float, to_tensor
from igs.scene import Camera

TILE = 16  # pixels, both ways; the rasterizer's
# Tiles around a change that count too: Gaussians that follow it reach into them, and what is not
# looked at there is not mended there.
_RING = 1
# SSIM's window reaches 5 pixels: one that looks at an active pixel lies within 5 pixels of it and
# sees pixels up to 10 away. Farther windows see two equal images.
_MARGIN = 10


class Target:
    """One training view of a key frame; its image stays on the device.

    Args:
        camera: the view.
        image: (H, W, 3) uint8, an array or a tensor.
        device: where to compare.
        tiles: (ceil(H / 16), ceil(W / 16)) bool, at least one of them set: the tiles that count;
            None for the whole image.
    """

    def __init__(
        self,
        camera: Camera,
        image: np.ndarray | torch.Tensor,
        device: torch.device | str,
        tiles: torch.Tensor | None = None,
    ) -> None:
        self.camera, self.tiles = camera, tiles
        self._image, self._inside, self._share = to_tensor(image, device), None, 1.0
        if tiles is not None:
            self._cut(tiles)

    def render(self, gaussians: Gaussians, background: torch.Tensor) -> RenderOutput:
        """The view of some Gaussians, of the tiles that count."""
        return render(gaussians, self.camera, background, active_tiles=self.tiles)

    def loss(self, color: torch.Tensor, lambda_l1: float) -> torch.Tensor:
        """L1 + SSIM over the whole image, as if all other tiles were rendered without error.

        Args:
            color: (3, H, W) from `render`.
            lambda_l1: weight of L1.
        """
        device = self._image.device
        if self._inside is None:
            return photometric_loss(color, to_float(self._image, device), lambda_l1=lambda_l1)
        top, bottom, left, right = self._box
        target = to_float(self._image[top:bottom, left:right], device)
        mixed = torch.where(self._inside, color[:, top:bottom, left:right], target)
        return photometric_loss(mixed, target, lambda_l1=lambda_l1) * self._share

    def _cut(self, tiles: torch.Tensor) -> None:
        """Settle the box that holds all active tiles and what SSIM sees around them."""
        height, width = self._image.shape[:2]
        rows, columns = tiles.nonzero().unbind(1)
        first = torch.stack([rows.min(), columns.min()]) * TILE - _MARGIN
        last = (torch.stack([rows.max(), columns.max()]) + 1) * TILE + _MARGIN
        (top, left), (bottom, right) = first.clamp(min=0).tolist(), last.tolist()
        bottom, right = min(bottom, height), min(right, width)
        self._box = top, bottom, left, right
        pixels = tiles.repeat_interleave(TILE, 0).repeat_interleave(TILE, 1)
        self._inside = pixels[top:bottom, left:right]
        self._share = (bottom - top) * (right - left) / (height * width)


def make_targets(
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray | torch.Tensor],
    device: torch.device | str,
    changed: Mapping[str, torch.Tensor] | None = None,
) -> list[Target]:
    """The views to refine with.

    Args:
        cameras: the training cameras.
        images: camera name to (H, W, 3) uint8.
        device: where to compare.
        changed: camera name to (H, W) bool; tiles that hold such a pixel count, and their
            neighbours; a view without such a tile is left out. None: everything counts.
    """
    if changed is None:
        return [Target(camera, images[camera.name], device) for camera in cameras]
    tiles = {
        camera.name: _with_neighbours(tiles_of(changed[camera.name].to(device)))
        for camera in cameras
    }
    return [
        Target(camera, images[camera.name], device, tiles[camera.name])
        for camera in cameras
        if bool(tiles[camera.name].any())
    ]


def _with_neighbours(tiles: torch.Tensor) -> torch.Tensor:
    grown = F.max_pool2d(tiles[None, None].float(), 2 * _RING + 1, 1, _RING)
    return grown[0, 0] > 0


@torch.no_grad()
def reaching(gaussians: Gaussians, targets: Sequence[Target]) -> torch.Tensor:
    """Which Gaussians can show in the tiles that count: their 3-sigma squares meet one.

    Args:
        gaussians: N Gaussians.
        targets: views, all of which count tiles.

    Returns:
        (N,) bool.
    """
    found = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    for target in targets:
        camera, tiles = target.camera, target.tiles
        assert tiles is not None
        radii = render(gaussians, camera, active_tiles=torch.zeros_like(tiles)).radii
        pose = torch.as_tensor(camera.world_to_camera, dtype=torch.float32, device=radii.device)
        x, y, z = (gaussians.means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
        reach = radii + 1.0  # the rounding of the centre included
        columns = _edges(x / z * camera.fx + camera.cx - 0.5, reach, tiles.shape[1])
        rows = _edges(y / z * camera.fy + camera.cy - 0.5, reach, tiles.shape[0])
        sums = F.pad(tiles.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
        (x0, x1), (y0, y1) = columns, rows
        inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
        found |= (radii > 0) & (inside > 0)
    return found


def _edges(
    centre: torch.Tensor, reach: torch.Tensor, tiles: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """First tile and the one behind the last that [centre - reach, centre + reach] meets."""
    centre = centre.nan_to_num()
    first = ((centre - reach) / TILE).floor().clamp(0, tiles).long()
    behind = ((centre + reach) / TILE).floor().add(1).clamp(0, tiles).long()
    return first, torch.maximum(first, behind)
