"""The box around what moves, found from the videos themselves.

Pixels that change over time are marked in every view; a grid of voxels is carved to where the
marks of several views meet; depth from a plane sweep tells which of those voxels hold a surface.
Sources: visual hull from silhouettes (Laurentini, PAMI 1994) in its voting form.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from igs.frame0 import SweepSettings, plane_sweep
from igs.prepare.box_picture import box_silhouette, draw_moving_box
from igs.prepare.change_masks import change_masks
from igs.prepare.voxel_votes import SilhouetteView, agreed, hull_points, votes
from igs.render.paths import focus_point
from igs.scene import Box, Camera, SceneError, resize_image
from igs.scene.errors import list_names

__all__ = ["MovingBox", "MovingBoxSettings", "draw_moving_box", "find_moving_box"]

logger = logging.getLogger(__name__)

_LEVELS = 3
_MOST_DEPTH_RATIO = 20.0
_CLUSTER_CELLS = 32


@dataclass(frozen=True)
class MovingBoxSettings:
    """How the box is found.

    Attributes:
        width: image width in pixels at which frames are compared.
        num_frames: most frames looked at, spread evenly over those given.
        min_pixels: connected changes of fewer pixels count as noise.
        agreement: share of the views that see a place which must see it change.
        cells: cells along the longest edge of the grid that the silhouettes carve.
        sweep_frames: frames of which depth is computed.
        sweep_width: image width in pixels for the depth.
        sweep_depths: depths tried at each pixel.
        min_share: clusters of points of less than this share of all are outliers.
        min_points: fewest points with depth; below, the silhouettes' hull is taken.
        cut: share of the points beyond the box on either side of an axis, before the margin.
        padding: margin on each side, as a share of the box's longest edge.
    """

    width: int = 320
    num_frames: int = 12
    min_pixels: int = 12
    agreement: float = 0.75
    cells: int = 40
    sweep_frames: int = 4
    sweep_width: int = 128
    sweep_depths: int = 48
    min_share: float = 0.005
    min_points: int = 200
    cut: float = 0.002
    padding: float = 0.08


@dataclass(frozen=True)
class MovingBox:
    """The box, and what it rests on.

    Attributes:
        box: axis-aligned, world axes and units, padded.
        points: (P, 3) float64, the moving points in world axes that the box was put around.
        source: ``"surface"`` where depth gave the points, ``"hull"`` where only silhouettes did.
        masks: camera to (h, w) bool, the pixels that change at any of the frames looked at, at the
            width of the settings.
        changed: camera to the share (0..1) of such pixels.
        explained: camera to the share (0..1) of its changed pixels that lie in the box's outline.
        views: cameras in which something moves.
        frames: number of time steps looked at.
    """

    box: Box
    points: np.ndarray
    source: str
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
    settings = settings or MovingBoxSettings()
    _check(cameras, frames)
    chosen = _spread(len(frames), settings.num_frames)
    swept = [chosen[k] for k in _spread(len(chosen), settings.sweep_frames)]
    total = len(cameras) + 1 + len(swept)
    report = progress or (lambda done, of: None)
    masks: dict[str, np.ndarray] = {}
    for i, (name, camera) in enumerate(cameras.items()):
        small = [_small(frames[t][name], camera, settings.width) for t in chosen]
        masks[name] = change_masks(small, settings.min_pixels)
        report(i + 1, total)
    moving = _moving_views(masks)
    views = [SilhouetteView.make(cameras[name], masks[name]) for name in masks]
    hull = _hull(cameras, views, len(chosen), settings, depth_range)
    report(len(cameras) + 1, total)
    depths = _depths(cameras, hull)
    points = [
        _moving_surface(cameras, frames[t], views, chosen.index(t), depths, hull, settings)
        for t in _counted(swept, report, len(cameras) + 2, total)
    ]
    return _result(cameras, masks, moving, hull, points, settings)


def _check(cameras: Mapping[str, Camera], frames: Sequence[Mapping[str, np.ndarray]]) -> None:
    if len(cameras) < 2:
        raise SceneError(
            f"moving region: needs at least 2 cameras, got {len(cameras)}; give a box instead"
        )
    if len(frames) < 2:
        raise SceneError(
            f"moving region: needs at least 2 frames, got {len(frames)}; give a box instead"
        )
    for number, images in enumerate(frames):
        absent = [name for name in cameras if name not in images]
        if absent:
            raise SceneError(
                f"moving region: frame {number} has no image of camera {list_names(absent)}"
            )


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 .. count - 1, first and last among them, evenly spread."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / max(most - 1, 1)) for k in range(most)})


def _counted(
    steps: Sequence[int], report: Callable[[int, int], None], first: int, total: int
) -> Iterator[int]:
    for k, step in enumerate(steps):
        yield step
        report(first + k, total)


def _small(image: np.ndarray, camera: Camera, width: int) -> np.ndarray:
    width = min(width, camera.width, image.shape[1])
    return resize_image(image, width, max(1, round(camera.height * width / camera.width)))


def _moving_views(masks: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    shares = {name: float(mask.any(axis=0).mean()) for name, mask in masks.items()}
    moving = tuple(name for name, share in shares.items() if share > 0)
    if not moving:
        raise SceneError(
            "moving region: nothing moves in any of the "
            f"{len(masks)} views; take frames further apart, or give a box"
        )
    if len(moving) < 2:
        raise SceneError(
            f"moving region: something moves in camera {next(iter(moving))!r} only, of "
            f"{len(masks)}; two views must show it; is the camera itself shaken? Else give a box"
        )
    return moving


def _hull(
    cameras: Mapping[str, Camera],
    views: Sequence[SilhouetteView],
    steps: int,
    settings: MovingBoxSettings,
    depth_range: tuple[float, float] | None,
) -> np.ndarray:
    """(N, 3) cells that the silhouettes of most views meet in, on a grid refined twice."""
    low, high = _search_space(list(cameras.values()), depth_range)
    cells = np.zeros((0, 3))
    for level in range(_LEVELS):
        cells = hull_points(views, range(steps), low, high, settings.agreement, settings.cells)
        if len(cells) == 0:
            what = "the cameras wrong, or the videos not synchronised"
            raise SceneError(
                "moving region: pixels change in several views, but no place in space explains "
                f"them; are {what}? Else give a box"
            )
        size = float((high - low).max()) / settings.cells
        if level < _LEVELS - 1:
            low, high = cells.min(axis=0) - 1.5 * size, cells.max(axis=0) + 1.5 * size
    return cells


def _search_space(
    cameras: Sequence[Camera], depth_range: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the space looked through: around what the rig looks at, or all its frusta."""
    if depth_range is None:
        try:
            focus = focus_point(cameras)
        except ValueError as error:
            raise SceneError(
                f"moving region: give a depth range or a box, since {error}"
            ) from error
        reach = max(float(np.linalg.norm(focus - camera.center)) for camera in cameras)
        return focus - reach, focus + reach
    corners = []
    for camera in cameras:
        for depth in depth_range:
            for u in (0, camera.width):
                for v in (0, camera.height):
                    ray = [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0]
                    corners.append(camera.camera_to_world[:3] @ [*(np.array(ray) * depth), 1.0])
    return np.min(corners, axis=0), np.max(corners, axis=0)


