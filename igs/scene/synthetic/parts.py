"""Things made of Gaussians, still or moving."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.motion import Deformation, Skeleton
from igs.scene.synthetic.shapes import Shape
from igs.scene.synthetic.textures import Texture

_PER_GAUSSIAN = (
    "points",
    "quats",
    "normals",
    "log_scales",
    "opacity_logits",
    "albedo",
    "gloss",
    "bones",
)


@dataclass(frozen=True)
class Piece:
    """A shape on a bone: where it sits in the bone's axes, and its colours."""

    shape: Shape
    texture: Texture
    origin: np.ndarray
    rotation: np.ndarray
    bone: int = 0
    gloss: float = 0.0


@dataclass(frozen=True)
class Part:
    """n Gaussians at rest, in the axes of their bones, and what moves them.

    Attributes:
        points: (n, 3) centres.
        quats: (n, 4) unit quaternions.
        normals: (n, 3) unit normals of the surface.
        log_scales: (n, 3).
        opacity_logits: (n,).
        albedo: (n, 3) RGB, 0..1, before lighting.
        gloss: (n,) strength of the highlight.
        bones: (n,) rows of the skeleton.
        skeleton: None for what never moves; bone axes are stage axes then.
        deformation: applied before the bones; None for none.
        moves: whether it is made to move.
    """

    points: np.ndarray
    quats: np.ndarray
    normals: np.ndarray
    log_scales: np.ndarray
    opacity_logits: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray
    bones: np.ndarray
    skeleton: Skeleton | None = None
    deformation: Deformation | None = None
    moves: bool = False

    def __len__(self) -> int:
        return len(self.points)

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) centres in stage axes and (n, 4) turns of the material since rest."""
        points = self.points
        turns = np.broadcast_to(quat.IDENTITY, (len(points), 4))
        if self.deformation is not None:
            points, turns = self.deformation.at(points, time)
        if self.skeleton is None:
            return points, turns
        rotations, origins = self.skeleton.at(time)
        rotations, origins = rotations[self.bones], origins[self.bones]
        return quat.rotate(rotations, points) + origins, quat.product(rotations, turns)

    def jittered(self, rng: np.random.Generator, level: float) -> Part:
        """Another reconstruction of the same part: each Gaussian is a little off.

        Args:
            rng: draws the errors.
            level: 1 shifts centres by about their smallest standard deviations, and attitudes,
                scales and colours as much as a fair reconstruction does.
        """
        count = len(self.points)
        local = rng.normal(size=(count, 3)) * np.exp(self.log_scales) * 0.5 * level
        angles = rng.normal(size=count) * 0.12 * level
        tilt = quat.from_axis_angle(_unit(rng.normal(size=(count, 3))), angles)
        return replace(
            self,
            points=self.points + quat.rotate(self.quats, local),
            quats=quat.product(self.quats, tilt),
            log_scales=self.log_scales + rng.normal(size=(count, 3)) * 0.2 * level,
            opacity_logits=self.opacity_logits + rng.normal(size=count) * 0.7 * level,
            albedo=np.clip(self.albedo + rng.normal(size=(count, 3)) * 0.02 * level, 0, 1),
        )


def make_part(
    pieces: list[Piece],
    count: int,
    rng: np.random.Generator,
    skeleton: Skeleton | None = None,
    deformation: Deformation | None = None,
    moves: bool = False,
) -> Part:
    """Cover pieces with Gaussians, `count` in all (about), by area.

    They lie flat in the surface, about 0.7 of the distance to the next one wide, so that surfaces
    are closed, with sizes and outlines that vary as those of a reconstruction do.
    """
    areas = np.array([piece.shape.area for piece in pieces])
    counts = np.maximum(np.round(count * areas / areas.sum()).astype(int), 6)
    surfaces = [p.shape.sample(int(n), rng) for p, n in zip(pieces, counts, strict=True)]
    albedo = np.concatenate([p.texture(s.points) for p, s in zip(pieces, surfaces, strict=True)])
    lengths = [len(s.points) for s in surfaces]
    placed = [s.moved(p.rotation, p.origin) for p, s in zip(pieces, surfaces, strict=True)]
    normals = np.concatenate([s.normals for s in placed])
    spacing = np.concatenate([s.spacing for s in placed])
    total = len(spacing)
    flat = np.stack([np.full(total, 0.68), np.full(total, 0.68), rng.uniform(0.05, 0.15, total)], 1)
    varied = flat * np.exp(rng.normal(size=(total, 3)) * (0.12, 0.12, 0.0))
    opacity = rng.uniform(0.9, 0.998, total)
    return Part(
        points=np.concatenate([s.points for s in placed]),
        quats=quat.z_to(normals, rng.uniform(0, 2 * np.pi, total)),
        normals=normals,
        log_scales=np.log(spacing[:, None] * varied),
        opacity_logits=np.log(opacity / (1 - opacity)),
        albedo=albedo,
        gloss=np.repeat([p.gloss for p in pieces], lengths),
        bones=np.repeat([p.bone for p in pieces], lengths),
        skeleton=skeleton,
        deformation=deformation,
        moves=moves,
    )


def select(part: Part, rows: np.ndarray) -> Part:
    """Some Gaussians of a part, by index or mask."""
    return replace(part, **{name: getattr(part, name)[rows] for name in _PER_GAUSSIAN})


def joined(parts: list[Part]) -> Part:
    """Parts that never move, as one."""
    rows = {n: np.concatenate([getattr(part, n) for part in parts]) for n in _PER_GAUSSIAN}
    return replace(parts[0], **rows)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
