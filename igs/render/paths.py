"""Camera paths for free views.

Source of the spiral: spec `streaming.md`, section 7 and fault 31 of section 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from igs.scene import Camera

_LEGACY_FOCUS = 18.35  # distance before the mean camera, units of the authors' worlds
_RADIUS_PERCENTILE = 90


@dataclass(frozen=True)
class _MeanPose:
    """Axes of the average camera: `left`, `upward` and `back` are orthonormal."""

    center: np.ndarray
    left: np.ndarray
    upward: np.ndarray
    back: np.ndarray
    up: np.ndarray


def spiral_path(
    cameras: Sequence[Camera],
    num_views: int = 299,
    *,
    focus: Sequence[float] | np.ndarray | None = None,
    turns: float = 2.0,
    scale: float = 1.0,
    legacy: bool = False,
) -> list[Camera]:
    """A spiral about the mean camera that looks at one point.

    Its half axes are the 90th percentile of the cameras' offsets from the mean pose, along the
    mean pose's own axes. With `legacy` they are those of the absolute world coordinates, along the
    world's axis of the same number, and the focus lies 18.35 units before the mean camera: the
    released program's path.

    Args:
        cameras: the rig; the first one lends size and intrinsics.
        num_views: number of cameras returned.
        focus: (3,) world point to look at, such as the centre of the scene's box; None takes
            `focus_point`. Not used with `legacy`.
        turns: number of turns.
        scale: factor on the half axes.
        legacy: reproduce the released program; it has 299 views and 2 turns.

    Raises:
        ValueError: no cameras, a count below one, or a focus that cannot be found.
    """
    _check(cameras, num_views)
    mean = _mean_pose(cameras)
    positions = np.stack([camera.center for camera in cameras])
    if legacy:
        offsets, target = positions, mean.center - _LEGACY_FOCUS * mean.back
    else:
        axes = np.stack([mean.left, mean.upward, mean.back], axis=1)
        offsets = (positions - mean.center) @ axes
        target = focus_point(cameras) if focus is None else np.asarray(focus, np.float64)
    radii = scale * np.percentile(np.abs(offsets), _RADIUS_PERCENTILE, axis=0)
    path = []
    for i in range(num_views):
        theta = 2 * np.pi * turns * i / num_views
        center = (
            mean.center
            + mean.left * radii[0] * np.cos(theta)
            - mean.upward * radii[1] * np.sin(theta)
            - mean.back * radii[2] * np.sin(theta / 2)
        )
        path.append(_moved(cameras[0], f"spiral_{i:04d}", look_at(center, target, mean.up)))
    return path


def orbit_path(
    camera: Camera,
    focus: Sequence[float] | np.ndarray,
    num_views: int,
    *,
    up: Sequence[float] | np.ndarray | None = None,
    angle: float = 2 * np.pi,
) -> list[Camera]:
    """Turn a camera about an axis through a point it looks at.

    Args:
        camera: first view; its position, size and intrinsics are used.
        focus: (3,) world point to look at.
        num_views: number of cameras returned.
        up: (3,) axis to turn about, world axes; None takes the camera's own up.
        angle: radians between the first view and the one behind the last.

    Raises:
        ValueError: a count below one, a zero axis, or a camera that looks along it.
    """
    _check([camera], num_views)
    target = np.asarray(focus, np.float64)
    axis = -camera.world_to_camera[1, :3] if up is None else _unit(np.asarray(up, np.float64), "up")
    arm = camera.center - target
    path = []
    for i in range(num_views):
        turn = Rotation.from_rotvec(axis * (angle * i / num_views))
        pose = look_at(target + turn.apply(arm), target, axis)
        path.append(_moved(camera, f"orbit_{i:04d}", pose))
    return path


def interpolate_cameras(
    start: Camera,
    end: Camera,
    num_views: int,
    *,
    around: Sequence[float] | np.ndarray | None = None,
) -> list[Camera]:
    """Move from one camera to another, both included; orientation turns at a constant rate.

    Args:
        start: first view; lends the image size.
        end: last view.
        num_views: number of cameras returned; 1 gives the first.
        around: (3,) world point; the centre then moves on an arc about it instead of a line.

    Raises:
        ValueError: a count below one, or a camera placed at `around`.
    """
    _check([start, end], num_views)
    end = end.resized(start.width, start.height)
    poses = np.stack([start.camera_to_world, end.camera_to_world])
    slerp = Slerp([0.0, 1.0], Rotation.from_matrix(poses[:, :3, :3]))
    path = []
    for i, t in enumerate(np.linspace(0.0, 1.0, num_views)):
        pose = np.eye(4)
        pose[:3, :3] = slerp(t).as_matrix()
        pose[:3, 3] = _between(poses[0, :3, 3], poses[1, :3, 3], t, around)
        numbers = {
            name: (1 - t) * getattr(start, name) + t * getattr(end, name)
            for name in ("fx", "fy", "cx", "cy")
        }
        path.append(replace(_moved(start, f"between_{i:04d}", pose), **numbers))
    return path


def tour_path(
    cameras: Sequence[Camera],
    views_per_leg: int,
    *,
    around: Sequence[float] | np.ndarray | None = None,
) -> list[Camera]:
    """Visit cameras in their order, on straight legs or arcs about a point.

    Args:
        cameras: at least two stops.
        views_per_leg: cameras from one stop up to, but without, the next.
        around: see `interpolate_cameras`.

    Returns:
        ``(len(cameras) - 1) * views_per_leg + 1`` cameras.

    Raises:
        ValueError: fewer than two cameras, or a count below one.
    """
    _check(cameras, views_per_leg)
    if len(cameras) < 2:
        raise ValueError(f"a tour needs at least two cameras, got {len(cameras)}")
    path: list[Camera] = []
    stops = [camera.resized(cameras[0].width, cameras[0].height) for camera in cameras]
    for start, end in pairwise(stops):
        path[-1:] = interpolate_cameras(start, end, views_per_leg + 1, around=around)
    return [replace(camera, name=f"tour_{i:04d}") for i, camera in enumerate(path)]


def focus_point(cameras: Sequence[Camera]) -> np.ndarray:
    """(3,) world point nearest to all optical axes, in the sense of least squares.

    Raises:
        ValueError: axes that are parallel, or that meet behind the cameras.
    """
    _check(cameras, 1)
    centers = np.stack([camera.center for camera in cameras])
    forward = np.stack([camera.world_to_camera[2, :3] for camera in cameras])
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    system = across.sum(0)
    # Its smallest eigenvalue is the sum of squared sines between an axis and the common one.
    if np.linalg.eigvalsh(system)[0] < 1e-4 * len(cameras):
        raise ValueError("the optical axes are parallel and meet nowhere; give a focus point")
    point = np.linalg.solve(system, (across @ centers[:, :, None]).sum(0)[:, 0])
    if np.median(((point - centers) * forward).sum(-1)) <= 0:
        raise ValueError("the optical axes meet behind the cameras; give a focus point")
    return point


def look_at(center: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(4, 4) camera-to-world pose, OpenCV axes, that looks from a point to another.

    Args:
        center: (3,) camera centre, world axes.
        target: (3,) point in the image centre.
        up: (3,) direction that shall point up in the image.

    Raises:
        ValueError: the two points coincide, or `up` lies along the view.
    """
    back = _unit(center - target, "view direction")
    right = _unit(np.cross(up, back), "right axis (up lies along the view)")
    pose = np.eye(4)
    pose[:3] = np.stack([right, -np.cross(back, right), -back, center], axis=1)
    return pose


