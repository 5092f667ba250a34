"""Points in space that most views agree are covered by their silhouettes: a visual hull by votes.

Source: the visual hull (Laurentini, PAMI 1994), with a share of views that may disagree, since
masks have gaps and still things stand in front of moving ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from igs.scene import Camera

_FAR = 1e4  # pixels; "no mask anywhere in this image"


@dataclass(frozen=True)
class SilhouetteView:
    """One camera at the size of its masks, and for every time step how far each pixel is from them.

    Attributes:
        camera: at the size of the masks.
        distance: (T, h, w) float32, pixels to the nearest marked one; 0 on it.
    """

    camera: Camera
    distance: np.ndarray

    @staticmethod
    def make(camera: Camera, masks: np.ndarray) -> SilhouetteView:
        """From (T, h, w) bool masks and the camera at any size."""
        height, width = masks.shape[1:]
        maps = [
            np.asarray(distance_transform_edt(~mask)) if mask.any() else np.full(mask.shape, _FAR)
            for mask in masks
        ]
        return SilhouetteView(camera.resized(width, height), np.stack(maps).astype(np.float32))


def votes(
    views: Sequence[SilhouetteView], step: int, points: np.ndarray, radius: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """How many views see each point, and in how many it lies on a silhouette.

    Args:
        views: V views.
        step: which time step's masks.
        points: (N, 3) world points.
        radius: of a ball around each point, world units; it need only touch the silhouette.

    Returns:
        (N,) int64 views whose image holds the point, (N,) int64 of them with a silhouette there.
    """
    seen = np.zeros(len(points), np.int64)
    covered = np.zeros(len(points), np.int64)
    for view in views:
        camera = view.camera
        local = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
        depth = np.maximum(local[:, 2], 1e-6)
        u = np.floor(camera.fx * local[:, 0] / depth + camera.cx)
        v = np.floor(camera.fy * local[:, 1] / depth + camera.cy)
        inside = (local[:, 2] > 1e-6) & (u >= 0) & (u < camera.width)
        inside &= (v >= 0) & (v < camera.height)
        at = np.flatnonzero(inside)
        reach = 1.5 + radius * max(camera.fx, camera.fy) / depth[at]
        near = view.distance[step, v[at].astype(np.int64), u[at].astype(np.int64)] <= reach
        seen[at] += 1
        covered[at[near]] += 1
    return seen, covered


def agreed(seen: np.ndarray, covered: np.ndarray, num_views: int, agreement: float) -> np.ndarray:
    """(N,) bool: enough views see a point, and enough of those have a silhouette there."""
    least = max(2, math.ceil(0.3 * num_views))
    needed = np.maximum(2, np.ceil(agreement * seen - 1e-9))
    return (seen >= least) & (covered >= needed)


def hull_points(
    views: Sequence[SilhouetteView],
    steps: Sequence[int],
    low: np.ndarray,
    high: np.ndarray,
    agreement: float,
    cells: int,
) -> np.ndarray:
    """Centres of the cells of a grid that are in the hull at any of some time steps.

    Args:
        views: V views.
        steps: time steps.
        low, high: (3,) corners of the grid.
        agreement: share of the views that see a cell which must have a silhouette there.
        cells: cells along the longest edge.

    Returns:
        (N, 3) world points.
    """
    size = float((high - low).max()) / cells
    axes = [
        low[k] + size * (np.arange(max(1, round((high[k] - low[k]) / size))) + 0.5)
        for k in range(3)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    found = np.zeros(len(grid), bool)
    for step in steps:
        rest = np.flatnonzero(~found)
        seen, covered = votes(views, step, grid[rest], radius=0.87 * size)
        found[rest] = agreed(seen, covered, len(views), agreement)
    return grid[found]