def _depths(cameras: Mapping[str, Camera], hull: np.ndarray) -> tuple[float, float]:
    """Near and far of the hull over all cameras that have it in front of them."""
    near, far = [], []
    for camera in cameras.values():
        z = hull @ camera.world_to_camera[2, :3] + camera.world_to_camera[2, 3]
        if (z > 0).any():
            near.append(float(np.quantile(z[z > 0], 0.01)))
            far.append(float(z.max()))
    low, high = 0.9 * min(near), 1.1 * max(far)
    return max(low, high / _MOST_DEPTH_RATIO), high


def _moving_surface(
    cameras: Mapping[str, Camera],
    images: Mapping[str, np.ndarray],
    views: Sequence[SilhouetteView],
    step: int,
    depths: tuple[float, float],
    hull: np.ndarray,
    settings: MovingBoxSettings,
) -> np.ndarray:
    """(P, 3) surface points of one time step that most views see change."""
    sweep = SweepSettings(settings.sweep_width, settings.sweep_depths, neighbours=3)
    cloud = plane_sweep(list(cameras.values()), images, depths, sweep)
    points = cloud.positions.numpy().astype(np.float64)
    near = Box(hull.min(axis=0), hull.max(axis=0)).contains(points)
    points = points[near]
    seen, covered = votes(views, step, points)
    return points[agreed(seen, covered, len(views), settings.agreement)]


def _result(
    cameras: Mapping[str, Camera],
    masks: Mapping[str, np.ndarray],
    moving: tuple[str, ...],
    hull: np.ndarray,
    surfaces: Sequence[np.ndarray],
    settings: MovingBoxSettings,
) -> MovingBox:
    points = without_outliers(np.concatenate(surfaces), settings.min_share)
    source = "surface"
    if len(points) < settings.min_points:
        logger.warning(
            "moving region: depth was found at %d moving points only; the box is the hull of the "
            "silhouettes, which may be too deep",
            len(points),
        )
        points, source = without_outliers(hull, settings.min_share), "hull"
    low = np.quantile(points, settings.cut, axis=0)
    high = np.quantile(points, 1 - settings.cut, axis=0)
    margin = settings.padding * float((high - low).max())
    box = Box(low - margin, high + margin)
    union = {name: np.asarray(mask.any(axis=0)) for name, mask in masks.items()}
    return MovingBox(
        box=box,
        points=points,
        source=source,
        masks=union,
        changed={name: float(mask.mean()) for name, mask in union.items()},
        explained={n: _explained(cameras[n], mask, box) for n, mask in union.items()},
        views=moving,
        frames=len(next(iter(masks.values()))),
    )


def without_outliers(points: np.ndarray, min_share: float) -> np.ndarray:
    """Points (N, 3) less those in clusters of less than a share of all (8-neighbour cells)."""
    if len(points) == 0:
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    cell = max(float((high - low).max()) / _CLUSTER_CELLS, 1e-12)
    index = np.floor((points - low) / cell).astype(np.int64)
    grid = np.zeros(index.max(axis=0) + 1, bool)
    grid[tuple(index.T)] = True
    clusters = np.zeros(grid.shape, np.int32)
    label(grid, np.ones((3, 3, 3), bool), output=clusters)
    own = clusters[tuple(index.T)]
    sizes = np.bincount(own)
    return points[sizes[own] >= max(1.0, min_share * len(points))]


def _explained(camera: Camera, mask: np.ndarray, box: Box) -> float:
    """Share of a view's changed pixels inside the box's outline; 1 where nothing changes."""
    if not mask.any():
        return 1.0
    small = camera.resized(mask.shape[1], mask.shape[0])
    return float(box_silhouette(small, box)[mask].mean())
