"""Surfaces as evenly spread points with normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from igs.scene.synthetic import quaternions as quat


@dataclass(frozen=True)
class Surface:
    """n points of a surface in the shape's own axes.

    Attributes:
        points: (n, 3).
        normals: (n, 3), unit, outwards.
        spacing: (n,) distance to the neighbours, about.
    """

    points: np.ndarray
    normals: np.ndarray
    spacing: np.ndarray

    def moved(self, rotation: np.ndarray, origin: np.ndarray) -> Surface:
        """Turned by a (4,) unit quaternion, then shifted."""
        points = quat.rotate(rotation, self.points) + origin
        return Surface(points, quat.rotate(rotation, self.normals), self.spacing)

    @staticmethod
    def joined(surfaces: list[Surface]) -> Surface:
        """Several, one after the other."""
        names = ("points", "normals", "spacing")
        return Surface(*(np.concatenate([getattr(s, name) for s in surfaces]) for name in names))


class Shape(Protocol):
    """Something with a surface."""

    @property
    def area(self) -> float:
        """Of the surface."""
        ...

    def sample(self, count: int, rng: np.random.Generator) -> Surface:
        """About `count` points, evenly spread."""
        ...


@dataclass(frozen=True)
class Sheet:
    """A rectangle across x: y by z, normal along x."""

    width: float
    height: float

    @property
    def area(self) -> float:
        """Of one side."""
        return self.width * self.height

    def sample(self, count: int, rng: np.random.Generator) -> Surface:
        """See `Shape`."""
        plane, spacing = _lattice(self.width, self.height, count, rng)
        points = np.concatenate([np.zeros((len(plane), 1)), plane], axis=1)
        normals = np.broadcast_to([1.0, 0.0, 0.0], points.shape)
        return Surface(points, normals, np.full(len(points), spacing))


@dataclass(frozen=True)
class Block:
    """A box about the origin.

    Attributes:
        size: (3,) edge lengths.
    """

    size: np.ndarray

    @property
    def area(self) -> float:
        """Of all six faces."""
        a, b, c = self.size
        return float(2 * (a * b + b * c + c * a))

    def sample(self, count: int, rng: np.random.Generator) -> Surface:
        """See `Shape`."""
        faces = []
        for axis in range(3):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            sheet = Sheet(float(self.size[first]), float(self.size[second]))
            for side in (-1.0, 1.0):
                flat = sheet.sample(round(count * sheet.area / self.area), rng)
                points = np.roll(flat.points, axis, axis=1)
                points[:, axis] = side * self.size[axis] / 2
                normals = np.zeros_like(points)
                normals[:, axis] = side
                faces.append(Surface(points, normals, flat.spacing))
        return Surface.joined(faces)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid about the origin, with bumps.

    Attributes:
        radii: (3,) half axes.
        bumps: height of the bumps as a share of the radius; 0 for none.
    """

    radii: np.ndarray
    bumps: float = 0.0

    @property
    def area(self) -> float:
        """Of the ellipsoid without bumps, within two percent (Thomsen)."""
        a, b, c = self.radii**1.6075
        return float(4 * np.pi * ((a * b + b * c + c * a) / 3) ** (1 / 1.6075))

    def sample(self, count: int, rng: np.random.Generator) -> Surface:
        """See `Shape`."""
        ball = _fibonacci(max(count, 8), rng)
        normals = ball / self.radii
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        stretch = np.prod(self.radii) * length[:, 0]
        spacing = np.sqrt(4 * np.pi / len(ball) * stretch)
        points = ball * self.radii
        if self.bumps > 0:
            waves = rng.normal(size=(3, 6)) * 3
            lift = np.sin(ball @ waves + rng.uniform(0, 2 * np.pi, 6)).mean(axis=1)
            points = points * (1 + 2 * self.bumps * lift[:, None])
        return Surface(points, normals / length, spacing)


@dataclass(frozen=True)
class Capsule:
    """A tube along z, about the origin, with half balls as ends."""

    radius: float
    length: float

    @property
    def area(self) -> float:
        """Of tube and ends."""
        return 2 * np.pi * self.radius * (self.length + 2 * self.radius)

    def sample(self, count: int, rng: np.random.Generator) -> Surface:
        """See `Shape`."""
        around = 2 * np.pi * self.radius
        share = self.length / (self.length + 2 * self.radius)
        plane, spacing = _lattice(around, self.length, round(count * share), rng)
        angle = plane[:, 0] / self.radius
        normals = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
        tube = self.radius * normals
        tube[:, 2] = plane[:, 1]
        ball = _fibonacci(max(round(count * (1 - share)), 8), rng)
        ends = self.radius * ball
        ends[:, 2] += np.sign(ball[:, 2]) * self.length / 2
        at_ends = np.full(len(ends), np.sqrt(4 * np.pi / len(ends)) * self.radius)
        return Surface(
            np.concatenate([tube, ends]),
            np.concatenate([normals, ball]),
            np.concatenate([np.full(len(tube), spacing), at_ends]),
        )


def _lattice(
    width: float, height: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(n, 2) points of a jittered, staggered lattice about the origin, and their spacing."""
    spacing = np.sqrt(width * height / max(count, 1))
    columns, rows = max(round(width / spacing), 1), max(round(height / spacing), 1)
    u = (np.arange(columns)[None, :] + 0.5 * (np.arange(rows)[:, None] % 2) + 0.25) / columns
    v = np.broadcast_to((np.arange(rows)[:, None] + 0.5) / rows, u.shape)
    cells = np.stack([u, v], axis=-1).reshape(-1, 2)
    jitter = rng.uniform(-0.25, 0.25, cells.shape) / (columns, rows)
    return (np.clip(cells + jitter, 0, 1) - 0.5) * (width, height), float(spacing)


def _fibonacci(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) unit vectors on a spiral from pole to pole, at a random attitude about z."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
