"""The box around what moves, found from the videos themselves.

Pixels that change over time are marked in every view; a grid of voxels is carved to where the
marks of several views meet; depth from a plane sweep tells which of those voxels hold a surface.
Sources: visual hull from silhouettes (Laurentini, PAMI 1994) in its voting form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from igs.scene import Box, Camera


@dataclass(frozen=True)
class MovingBoxSettings:
    """How the box is found.

    Attributes:
        width: image width in pixels at which frames are compared.
        num_frames: most frames looked at, spread evenly over those given.
        padding: margin on each side, as a share of the box's longest edge.
    """

    width: int = 320
    num_frames: int = 16
    padding: float = 0.05


@dataclass(frozen=True)
class MovingBox:
    """The box, and what it rests on.

    Attributes:
        box: axis-aligned, world axes and units, padded.
        points: (P, 3) float64, the moving points in world axes that the box was put around.
        masks: camera to (h, w) bool, the pixels that change at any of the frames looked at, at the
            width of the settings.
        changed: camera to the share (0..1) of such pixels.
        explained: camera to the share (0..1) of its changed pixels that the points account for.
        views: cameras in which something moves.
        frames: number of time steps looked at.
    """

    box: Box
    points: np.ndarray
    masks: Mapping[str, np.ndarray]
    changed: Mapping[str, float]
    explained: Mapping[str, float]
    views: tuple[str, ...]
    frames: int

    @property
    def corners(self) -> np.ndarray:
        """(2, 3) float64: lower and upper corner."""
        return np.stack([self.box.minimum, self.box.maximum])


def find_moving_box(
    cameras: Mapping[str, Camera],
    frames: Sequence[Mapping[str, np.ndarray]],
    settings: MovingBoxSettings | None = None,
    depth_range: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MovingBox:
    """Find the box around everything that moves.

    Args:
        cameras: camera name to camera; two or more, free of distortion.
        frames: T >= 2 time steps, each camera name to (H, W, 3) uint8 of any size of the camera's
            shape. Spread over the recording; 8 to 16 are a good number.
        settings: see `MovingBoxSettings`.
        depth_range: near and far of the scene, world units; None takes the rig's.
        progress: called with (steps done, steps).

    Raises:
        SceneError: fewer than two cameras or frames, nothing that moves, or motion that no two
            views agree on; the message says what is lacking and that a box can be given.
    """
    raise NotImplementedError


def draw_moving_box(
    path: str | os.PathLike[str],
    cameras: Mapping[str, Camera],
    images: Mapping[str, np.ndarray],
    box: Box,
    masks: Mapping[str, np.ndarray] | None = None,
    max_views: int = 4,
    width: int = 480,
) -> None:
    """Write a picture (PNG or JPEG) with the box drawn into several views, side by side.

    Args:
        path: the picture.
        cameras: camera name to camera.
        images: camera name to (H, W, 3) uint8 of one time step.
        box: the box to draw.
        masks: camera name to (h, w) bool, changed pixels, which are tinted.
        max_views: number of views shown, spread over the rig.
        width: pixels across of each view.
    """
    raise NotImplementedError
