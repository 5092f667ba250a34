"""Camera rigs around the region, and the world that they are given in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from igs.scene.camera import Camera
from igs.scene.rotations import quat_from_rotation
from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.config import SyntheticSceneConfig

_ASPECTS = (4 / 3, 4 / 3, 16 / 9, 16 / 9, 3 / 2, 1.0, 3 / 4)


@dataclass(frozen=True)
class RigPlan:
    """How the cameras of one kind stand: angles in degrees, azimuth 0 is in front (at -z).

    Attributes:
        cameras: fewest and most.
        half_width: half of the azimuths covered.
        elevation: lowest and highest.
        rows: fewest and most rows.
        fill: how large the region is in the pictures, half its diagonal by half the short side.
        closed: the cameras go all the way round.
    """

    cameras: tuple[int, int]
    half_width: tuple[float, float]
    elevation: tuple[float, float]
    rows: tuple[int, int]
    fill: tuple[float, float]
    closed: bool = False


PLANS = {
    "arc": RigPlan((13, 21), (18.0, 45.0), (-5.0, 25.0), (2, 3), (0.9, 2.4)),
    "meeting": RigPlan((10, 13), (30.0, 65.0), (5.0, 40.0), (1, 2), (0.9, 2.4)),
    "ring": RigPlan((8, 24), (180.0, 180.0), (0.0, 45.0), (1, 3), (0.9, 2.4), closed=True),
}


def draw_rig(
    rng: np.random.Generator, config: SyntheticSceneConfig, kind: str, half: np.ndarray
) -> list[Camera]:
    """Cameras in stage axes (y down) that look at the region about the origin.

    Args:
        rng: draws everything.
        config: ranges.
        kind: one of `RIG_KINDS`.
        half: (3,) half extents of the region.
    """
    plan = PLANS[kind]
    width, height, focal = _lens(rng, config)
    short = min(width, height) / (2 * focal)
    radius = float(np.linalg.norm(half)) / (short * rng.uniform(*plan.fill))
    radius = max(radius, 1.2 * float(np.linalg.norm(half)))
    cameras = []
    for name, (azimuth, elevation) in enumerate(_directions(rng, plan)):
        distance = radius * rng.uniform(0.92, 1.08)
        away = np.array(
            [
                np.sin(azimuth) * np.cos(elevation),
                -np.sin(elevation),
                -np.cos(azimuth) * np.cos(elevation),
            ]
        )
        target = rng.normal(size=3) * 0.1 * half
        f = focal * rng.uniform(0.98, 1.02)
        pose = look_at(distance * away, target, rng.normal() * 0.02)
        cameras.append(Camera(f"cam{name:02d}", width, height, f, f, width / 2, height / 2, pose))
    return cameras


def _lens(rng: np.random.Generator, config: SyntheticSceneConfig) -> tuple[int, int, float]:
    """Width, height and focal length, pixels."""
    long = int(rng.integers(config.image_long_side[0], config.image_long_side[1] + 1))
    aspect = _ASPECTS[rng.integers(len(_ASPECTS))]
    width, height = (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)
    low, high = np.tan(np.radians(config.field_of_view) / 2)
    return width, height, long / (2 * float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _directions(rng: np.random.Generator, plan: RigPlan) -> list[tuple[float, float]]:
    """Azimuth and elevation of every camera, radians."""
    count, rows = (
        int(rng.integers(*plan.cameras, endpoint=True)),
        int(rng.integers(*plan.rows, endpoint=True)),
    )
    half = np.radians(rng.uniform(*plan.half_width))
    low, high = np.sort(np.radians(rng.uniform(*plan.elevation, 2)))
    heights = np.linspace(low, high, rows)
    placed = []
    for row in range(rows):
        columns = len(range(row, count, rows))
        gap = 2 * half / (columns if plan.closed else max(columns - 1, 1))
        for column in range(columns):
            azimuth = -half + gap * (column + 0.5 * (row % 2) * plan.closed)
            jitter = rng.normal(size=2) * (0.08 * gap, 0.02)
            placed.append((azimuth + jitter[0], heights[row] + jitter[1]))
    return placed


def look_at(center: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """(4, 4) world_to_camera of an upright camera (y down) rolled by some radians."""
    forward = target - center
    forward = forward / np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned = np.cos(roll) * right + np.sin(roll) * down
    pose = np.eye(4)
    pose[:3, :3] = np.stack([turned, np.cross(forward, turned), forward])
    pose[:3, 3] = -pose[:3, :3] @ center
    return pose


@dataclass(frozen=True)
class Similarity:
    """From stage to world: ``x_world = scale R x_stage + shift``.

    Attributes:
        scale: world units per stage unit.
        rotation: (4,) unit quaternion of R.
        shift: (3,) world units.
    """

    scale: float
    rotation: np.ndarray
    shift: np.ndarray

    def points(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) stage points to the world."""
        return self.scale * quat.rotate(self.rotation, points) + self.shift

    def camera(self, camera: Camera) -> Camera:
        """A camera of the stage in the world."""
        rotation = camera.world_to_camera[:3, :3] @ quat.to_matrices(self.rotation).T
        pose = np.eye(4)
        pose[:3, :3] = rotation
        pose[:3, 3] = -rotation @ self.points(camera.center)
        return replace(camera, world_to_camera=pose)


def draw_world(
    rng: np.random.Generator, config: SyntheticSceneConfig, cameras: list[Camera]
) -> Similarity:
    """The unit, axes and origin that a capture happens to have."""
    low, high = np.log(config.world_unit)
    scale = float(np.exp(rng.uniform(low, high)))
    kind = rng.random()
    if kind < config.upright_share:
        middle = cameras[int(np.argmin([np.abs(c.center[0]) + c.center[2] for c in cameras]))]
        tilt = quat.from_axis_angle(quat.draw_axis(rng), rng.normal() * np.radians(4))
        rotation = quat.product(tilt, quat_from_rotation(middle.world_to_camera[:3, :3]))
    elif kind < (1 + config.upright_share) / 2:
        heading = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), rng.uniform(0, 2 * np.pi))
        quarter = rng.choice([0.0, -0.5, 0.5, 1.0]) * np.pi  # y down, z up, z down, y up
        rotation = quat.product(quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), quarter), heading)
    else:
        rotation = quat.draw(rng)
    unplaced = Similarity(scale, rotation, np.zeros(3))
    origin = np.mean([c.center for c in cameras], axis=0) * rng.choice([0.0, 1.0])
    return replace(unplaced, shift=scale * rng.normal(size=3) * 0.3 - unplaced.points(origin))