def _mean_pose(cameras: Sequence[Camera]) -> _MeanPose:
    rotations = np.stack([camera.camera_to_world[:3, :3] for camera in cameras])
    ups = -rotations[:, :, 1]
    back = _unit(-rotations[:, :, 2].mean(0), "mean view direction")
    # The released program's cross product has this order, so its first axis points left.
    left = _unit(np.cross(back, ups.mean(0)), "mean left axis")
    center = np.mean([camera.center for camera in cameras], axis=0)
    return _MeanPose(center, left, np.cross(left, back), back, _unit(ups.sum(0), "mean up axis"))


def _moved(camera: Camera, name: str, camera_to_world: np.ndarray) -> Camera:
    rotation, center = camera_to_world[:3, :3], camera_to_world[:3, 3]
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ center
    return replace(camera, name=name, world_to_camera=pose)


def _between(
    start: np.ndarray,
    end: np.ndarray,
    t: float,
    around: Sequence[float] | np.ndarray | None,
) -> np.ndarray:
    if around is None:
        return (1 - t) * start + t * end
    pivot = np.asarray(around, np.float64)
    arms = start - pivot, end - pivot
    lengths = [float(np.linalg.norm(arm)) for arm in arms]
    first, last = (_unit(arm, "arm from the pivot") for arm in arms)
    axis, cosine = np.cross(first, last), float(first @ last)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9 and cosine < 0:
        raise ValueError("camera path: the two cameras face each other across `around`; no arc")
    angle = np.arctan2(sine, cosine)
    swung = Rotation.from_rotvec(axis * (t * angle / max(sine, 1e-12))).apply(first)
    return pivot + swung * ((1 - t) * lengths[0] + t * lengths[1])


def _unit(vector: np.ndarray, what: str) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    if not length > 1e-9:
        raise ValueError(f"camera path: {what} has no direction")
    return vector / length


def _check(cameras: Sequence[Camera], num_views: int) -> None:
    if not cameras:
        raise ValueError("camera path: no cameras given")
    if num_views < 1:
        raise ValueError(f"camera path: {num_views} views asked for, at least 1 is needed")
