"""A whole scene: Gaussians whose place and attitude are known at any time, cameras, and the box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from igs.scene.bbox import Box
from igs.scene.camera import Camera
from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.actors import Stage, draw_actor
from igs.scene.synthetic.config import SyntheticSceneConfig
from igs.scene.synthetic.parts import Part
from igs.scene.synthetic.rigs import Similarity, draw_rig, draw_world
from igs.scene.synthetic.surroundings import draw_surroundings
from igs.scene.synthetic.textures import find_photos

_SH_CONSTANT = 0.28209479177387814
_SH_LINEAR = 0.4886025119029199
_BOX_TIMES = 9
_BOX_REACH = 1.25  # of the region's half extents; what goes farther has left the scene


@dataclass(frozen=True)
class GaussianState:
    """N Gaussians at one time; fields and layouts are those of `igs.gaussians.Gaussians`.

    Attributes:
        means: (N, 3) float32, world units and axes.
        log_scales: (N, 3) float32.
        quats: (N, 4) float32, unit, w x y z.
        opacity_logits: (N,) float32.
        sh: (N, 4, 3) float32, degree 1.
    """

    means: Tensor
    log_scales: Tensor
    quats: Tensor
    opacity_logits: Tensor
    sh: Tensor


@dataclass(frozen=True)
class Light:
    """How surfaces are lit: from everywhere, and from one direction.

    Attributes:
        ambient: light on a surface that faces away.
        direct: what comes on top for one that faces the light.
        direction: (3,) unit, towards the light, stage axes.
    """

    ambient: float
    direct: float
    direction: np.ndarray


@dataclass(frozen=True)
class SyntheticScene:
    """A scene in motion; make it with `draw`.

    Times are in frames, fractions allowed, and may lie outside 0 .. num_frames - 1.

    Attributes:
        parts: the surroundings first, then the moving parts; their Gaussians in this order.
        cameras: at least 8, world axes.
        world: from the stage, in which the parts are, to the world.
        box: world axes; of the parts' whole course while they are in the region, with a margin.
        light: on all surfaces.
        rig_kind: "arc", "meeting" or "ring".
        num_frames: length of the course that the box is made for.
    """

    parts: tuple[Part, ...]
    cameras: tuple[Camera, ...]
    world: Similarity
    box: Box
    light: Light
    rig_kind: str
    num_frames: int

    @classmethod
    def draw(cls, config: SyntheticSceneConfig, seed: int | tuple[int, ...]) -> SyntheticScene:
        """The scene of a seed: the same config and seed give the same scene."""
        rng = np.random.default_rng(seed)
        half = np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0)])
        stage = Stage(config, rng, half, find_photos(config.photos))
        kind = config.rig_kinds[rng.integers(len(config.rig_kinds))]
        cameras = draw_rig(rng, config, kind, half)
        count = int(rng.integers(*config.num_gaussians, endpoint=True))
        moving = round(count * rng.uniform(*config.moving_share))
        actors = _draw_actors(stage, moving)
        surroundings = draw_surroundings(stage, cameras, count - moving)
        world = draw_world(rng, config, cameras)
        margin = rng.uniform(0.02, 0.4, (2, 3))
        return cls(
            parts=(surroundings, *actors),
            cameras=tuple(world.camera(camera) for camera in cameras),
            world=world,
            box=_box(actors, world, half, config.num_frames, margin),
            light=_draw_light(rng),
            rig_kind=kind,
            num_frames=config.num_frames,
        )

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def moving(self) -> Tensor:
        """(N,) bool: Gaussians of parts that are made to move."""
        return torch.from_numpy(np.concatenate([np.full(len(p), p.moves) for p in self.parts]))

    def at(self, time: float) -> GaussianState:
        """All Gaussians at a time, lit as they stand then."""
        points, turns = self._placed(time)
        quats = quat.product(turns, self._all("quats"))
        normals = quat.rotate(turns, self._all("normals"))
        scales = self._all("log_scales") + np.log(self.world.scale)
        arrays = (points, scales, quats, self._all("opacity_logits"), self._colors(normals))
        return GaussianState(*(torch.from_numpy(a.astype(np.float32)) for a in arrays))

    def motion(self, start: float, end: float) -> tuple[Tensor, Tensor]:
        """How every Gaussian moves from one time to another.

        Returns:
            (N, 3) float32 translation in world units; (N, 4) float32 unit quaternion with w >= 0
            in the Gaussian's own frame, ``q_end = q_start * rotation``.
        """
        points, turns = self._placed(start)
        later, later_turns = self._placed(end)
        rest = self._all("quats")
        before, after = quat.product(turns, rest), quat.product(later_turns, rest)
        rotation = quat.product(quat.conjugate(before), after)
        rotation *= np.where(rotation[:, :1] < 0, -1.0, 1.0)
        arrays = (later - points, rotation)
        translation, rotation = (torch.from_numpy(a.astype(np.float32)) for a in arrays)
        return translation, rotation

    def reconstructed(self, seed: int | tuple[int, ...], level: float = 1.0) -> SyntheticScene:
        """The scene as a reconstruction would have it: every Gaussian a little off at rest.

        What is off moves along, so that the motion of its Gaussians is as exact as the scene's.
        """
        rng = np.random.default_rng(seed)
        return replace(self, parts=tuple(part.jittered(rng, level) for part in self.parts))

    def _placed(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) centres in the world and (N, 4) turns since rest, rest being stage axes."""
        placed = [part.at(time) for part in self.parts]
        points = np.concatenate([points for points, _ in placed])
        turns = np.concatenate([turns for _, turns in placed])
        return self.world.points(points), quat.product(self.world.rotation, turns)

    def _all(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in self.parts])

    def _colors(self, normals: np.ndarray) -> np.ndarray:
        """(N, 4, 3) spherical harmonics of surfaces with these normals, world axes."""
        towards = quat.rotate(self.world.rotation, self.light.direction)
        facing = normals @ towards
        brightness = self.light.ambient + self.light.direct * np.clip(facing, 0, None)
        colors = np.clip(self._all("albedo") * brightness[:, None], 0, 1)
        sh = np.zeros((len(colors), 4, 3))
        sh[:, 0] = (colors - 0.5) / _SH_CONSTANT
        # Brighter by gloss * (mirrored light . direction to the viewer).
        mirrored = 2 * facing[:, None] * normals - towards
        gloss = (self._all("gloss") * (facing > 0))[:, None]
        x, y, z = np.moveaxis(mirrored * gloss / _SH_LINEAR, -1, 0)
        sh[:, 1:] = np.stack([y, -z, x], axis=1)[:, :, None]
        return sh


