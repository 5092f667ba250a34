"""What stands still: a room or open ground, clutter, and things in the way of some cameras."""

from __future__ import annotations

import numpy as np

from igs.scene.camera import Camera
from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.actors import Stage, solid
from igs.scene.synthetic.motion import Y, Z
from igs.scene.synthetic.parts import Part, Piece, joined, make_part, select
from igs.scene.synthetic.shapes import Block, Capsule, Sheet

_TRIAL = 2_000
_WALL_SHARE = (0.4, 0.7)


def draw_surroundings(stage: Stage, cameras: list[Camera], count: int) -> Part:
    """About `count` Gaussians that some camera sees (or would, were nothing in the way)."""
    walls = round(count * stage.rng.uniform(*_WALL_SHARE))
    parts = [
        _seen(stage, cameras, _room(stage, cameras), walls),
        _seen(stage, cameras, _clutter(stage, cameras), count - walls),
    ]
    return joined(parts)


def _seen(stage: Stage, cameras: list[Camera], pieces: list[Piece], count: int) -> Part:
    trial = make_part(pieces, _TRIAL, stage.rng)
    share = max(seen_by_any(cameras, trial.points).mean(), 0.02)
    part = make_part(pieces, round(count / share), stage.rng)
    return select(part, seen_by_any(cameras, part.points))


def seen_by_any(cameras: list[Camera], points: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """(n,) bool: which of the (n, 3) points lie in a picture, or within a margin around it."""
    seen = np.zeros(len(points), dtype=bool)
    for camera in cameras:
        pose = camera.world_to_camera
        x, y, z = pose[:3, :3] @ points.T + pose[:3, 3:]
        wide = (0.5 + margin) * camera.width / camera.fx
        high = (0.5 + margin) * camera.height / camera.fy
        seen |= (z > 0) & (np.abs(x) < wide * z) & (np.abs(y) < high * z)
    return seen


def _room(stage: Stage, cameras: list[Camera]) -> list[Piece]:
    """Walls, floor and ceiling around region and cameras; far walls and ceiling are outdoors."""
    rng = stage.rng
    centers = np.array([camera.center for camera in cameras])
    low = np.minimum(centers.min(axis=0) - 0.3, -stage.half)
    high = np.maximum(centers.max(axis=0) + 0.3, stage.half)
    open_air = rng.random() < 0.25
    grow = rng.uniform(2, 5) if open_air else rng.uniform(0.1, 1.2)
    extra = grow * float(stage.half.mean()) * rng.uniform(0.5, 1.5, (2, 3))
    low, high = low - extra[0], high + extra[1]
    high[1] = stage.half[1] * rng.uniform(1.0, 1.2)  # the floor: y points down
    size, middle = high - low, (low + high) / 2
    # A sheet is y by z with its normal along x: sizes and turns that make it each wall.
    walls = (
        (0, Sheet(size[1], size[2]), quat.IDENTITY),
        (1, Sheet(size[0], size[2]), quat.from_axis_angle(Z, np.pi / 2)),
        (2, Sheet(size[1], size[0]), quat.from_axis_angle(Y, -np.pi / 2)),
    )
    pieces = []
    for axis, sheet, turn in walls:
        for end in (low, high):
            origin = middle.copy()
            origin[axis] = end[axis]
            pieces.append(stage.piece(sheet, origin, turn))
    return pieces


def _clutter(stage: Stage, cameras: list[Camera]) -> list[Piece]:
    rng = stage.rng
    pieces = [p for p in (_thing(stage, cameras) for _ in range(rng.integers(3, 13))) if p]
    pieces += [_occluder(stage, cameras) for _ in range(rng.integers(stage.config.occluders + 1))]
    table = np.array([*(stage.half[[0, 2]] * rng.uniform(0.3, 0.8, 2)), 0.1])[[0, 2, 1]]
    height = stage.half[1] * rng.uniform(0.2, 0.95)
    return [*pieces, stage.piece(Block(table), np.array([0.0, height, 0.0]), quat.IDENTITY)]


def _thing(stage: Stage, cameras: list[Camera]) -> Piece | None:
    """Something near the region, mostly on the floor, not in front of a lens."""
    rng = stage.rng
    size = float(stage.half.mean() * rng.uniform(0.1, 0.6))
    origin = stage.half * rng.uniform(-2, 2, 3)
    if rng.random() < 0.7:
        origin[1] = stage.half[1] - 0.4 * size
    centers = np.array([camera.center for camera in cameras])
    nearest = np.linalg.norm(centers - origin, axis=1).min()
    if nearest < 0.35 * np.linalg.norm(centers, axis=1).mean() + size:
        return None
    return stage.piece(solid(rng, size), origin, quat.draw(rng))


def _occluder(stage: Stage, cameras: list[Camera]) -> Piece:
    """A pole or a board between a camera and the region."""
    rng = stage.rng
    camera = cameras[rng.integers(len(cameras))]
    origin = camera.center * rng.uniform(0.4, 0.7) + rng.normal(size=3) * 0.2 * stage.half
    size = float(stage.half.mean() * rng.uniform(0.05, 0.2))
    board = Sheet(2 * size, 3 * size) if rng.random() < 0.5 else Capsule(0.3 * size, 8 * size)
    return stage.piece(board, origin, quat.draw(rng))
