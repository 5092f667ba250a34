"""A volume of truncated signed distances, and the surface in it.

Source: Curless and Levoy, SIGGRAPH 1996 (the weighted mean); Lewiner's marching cubes is
scikit-image's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion

from igs.config.compress import MeshConfig
from igs.scene import Box, Camera

_VOXELS_AT_ONCE = 1 << 21
_NEAREST = 0.01  # world units in front of a camera


@dataclass(frozen=True)
class Mesh:
    """Triangles with colours and normals.

    Attributes:
        vertices: (V, 3) float32, world units and axes.
        faces: (F, 3) int64, counter-clockwise as seen from outside.
        normals: (V, 3) float32, unit, outward.
        colors: (V, 3) uint8, RGB.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray


@dataclass
class DistanceVolume:
    """A grid of mean truncated signed distances and colours; positive in front of surfaces.

    Args:
        low: (3,) centre of the first voxel, world units.
        voxel: edge of a voxel, world units.
        shape: voxels along x, y and z.
        truncation: largest distance stored, world units.
        device: where the grid lies.
    """

    low: torch.Tensor
    voxel: float
    shape: tuple[int, int, int]
    truncation: float
    device: torch.device

    def __post_init__(self) -> None:
        count = self.shape[0] * self.shape[1] * self.shape[2]
        self.distance = torch.ones(count, device=self.device)
        self.weight = torch.zeros(count, device=self.device)
        self.color = torch.zeros(count, 3, device=self.device)
        self.color_weight = torch.zeros(count, device=self.device)

    @staticmethod
    def over(box: Box, config: MeshConfig, device: torch.device) -> DistanceVolume:
        """The grid over a box, `config.resolution` voxels along its longest side."""
        low = torch.tensor(box.minimum, dtype=torch.float32)
        size = torch.tensor(box.maximum, dtype=torch.float32) - low
        voxel = float(size.max()) / config.resolution
        counts = (size / voxel).ceil().long().clamp_min(2)
        shape = (int(counts[0]), int(counts[1]), int(counts[2]))
        return DistanceVolume(low.to(device), voxel, shape, config.truncation * voxel, device)

    def add(
        self, camera: Camera, depth: torch.Tensor, color: torch.Tensor, valid: torch.Tensor
    ) -> None:
        """Average one view in.

        Args:
            camera: the view.
            depth: (H, W) z-depth, world units.
            color: (3, H, W) in 0..1.
            valid: (H, W) bool, pixels that say something.
        """
        image = torch.cat([depth[None], color.clamp(0, 1)])
        for start in range(0, len(self.distance), _VOXELS_AT_ONCE):
            index = torch.arange(
                start, min(start + _VOXELS_AT_ONCE, len(self.distance)), device=self.device
            )
            self._add_some(index, camera, image, valid)

    def _add_some(
        self, index: torch.Tensor, camera: Camera, image: torch.Tensor, valid: torch.Tensor
    ) -> None:
        pose = torch.as_tensor(camera.world_to_camera, dtype=torch.float32, device=self.device)
        x, y, z = (self._centres(index) @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        seen = (z > _NEAREST) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        index, z, u, v = index[seen], z[seen], u[seen], v[seen]
        column, row = u.long(), v.long()
        keep = valid[row, column]
        index, z, u, v = index[keep], z[keep], u[keep], v[keep]
        value = _sample(image, u, v)
        distance = (value[:, 0] - z) / self.truncation
        near = distance > -1  # behind that, the voxel is hidden and nothing is known of it
        index, distance, value = index[near], distance[near], value[near]
        _average(self.distance, self.weight, index, distance.clamp(max=1))
        touched = distance < 1  # what is free has no colour, whatever stands behind it
        _average(self.color, self.color_weight, index[touched], value[touched, 1:])

    def _centres(self, index: torch.Tensor) -> torch.Tensor:
        _, ny, nz = self.shape
        cell = torch.stack([index // (ny * nz), index // nz % ny, index % nz], dim=-1)
        return self.low + cell * self.voxel

    def surface(self, min_views: int) -> Mesh:
        """The zero level, where at least `min_views` views have seen all corners of a cell.

        Raises:
            ImportError: without scikit-image.
            ValueError: there is no surface in the grid.
        """
        marching_cubes = marching_cubes_function()
        distance = self.distance.reshape(self.shape).cpu().numpy()
        known = (self.weight >= min_views).reshape(self.shape).cpu().numpy()
        # A cell is looked at by one of its corners; the erosion makes sure of all eight.
        known = binary_erosion(known, np.ones((3, 3, 3)), border_value=1)
        try:
            cells, faces, normals, _ = marching_cubes(
                distance, 0.0, mask=known, gradient_direction="descent"
            )
        except (ValueError, RuntimeError) as error:  # what it raises where nothing crosses zero
            raise ValueError(f"mesh: no surface in the region ({error})") from error
        grid = self.color.reshape(*self.shape, 3).permute(3, 2, 1, 0)[None].cpu()
        size = torch.tensor(self.shape, dtype=torch.float32)
        where = torch.from_numpy(cells.astype(np.float32)) / (size - 1) * 2 - 1
        colors = F.grid_sample(grid, where[None, None, None], align_corners=True)[0, :, 0, 0].T
        vertices = self.low.cpu().numpy() + cells * self.voxel
        return Mesh(
            vertices.astype(np.float32),
            faces.astype(np.int64),
            _unit(-normals),  # scikit-image's follow the descent, which here is inward
            (colors.clamp(0, 1) * 255).round().to(torch.uint8).numpy(),
        )


def _average(
    mean: torch.Tensor, weight: torch.Tensor, index: torch.Tensor, value: torch.Tensor
) -> None:
    """Take one more value into the running means at `index`, where none is named twice."""
    known = weight[index].reshape(-1, *[1] * (value.ndim - 1))
    mean[index] = (mean[index] * known + value) / (known + 1)
    weight[index] += 1


def _sample(image: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(N, C) bilinear samples of a (C, H, W) image at pixel coordinates."""
    size = image.new_tensor([image.shape[2], image.shape[1]])
    grid = torch.stack([u, v], dim=-1) / size * 2 - 1
    sampled = F.grid_sample(
        image[None], grid[None, None], padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T


def _unit(normals: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return (normals / np.maximum(length, 1e-12)).astype(np.float32)


def marching_cubes_function() -> Callable:
    """scikit-image's; raises ImportError that names the extra where it is missing."""
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ImportError("a mesh needs scikit-image: pip install 'igs[mesh]'") from error
    return marching_cubes
