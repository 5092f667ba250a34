"""The moving parts: what they look like, and how fast they go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.config import SyntheticSceneConfig
from igs.scene.synthetic.motion import (
    STILL,
    Bending,
    Breathing,
    Deformation,
    Skeleton,
    Twisting,
    Wave,
    Waving,
    X,
    Y,
)
from igs.scene.synthetic.parts import Part, Piece, make_part
from igs.scene.synthetic.shapes import Block, Capsule, Ellipsoid, Shape, Sheet
from igs.scene.synthetic.textures import Texture, draw_texture

_MAX_FREQUENCY = 0.5  # radians per frame
_MAX_TURN = 0.4  # radians per frame


@dataclass(frozen=True)
class Stage:
    """What parts are drawn with.

    Attributes:
        config: ranges.
        rng: draws everything.
        half: (3,) half extents of the region about the origin; y points down.
        photos: photographs for textures.
    """

    config: SyntheticSceneConfig
    rng: np.random.Generator
    half: np.ndarray
    photos: list[Path]

    def texture(self, size: float) -> Texture:
        """For a thing of this size."""
        return draw_texture(self.rng, size, self.photos, self.config.photo_share)

    def gloss(self) -> float:
        """Of one surface."""
        shiny = self.rng.random() < self.config.gloss_share
        return float(self.rng.uniform(0.05, 0.35)) if shiny else 0.0

    def piece(self, shape: Shape, origin: np.ndarray, rotation: np.ndarray, bone: int = 0) -> Piece:
        """A shape with a texture of its own."""
        size = float(np.sqrt(shape.area))
        return Piece(shape, self.texture(size), origin, rotation, bone, self.gloss())


def draw_actor(stage: Stage, count: int, size: float, still: bool) -> Part:
    """One moving part.

    Args:
        stage: what to draw with.
        count: its Gaussians.
        size: its radius, stage units.
        still: give it no motion at all.
    """
    rng, config = stage.rng, stage.config
    low, high = config.speed
    speed = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    speed *= 0.0 if still else 2 * float(np.linalg.norm(stage.half))
    kind = config.part_kinds[rng.integers(len(config.part_kinds))]
    draw = {
        "rigid": _rigid,
        "articulated": _articulated,
        "bending": _bending,
        "breathing": _breathing,
    }[kind]
    pieces, skeleton, deformation = draw(stage, size, speed)
    return make_part(pieces, count, rng, skeleton, deformation, moves=not still)


Drawn = tuple[list[Piece], Skeleton, Deformation | None]


def _rigid(stage: Stage, size: float, speed: float) -> Drawn:
    return _compound(stage, size), _single(stage, size, speed), None


def _articulated(stage: Stage, size: float, speed: float) -> Drawn:
    pieces, skeleton = (_figure if stage.rng.random() < 0.5 else _chain)(stage, size, speed)
    return pieces, skeleton, None


def _bending(stage: Stage, size: float, speed: float) -> Drawn:
    rng = stage.rng
    kinds: tuple[Callable[..., tuple[Shape, Deformation]], ...] = (_bent, _twisted, _waved)
    shape, deformation = kinds[rng.integers(3)](rng, size, speed)
    root = _single(stage, size, speed * rng.uniform() * (rng.random() < 0.6))
    return [stage.piece(shape, np.zeros(3), quat.IDENTITY)], root, deformation


def _bent(rng: np.random.Generator, size: float, speed: float) -> tuple[Shape, Deformation]:
    # The tip of an arm of length h goes at h^2 / 2 times the change of curvature.
    curvature = swing(rng, 2 * speed / size**2, rng.uniform(0.3, 1.2) / size)
    return _slender(rng, size), Bending(curvature)


def _twisted(rng: np.random.Generator, size: float, speed: float) -> tuple[Shape, Deformation]:
    shape = _slender(rng, size)
    rate = swing(rng, speed / (0.3 * size**2), rng.uniform(0.3, 1.2) / size)
    return shape, Twisting(rate)


def _waved(rng: np.random.Generator, size: float, speed: float) -> tuple[Shape, Deformation]:
    height, length = size * rng.uniform(0.05, 0.25), size * rng.uniform(1.0, 4.0)
    pace = min(speed / height, _MAX_FREQUENCY) * rng.choice([-1, 1])
    phase = Wave(offset=rng.uniform(0, 2 * np.pi), rate=pace)
    sheet = Sheet(size * rng.uniform(0.8, 2.0), 2 * size)
    return sheet, Waving(height, 2 * np.pi / length, phase)


def _breathing(stage: Stage, size: float, speed: float) -> Drawn:
    rng = stage.rng
    first = _factor(rng, size, speed)
    others = first if rng.random() < 0.5 else _factor(rng, size, speed)
    root = _single(stage, size, speed * rng.uniform() * (rng.random() < 0.6))
    return _compound(stage, size), root, Breathing((first, others, others))


def _factor(rng: np.random.Generator, size: float, speed: float) -> Wave:
    wave = swing(rng, speed / size, rng.uniform(0.05, 0.35))
    return Wave(1.0, wave.amplitude, wave.frequency, wave.phase)


def swing(rng: np.random.Generator, rate: float, amplitude: float) -> Wave:
    """To and fro with this largest rate per frame; smaller than that where it would be too fast."""
    frequency = min(rate / amplitude, _MAX_FREQUENCY)
    return Wave(0.0, amplitude, frequency, rng.uniform(0, 2 * np.pi))


def _turning(rng: np.random.Generator, rate: float) -> Wave:
    rate = min(rate, _MAX_TURN)
    if rng.random() < 0.4:
        return Wave(rng.uniform(0, 2 * np.pi), rate=rate * rng.choice([-1, 1]))
    return swing(rng, rate, rng.uniform(0.2, 1.5))


def _single(stage: Stage, size: float, speed: float) -> Skeleton:
    rng = stage.rng
    turn = _turning(rng, speed * rng.uniform() / size) if rng.random() < 0.8 else STILL
    return Skeleton.single(_path(stage, size, speed), quat.draw(rng), quat.draw_axis(rng), turn)


def _path(stage: Stage, size: float, speed: float) -> tuple[Wave, Wave, Wave]:
    """Where a part goes: about a home in the region, or straight across."""
    rng = stage.rng
    room = np.maximum(stage.half - 0.7 * size, 0.05 * stage.half)
    home = rng.uniform(-room, room)
    if rng.random() < 0.5:
        home[1] = room[1]  # on the floor
    velocity = speed * quat.draw_axis(rng) * (1.0, 0.5, 1.0)
    if speed > 0 and rng.random() < stage.config.leaving_share:
        middle = rng.uniform(0, stage.config.num_frames)
        velocity[1] *= 0.3
        waves = [Wave(h - v * middle, rate=v) for h, v in zip(home, velocity, strict=True)]
        return waves[0], waves[1], waves[2]
    waves = []
    for centre, pace, space in zip(home, np.abs(velocity), room, strict=True):
        sway = swing(rng, float(pace), float(space * rng.uniform(0.1, 0.7)))
        # Home moves inwards, so that the part stays in the region.
        inner = float(np.clip(centre, sway.amplitude - space, space - sway.amplitude))
        waves.append(Wave(inner, sway.amplitude, sway.frequency, sway.phase))
    return waves[0], waves[1], waves[2]


def _compound(stage: Stage, size: float) -> list[Piece]:
    """One to three solids that overlap."""
    rng = stage.rng
    count = int(rng.choice([1, 1, 2, 3]))
    pieces = [stage.piece(solid(rng, size), np.zeros(3), quat.IDENTITY)]
    for _ in range(count - 1):
        origin = quat.draw_axis(rng) * size * rng.uniform(0.4, 0.8)
        pieces.append(stage.piece(solid(rng, 0.6 * size), origin, quat.draw(rng)))
    return pieces


def solid(rng: np.random.Generator, size: float) -> Shape:
    """A block, ellipsoid, lump or capsule of about this radius."""
    kind = rng.integers(4)
    if kind == 0:
        return Block(size * rng.uniform(0.6, 1.6, 3))
    if kind == 1:
        return Capsule(size * rng.uniform(0.2, 0.6), size * rng.uniform(0.6, 1.4))
    return Ellipsoid(size * rng.uniform(0.5, 1.0, 3), bumps=0.15 if kind == 2 else 0.0)


def _slender(rng: np.random.Generator, size: float) -> Shape:
    """Something long along z, thin enough to bend."""
    kind = rng.integers(3)
    if kind == 0:
        return Block(size * np.array([*rng.uniform(0.15, 0.6, 2), 2.0]))
    if kind == 1:
        radius = size * rng.uniform(0.1, 0.3)
        return Capsule(radius, 2 * (size - radius))
    return Ellipsoid(size * np.array([*rng.uniform(0.15, 0.4, 2), 1.0]))


def _chain(stage: Stage, size: float, speed: float) -> tuple[list[Piece], Skeleton]:
    """Two to five links, one hinged to the end of the other."""
    rng = stage.rng
    links = int(rng.integers(2, 6))
    length = 2.5 * size / links
    middle = np.array([0.0, 0.0, length / 2])
    pieces = []
    for bone in range(links):
        thick = length * rng.uniform(0.15, 0.35)
        block = Block(np.array([2 * thick, 2 * thick * rng.uniform(0.5, 1), 1.1 * length]))
        shape = block if rng.random() < 0.4 else Capsule(thick, length)
        pieces.append(stage.piece(shape, middle, quat.IDENTITY, bone))
    offsets = np.array([[0.0, 0.0, length]] * links)
    axes = np.array([quat.draw_axis(rng) for _ in range(links)])
    rest = quat.from_axis_angle(
        np.array([quat.draw_axis(rng) for _ in range(links)]), np.full(links, 0.3)
    )
    rest[0] = quat.draw(rng)
    angles = tuple(_hinge(rng, speed, length) for _ in range(links))
    path = _path(stage, size, speed * rng.uniform() * (rng.random() < 0.7))
    return pieces, Skeleton(path, offsets, rest, axes, angles, tuple(range(-1, links - 1)))


def _figure(stage: Stage, size: float, speed: float) -> tuple[list[Piece], Skeleton]:
    """Somebody: torso, head, arms and legs of two links each; z of every bone points down."""
    rng = stage.rng
    torso, limb, wide = 0.75 * size, 0.5 * size * rng.uniform(0.8, 1.1), 0.28 * size
    shoulder, hip = -0.4 * torso, 0.5 * torso
    joints = [  # parent, place in the parent's axes, radius, length
        (-1, (0, 0, 0), wide, 0.7 * torso),
        (0, (0, 0, -0.5 * torso), 0.18 * size, 0.08 * size),
        *((0, (side * 1.1 * wide, 0, shoulder), 0.1 * size, limb) for side in (-1, 1)),
        *((2 + side, (0, 0, limb), 0.08 * size, limb) for side in (0, 1)),
        *((0, (side * 0.5 * wide, 0, hip), 0.13 * size, limb) for side in (-1, 1)),
        *((6 + side, (0, 0, limb), 0.1 * size, limb) for side in (0, 1)),
    ]
    pieces = []
    for bone, (_, _, radius, length) in enumerate(joints):
        middle = {0: 0.0, 1: -0.22 * size}.get(bone, length / 2)
        centre = np.array([0.0, 0.0, middle])
        pieces.append(stage.piece(Capsule(radius, length), centre, quat.IDENTITY, bone))
    axes = np.array([_near(rng, X) for _ in joints])
    axes[0] = np.array([0.0, 0.0, 1.0])
    rest = np.tile(quat.IDENTITY, (len(joints), 1))
    heading = quat.from_axis_angle(Y, rng.uniform(0, 2 * np.pi))
    rest[0] = quat.product(heading, quat.from_axis_angle(X, -np.pi / 2))
    angles = tuple(_hinge(rng, speed, limb) for _ in joints)
    path = _path(stage, size, speed * rng.uniform() * (rng.random() < 0.6))
    offsets = np.array([place for _, place, _, _ in joints], dtype=float)
    return pieces, Skeleton(path, offsets, rest, axes, angles, tuple(j[0] for j in joints))


def _hinge(rng: np.random.Generator, speed: float, length: float) -> Wave:
    wave = swing(rng, min(speed * rng.uniform(0.1, 1) / length, _MAX_TURN), rng.uniform(0.2, 1.2))
    return Wave(rng.uniform(-0.5, 0.5), wave.amplitude, wave.frequency, wave.phase)


def _near(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    tilted = axis + rng.normal(size=3) * 0.3
    return tilted / np.linalg.norm(tilted)