def _draw_actors(stage: Stage, count: int) -> tuple[Part, ...]:
    """Moving parts with about `count` Gaussians in all."""
    rng, config = stage.rng, stage.config
    number = int(rng.integers(*config.num_parts, endpoint=True))
    nothing_moves = rng.random() < config.still_scenes
    mean = float(stage.half.mean())
    sizes = mean * np.exp(rng.uniform(np.log(0.22), np.log(0.9 / number**0.2), number))
    counts = np.maximum(np.round(count * sizes**1.5 / (sizes**1.5).sum()).astype(int), 40)
    return tuple(
        draw_actor(stage, int(n), float(size), nothing_moves or rng.random() < config.still_share)
        for n, size in zip(counts, sizes, strict=True)
    )


def _draw_light(rng: np.random.Generator) -> Light:
    direct = rng.uniform(0.0, 0.8)
    direction = quat.draw_axis(rng)
    direction[1] = -abs(direction[1])  # from above: y points down
    return Light(1.1 - direct * rng.uniform(0.5, 0.9), direct, direction)


def _box(
    actors: tuple[Part, ...],
    world: Similarity,
    half: np.ndarray,
    num_frames: int,
    margin: np.ndarray,
) -> Box:
    """Around where the parts are, each side moved outwards by a share of the extent."""
    times = np.linspace(0, num_frames - 1, _BOX_TIMES)
    sparse = [part.at(float(t))[0][:: max(len(part) // 300, 1)] for part in actors for t in times]
    points = np.concatenate(sparse)
    near = points[(np.abs(points) <= _BOX_REACH * half).all(axis=1)]
    placed = world.points(near if len(near) else half * np.array([[-1.0, -1, -1], [1, 1, 1]]))
    low, high = placed.min(axis=0), placed.max(axis=0)
    extent = np.maximum(high - low, 0.1 * world.scale)
    return Box(low - margin[0] * extent, high + margin[1] * extent)
