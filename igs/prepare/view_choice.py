"""Which views the motion network gets: spread over the rig, with good overlap on what moves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igs.scene import (
    Box,
    Camera,
    Rig,
    SceneError,
    SceneFolder,
    choose_input_views,
    generate_pairs,
    resolve_views,
    write_pairs,
)
from igs.scene.errors import list_names

DEFAULT_INPUT_VIEWS = 4
_GRID = 9  # points along each edge of the box
_WIDE_ANGLE = 60.0  # degrees; beyond it two views hardly show the same surface
_SEES_LITTLE = 0.5


@dataclass(frozen=True)
class ViewChoice:
    """Input views and what they see.

    Attributes:
        views: names of the chosen cameras, in the order of the rig.
        seen: chosen camera to the share (0..1) of a grid of points in the box inside its image.
        angles: chosen camera to the angle in degrees, at the box's centre, to the nearest other
            chosen one; 180 where there is only one.
        covered: share (0..1) of the box's grid that at least two chosen views see.
        warnings: in words, what is wanting; empty where all is well.
    """

    views: tuple[str, ...]
    seen: Mapping[str, float]
    angles: Mapping[str, float]
    covered: float
    warnings: tuple[str, ...] = ()


def choose_views(
    rig: Rig,
    box: Box,
    count: int = DEFAULT_INPUT_VIEWS,
    given: Sequence[str | int] | None = None,
) -> ViewChoice:
    """Choose the network's input views among a rig's training cameras, or judge given ones.

    The choice is `igs.scene.choose_input_views`: k-medoids over position and viewing axis, among
    the cameras that see enough of the box. Held-out cameras are never chosen. The same rig and box
    always give the same views.

    Args:
        rig: cameras, with those held out marked.
        box: where the motion is.
        count: number of views; ignored where views are given.
        given: names or positions in the rig to take instead, in this order.

    Raises:
        SceneError: fewer training cameras than `count`, a given view that is not in the rig, given
            twice, or held out.
    """
    if given is None:
        views = choose_input_views(rig.training, count, box)
    else:
        views = resolve_views(given, rig.cameras)
        held = [name for name in views if name in rig.held_out]
        if held:
            raise SceneError(
                f"input views: {list_names(held)} held out for evaluation; choose among "
                f"{list_names(rig.training)}"
            )
        if not views:
            raise SceneError("input views: none is given")
    cameras = [rig.cameras[name] for name in views]
    visible = np.stack([sees(camera, _grid(box)) for camera in cameras])
    seen = {n: float(row.mean()) for n, row in zip(views, visible, strict=True)}
    angles = dict(zip(views, nearest_angles(cameras, box.center), strict=True))
    covered = float((visible.sum(axis=0) >= min(2, len(views))).mean())
    return ViewChoice(tuple(views), seen, angles, covered, _warnings(seen, angles, covered))


def sees(camera: Camera, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which of (N, 3) world points fall into a camera's image."""
    local = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    depth = np.maximum(local[:, 2], 1e-9)
    u = camera.fx * local[:, 0] / depth + camera.cx
    v = camera.fy * local[:, 1] / depth + camera.cy
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return inside & (local[:, 2] > 1e-9)


def nearest_angles(cameras: Sequence[Camera], point: np.ndarray) -> list[float]:
    """Degrees at a point between each camera and the nearest other; 180 for a single one."""
    rays = np.stack([camera.center - point for camera in cameras])
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    apart = np.degrees(np.arccos(np.clip(rays @ rays.T, -1.0, 1.0)))
    np.fill_diagonal(apart, 180.0)
    return [float(value) for value in apart.min(axis=1)]


def write_scene_pairs(
    dataset_root: str | os.PathLike[str], scene: str, num_frames: int, intervals: Sequence[int]
) -> list[Path]:
    """Write a scene's pair files to where the layout has them, one for each interval.

    Args:
        dataset_root: the folder that holds the scene's folder and the pair files.
        scene: name of the scene.
        num_frames: its time steps, at least 2.
        intervals: frames from one key frame to the next, one file each.

    Returns:
        The files' paths.

    Raises:
        SceneError: fewer than two frames, or an interval below 1.

    Source: spec `streaming.md`, section 2.1.
    """
    folder = SceneFolder(Path(dataset_root), scene)
    pairs = {interval: generate_pairs(scene, num_frames, interval) for interval in intervals}
    paths = []
    for interval, file in pairs.items():
        paths.append(folder.pair_path(num_frames, interval))
        write_pairs(paths[-1], file)
    return paths


def _grid(box: Box) -> np.ndarray:
    steps = np.linspace(0.0, 1.0, _GRID)
    unit = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return box.minimum + unit * box.size


def _warnings(
    seen: Mapping[str, float], angles: Mapping[str, float], covered: float
) -> tuple[str, ...]:
    out = [
        f"input view {name} sees {share:.0%} of the box only"
        for name, share in seen.items()
        if share < _SEES_LITTLE
    ]
    out += [
        f"input view {name} stands {angle:.0f} degrees from the nearest other; beyond "
        f"{_WIDE_ANGLE:.0f} two views show little of the same"
        for name, angle in angles.items()
        if angle > _WIDE_ANGLE and len(angles) > 1
    ]
    if covered < _SEES_LITTLE:
        out.append(f"only {covered:.0%} of the box is seen by two input views")
    return tuple(out)
