"""Closed forms of motion: where bones and deformed points are at any time, in frames.

A part is moved in two steps. A deformation moves the points within the part; then each point goes
along with its bone. Either step gives the rotation of the material about each point, the
deformation in the sense of the polar decomposition ``F = R U`` of its gradient F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from igs.scene.synthetic import quaternions as quat

X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Wave:
    """A value over time: ``offset + rate t + amplitude sin(frequency t + phase)``.

    Time in frames, angles in radians; the value in whatever unit it is used in.
    """

    offset: float = 0.0
    amplitude: float = 0.0
    frequency: float = 0.0
    phase: float = 0.0
    rate: float = 0.0

    def at(self, time: float) -> float:
        """The value at one time."""
        swing = self.amplitude * np.sin(self.frequency * time + self.phase)
        return float(self.offset + self.rate * time + swing)


STILL = Wave()


@dataclass(frozen=True)
class Skeleton:
    """B bones, each hinged to its parent.

    Attributes:
        position: three waves, the origin of bone 0 in stage axes.
        offsets: (B, 3) origin of each bone in the axes of its parent; row 0 is not used.
        rest: (B, 4) unit quaternions, attitude to the parent at angle 0.
        axes: (B, 3) unit axes of the hinges, in the bone's own axes.
        angles: B waves, angles about them.
        parents: B rows, each below its own; -1 for bone 0.
    """

    position: tuple[Wave, Wave, Wave]
    offsets: np.ndarray
    rest: np.ndarray
    axes: np.ndarray
    angles: tuple[Wave, ...]
    parents: tuple[int, ...] = (-1,)

    @classmethod
    def single(
        cls, position: tuple[Wave, Wave, Wave], rest: np.ndarray, axis: np.ndarray, angle: Wave
    ) -> Skeleton:
        """One bone."""
        return cls(position, np.zeros((1, 3)), rest[None], axis[None], (angle,))

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(B, 4) rotations and (B, 3) origins of the bones in stage axes."""
        angles = np.array([wave.at(time) for wave in self.angles])
        turns = quat.product(self.rest, quat.from_axis_angle(self.axes, angles))
        origins = np.array([[wave.at(time) for wave in self.position]] * len(turns))
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                origins[bone] = origins[parent] + quat.rotate(turns[parent], self.offsets[bone])
                turns[bone] = quat.product(turns[parent], turns[bone])
        return turns, origins


class Deformation(Protocol):
    """How the points of a part move within it."""

    def at(self, points: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) points at rest to (n, 3) moved points and (n, 4) local rotations."""
        ...


@dataclass(frozen=True)
class Bending:
    """Bends the z axis into an arc of the xz plane, of a curvature that changes over time.

    The gradient is a rotation about y times a stretch along z, so the rotation is that of the arc.
    """

    curvature: Wave

    def at(self, points: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Deformation`."""
        curvature = self.curvature.at(time)
        x, y, z = points.T
        angle = curvature * z
        # The centre line is (1 - cos a) / k, sin a / k; sinc keeps both finite at k = 0.
        along = z * np.sinc(angle / np.pi)
        across = z * np.sin(angle / 2) * np.sinc(angle / (2 * np.pi))
        moved = np.stack([across + x * np.cos(angle), y, along - x * np.sin(angle)], axis=-1)
        return moved, quat.from_axis_angle(Y, angle)


@dataclass(frozen=True)
class Twisting:
    """Turns every slice about z, the more the farther up: ``angle = rate z``.

    The gradient is that turn times a shear of ``g = rate r`` along the turn, whose rotation is
    ``atan(g / 2)``.
    """

    rate: Wave

    def at(self, points: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Deformation`."""
        rate = self.rate.at(time)
        turn = quat.from_axis_angle(Z, rate * points[:, 2])
        x, y = points[:, 0], points[:, 1]
        radius = np.hypot(x, y)
        # z leans towards (-y, x, 0): the turn is about z cross that, which is (-x, -y, 0).
        safe = np.where(radius > 0, radius, 1.0)
        axes = np.stack([-x / safe, -y / safe, np.zeros_like(x)], axis=-1)
        lean = quat.from_axis_angle(axes, np.arctan(rate * radius / 2))
        return quat.rotate(turn, points), quat.product(turn, lean)


@dataclass(frozen=True)
class Waving:
    """A wave that runs along z and lifts along x, as in cloth: ``x + a sin(k z + phase(t))``.

    The gradient is a shear of ``g = a k cos``, whose rotation about y is ``atan(g / 2)``.
    """

    height: float
    wavenumber: float
    phase: Wave

    def at(self, points: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Deformation`."""
        phase = self.wavenumber * points[:, 2] + self.phase.at(time)
        lift = self.height * np.sin(phase)
        slope = self.height * self.wavenumber * np.cos(phase)
        moved = points + lift[:, None] * X
        return moved, quat.from_axis_angle(Y, np.arctan(slope / 2))


@dataclass(frozen=True)
class Breathing:
    """Stretches the axes, each by a factor of its own; nothing turns."""

    factors: tuple[Wave, Wave, Wave]

    def at(self, points: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """See `Deformation`."""
        factors = np.array([wave.at(time) for wave in self.factors])
        return points * factors, np.broadcast_to(quat.IDENTITY, (len(points), 4))
