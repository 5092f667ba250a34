"""A rig: its cameras in order, which are held out, and what follows from how they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from igs.scene.camera import Camera
from igs.scene.distortion import Distortion
from igs.scene.errors import SceneError, nearest_hint

if TYPE_CHECKING:
    from igs.scene.bbox import Box

_MAX_CHOICES = 100_000


@dataclass(frozen=True)
class Rig:
    """Cameras in the order of their file, and what the file says besides.

    Attributes:
        cameras: name to camera, in order.
        held_out: names of the cameras used for evaluation only.
        distortion: lens distortion of the images as stored, for cameras that have any; frame
            sources take it out of the images, so that `cameras` fits what they yield.
        fps: frames per second of the capture, where the file says.
        num_frames: time steps of the capture, where the file says.

    Raises:
        SceneError: no camera, or a held-out or distorted camera that is not in the rig.
    """

    cameras: Mapping[str, Camera]
    held_out: tuple[str, ...] = ()
    distortion: Mapping[str, Distortion] = field(default_factory=dict)
    fps: float | None = None
    num_frames: int | None = None

    def __post_init__(self) -> None:
        if not self.cameras:
            raise SceneError("rig: there is no camera")
        for name in (*self.held_out, *self.distortion):
            if name not in self.cameras:
                raise SceneError(
                    f"rig: no camera is called {name!r}{nearest_hint(name, self.cameras)}"
                )

    @classmethod
    def of(cls, cameras: Rig | Mapping[str, Camera] | Iterable[Camera]) -> Rig:
        """A rig from a rig, a mapping or plain cameras (all of them training cameras).

        Raises:
            SceneError: two cameras of one name.
        """
        if isinstance(cameras, Rig):
            return cameras
        listed = list(cameras.values() if isinstance(cameras, Mapping) else cameras)
        named = {camera.name: camera for camera in listed}
        if len(named) != len(listed):
            seen: set[str] = set()
            twice = next(c.name for c in listed if c.name in seen or seen.add(c.name))
            raise SceneError(f"rig: two cameras are called {twice!r}")
        return cls(named)

    @property
    def training(self) -> dict[str, Camera]:
        """The cameras that are not held out, in order."""
        return {name: cam for name, cam in self.cameras.items() if name not in self.held_out}

    def subset(self, names: Sequence[str]) -> Rig:
        """The rig of these cameras only, in the order given.

        Raises:
            SceneError: a name that is not in the rig; the nearest right one is offered.
        """
        chosen = resolve_views(names, self.cameras)
        return replace(
            self,
            cameras={name: self.cameras[name] for name in chosen},
            held_out=tuple(name for name in self.held_out if name in chosen),
            distortion={n: self.distortion[n] for n in chosen if n in self.distortion},
        )

    def with_held_out(self, views: Sequence[str | int]) -> Rig:
        """The same rig with these cameras (names or positions) held out instead."""
        return replace(self, held_out=tuple(resolve_views(views, self.cameras)))


def resolve_views(spec: Sequence[str | int], cameras: Mapping[str, Camera]) -> list[str]:
    """Names of views that are given by name or by position in the camera list.

    Args:
        spec: names, or positions from 0 in the order of `cameras`.
        cameras: the rig's cameras in order.

    Raises:
        SceneError: an unknown name (the nearest right one is offered), a position that is not
            there, or a view named twice.
    """
    names = list(cameras)
    out: list[str] = []
    for view in spec:
        if isinstance(view, str):
            if view not in cameras:
                raise SceneError(f"views: no camera is called {view!r}{nearest_hint(view, names)}")
            name = view
        elif isinstance(view, (int, np.integer)) and not isinstance(view, bool):
            if not 0 <= view < len(names):
                raise SceneError(
                    f"views: position {view} is not in the rig of {len(names)} cameras "
                    f"(0 to {len(names) - 1})"
                )
            name = names[int(view)]
        else:
            raise SceneError(f"views: {view!r} is neither a camera's name nor its position")
        if name in out:
            raise SceneError(f"views: camera {name!r} is given twice")
        out.append(name)
    return out


def require_shape(path: Path, camera: Camera, width: int, height: int) -> None:
    """Check that an image of some size is the camera's image resized.

    Half a pixel of rounding in either size is what resizing may have cost.

    Raises:
        SceneError: the aspect ratios differ; the message names the file and the camera.
    """
    slack = 0.5 * max(width + height, camera.width + camera.height)
    if abs(width * camera.height - height * camera.width) > slack:
        raise SceneError(
            f"{path}: {width} x {height} pixels do not have the shape of camera "
            f"{camera.name!r} ({camera.width} x {camera.height})"
        )


def scene_radius(cameras: Mapping[str, Camera] | Iterable[Camera]) -> float:
    """1.1 times the largest distance of a camera centre from the mean centre, world units.

    It is 0 for a single camera. Source: spec `streaming.md`, section 3.
    """
    centers = _centers(_listed(cameras))
    return 1.1 * float(np.linalg.norm(centers - centers.mean(0), axis=1).max())


def mean_pose(cameras: Mapping[str, Camera] | Iterable[Camera]) -> np.ndarray:
    """(4, 4) float64 camera-to-world pose in the middle of the rig.

    The centre is the mean of the centres; z (forward) is the mean forward axis and y (down) the
    mean down axis made orthogonal to it.

    Raises:
        SceneError: axes that cancel out, such as a ring of cameras that look outwards.
    """
    listed = _listed(cameras)
    axes = np.stack([camera.camera_to_world[:3, :3] for camera in listed])
    forward, down = axes[:, :, 2].mean(0), axes[:, :, 1].mean(0)
    if np.linalg.norm(forward) < 1e-6:
        raise SceneError("rig: the viewing directions cancel out, so there is no mean pose")
    forward /= np.linalg.norm(forward)
    right = np.cross(down, forward)
    if np.linalg.norm(right) < 1e-6:
        raise SceneError("rig: the down axes cancel out, so there is no mean pose")
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = _centers(listed).mean(0)
    return pose


def _listed(cameras: Mapping[str, Camera] | Iterable[Camera]) -> list[Camera]:
    listed = list(cameras.values() if isinstance(cameras, Mapping) else cameras)
    if not listed:
        raise SceneError("rig: there is no camera")
    return listed


def _centers(cameras: list[Camera]) -> np.ndarray:
    return np.stack([camera.center for camera in cameras])


def choose_input_views(
    cameras: Mapping[str, Camera], count: int = 4, box: Box | None = None
) -> list[str]:
    """Pick views that stand for the whole rig: every camera has a chosen one close by.

    The choice minimises the summed distance of all cameras to the nearest chosen one (k-medoids),
    where distance counts position, in units of the rig's radius, and viewing axis.
    So the views are spread, yet not pushed to the rig's rim, where they would overlap least. No
    random numbers take part.

    Args:
        cameras: the cameras to choose from; leave held-out ones away.
        count: number of views.
        box: where the motion is; cameras that see less than half of what the best one sees of it
            are chosen only when the others are too few.

    Returns:
        `count` names in the order of `cameras`.

    Raises:
        SceneError: fewer cameras than `count`.
    """
    if not 1 <= count <= len(cameras):
        raise SceneError(f"views: {count} input views cannot be chosen from {len(cameras)} cameras")
    names = list(cameras)
    listed = [cameras[name] for name in names]
    allowed = np.arange(len(names))
    if box is not None:
        seen = np.array([_share_seen(camera, box) for camera in listed])
        enough = np.flatnonzero(seen >= 0.5 * seen.max())
        allowed = enough if len(enough) >= count else np.argsort(-seen, kind="stable")[:count]
    chosen = _medoids(_view_distances(listed), allowed, count)
    return [names[i] for i in sorted(chosen)]


def _view_distances(cameras: list[Camera]) -> np.ndarray:
    centers = _centers(cameras)
    centers = centers / max(scene_radius(cameras), 1e-12)
    axes = np.stack([camera.world_to_camera[2, :3] for camera in cameras])
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    return apart + np.linalg.norm(axes[:, None] - axes[None], axis=-1)


def _share_seen(camera: Camera, box: Box) -> float:
    steps = np.linspace(0.0, 1.0, 7)
    unit = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = box.minimum + unit * (box.maximum - box.minimum)
    local = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    depth = np.maximum(local[:, 2], 1e-9)
    u = camera.fx * local[:, 0] / depth + camera.cx
    v = camera.fy * local[:, 1] / depth + camera.cy
    inside = (local[:, 2] > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return float(inside.mean())


def _medoids(distance: np.ndarray, allowed: np.ndarray, count: int) -> list[int]:
    """The best choice of `count` among `allowed`: of all choices, or where they are too many, the
    one that greedy addition and then swaps lead to."""
    if comb(len(allowed), count) <= _MAX_CHOICES:
        choices = np.array(list(combinations(allowed.tolist(), count)))
        costs = [
            distance[:, part].min(axis=2).sum(axis=0)
            for part in np.array_split(choices, len(choices) // 10_000 + 1)
        ]
        return choices[np.argmin(np.concatenate(costs))].tolist()

    def cost(chosen: list[int]) -> float:
        return float(distance[:, chosen].min(axis=1).sum())

    chosen: list[int] = []
    for _ in range(count):
        rest = [int(i) for i in allowed if i not in chosen]
        chosen.append(min(rest, key=lambda i: cost([*chosen, i])))
    return _swapped(chosen, allowed, cost)


def _swapped(
    chosen: list[int], allowed: np.ndarray, cost: Callable[[list[int]], float]
) -> list[int]:
    improved = True
    while improved:
        improved = False
        for slot in range(len(chosen)):
            for other in (int(i) for i in allowed if i not in chosen):
                trial = [*chosen[:slot], other, *chosen[slot + 1 :]]
                if cost(trial) < cost(chosen) - 1e-12:
                    chosen, improved = trial, True
    return chosen
