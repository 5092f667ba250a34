"""Anchors of one part agree on how it moves: a rigid motion around every anchor.

Not part of the published network; see `triangulate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from igs.motion.anchors import interpolate
from igs.motion.motion import quaternion_product
from igs.motion.triangulate import KeyGeometry, SeenMotion, Triangulation, flow_of, solve3

# Network units: how far anchors listen to each other before training, round by round. The first
# rounds lead lost anchors back, the last one lets parts bend.
REACH = (0.06, 0.03, 0.02)
PALETTE = 0.15  # colour difference of anchors that may well belong to one part, before training
# Network units: how far what another anchor shows may be off the motion found so far; twice,
# looser and tighter, so that the background around a part has no say in the end.
DOUBT = (0.03, 0.015)
ROWS = 256  # anchors dealt with at once: what they need stays in the processor's cache
STIFFNESS = 1e-3  # squared network units: spread of the anchors below which they cannot turn
OPEN = 5.0  # logit of how much of the rigid motion an untrained network lets through
POSITION_OCTAVES = 4
PLACE = 3 + 6 * POSITION_OCTAVES
MOTION_SCALES = (2.0, 10.0, 50.0)
OBSERVATION = 3 * len(MOTION_SCALES) + 3


class Observation(nn.Module):
    """What is known of an anchor's place and motion, as a feature.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(PLACE + OBSERVATION, 2 * channels)
        self.output = nn.Linear(2 * channels, channels)

    def forward(self, anchors: Tensor, seen: SeenMotion) -> Tensor:
        """(M, 3) anchors, network units, and their seen motion to (M, C)."""
        octaves = 2.0 ** torch.arange(POSITION_OCTAVES, device=anchors.device) * math.pi
        angles = (anchors[:, :, None] * octaves).flatten(1)
        moved = seen.translation
        known = [anchors, angles.sin(), angles.cos()]
        known += [torch.tanh(scale * moved) for scale in MOTION_SCALES]
        worst, mean = seen.error.max(dim=0).values, seen.error.mean(dim=0)
        known.append(torch.stack([worst.log1p(), mean.log1p(), seen.support], dim=1))
        return self.output(F.silu(self.hidden(torch.cat(known, dim=1))))


class Known:
    """What anchors show, as sums over all of them need it: products that are formed once.

    Args:
        anchors: (M, 3) float32, network units.
        translation: (M, 3) float32, how they were seen to move.
    """

    def __init__(self, anchors: Tensor, translation: Tensor) -> None:
        self.anchors = anchors
        turning = torch.linalg.cross(anchors, translation)
        second = (anchors[:, :, None] * anchors[:, None, :]).flatten(1)
        self.moments = torch.cat([anchors, translation, turning, second], dim=1)
        ends = [_squares(anchors), torch.ones_like(anchors[:, :1]), _squares(translation)]
        self._products = torch.cat([translation, anchors, turning, *ends], dim=1).T

    def squared_misfit(self, moved: Tensor, rotation: Tensor, at: Tensor) -> Tensor:
        """(m, M): squared distance from where motion i takes anchor j to where j was seen to go.

        With p the translation of motion i at the origin this is |p + r x a - t|^2, written out as
        products of what belongs to i and what belongs to j.

        Args:
            moved: (m, 3) translation of the anchors `at`, network units.
            rotation: (m, 3) rotation vector of their surroundings.
            at: (m,) int64.
        """
        origin = moved - torch.linalg.cross(rotation, self.anchors[at])
        of_motion = [-2 * origin, 2 * torch.linalg.cross(origin, rotation), -2 * rotation]
        of_motion += [_squares(rotation), _squares(origin), torch.ones_like(moved[:, :1])]
        products = torch.cat(of_motion, dim=1) @ self._products
        return (products - (rotation @ self.anchors.T).square()).clamp(min=0)


def _squares(vectors: Tensor) -> Tensor:
    return vectors.square().sum(dim=1, keepdim=True)


class RigidConsensus(nn.Module):
    """The rigid motion around each anchor that fits best what the anchors it listens to show.

    Whom an anchor listens to is learned: likeness of features and colours, nearness, how reliable
    the other is, and how well its motion goes with that of the others.

    Args:
        channels: C of the anchors' features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.reliability = nn.Linear(channels, 1)
        # At the start only nearness counts; likeness is added as it is learned.
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        nn.init.zeros_(self.reliability.weight)
        nn.init.zeros_(self.reliability.bias)
        self.log_reach = nn.Parameter(torch.tensor(REACH).log())  # one a round
        self.log_stiffness = nn.Parameter(torch.tensor(STIFFNESS).log())
        self.log_palette = nn.Parameter(torch.tensor(PALETTE).log())
        self.log_doubt = nn.Parameter(torch.tensor(DOUBT).log())

    def forward(
        self, anchors: Tensor, colors: Tensor, seen: SeenMotion, features: Tensor, turn_of: int
    ) -> tuple[Tensor, Tensor]:
        """Translation of each anchor and rotation of its surroundings.

        Args:
            anchors: (M, 3) float32, network units.
            colors: (M, 3) float32, 0..1.
            seen: their motion as triangulated.
            features: (M, C) float32.
            turn_of: which round it is, from 0.

        Returns:
            (M, 3) translation, network units, and (M, 3) rotation vector, radians, to first order.
        """
        reliable = self.reliability(features)[:, 0] + (seen.support + 1e-3).log()
        alike = self.query(features) / math.sqrt(features.shape[1]), self.key(features)
        near = anchors / (math.sqrt(2) * self.log_reach[turn_of].exp())
        painted = colors / (math.sqrt(2) * self.log_palette.exp())
        known = Known(anchors, seen.translation)
        rows = []
        for at in torch.arange(len(near), device=near.device).split(ROWS):
            heard = alike[0][at] @ alike[1].T + reliable
            heard = heard - _squared_distance(near[at], near)
            heard = heard - _squared_distance(painted[at], painted)
            rows.append(self._agree(known, heard, at))
        moved, rotation = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return moved, rotation

    def _agree(self, known: Known, heard: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Rigid motions around the anchors `at`, who listen to all by (m, M) logits."""
        moved, rotation = self._fit(known, heard.softmax(dim=1), at)
        for log_doubt in self.log_doubt:
            off = known.squared_misfit(moved, rotation, at) * (-2 * log_doubt).exp()
            share = (heard - 2 * off.log1p()).softmax(dim=1)
            moved, rotation = self._fit(known, share, at)
        return moved, rotation

    def _fit(self, known: Known, share: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Rigid motions by weighted least squares; the rows of (m, M) shares sum to one."""
        sums = share @ known.moments
        place, moved, turn, second = sums.split((3, 3, 3, 9), dim=1)
        turn = turn - torch.linalg.cross(place, moved)
        spread = second.unflatten(1, (3, 3)) - place[:, :, None] * place[:, None, :]
        eye = torch.eye(3, device=share.device)
        trace = spread.diagonal(dim1=1, dim2=2).sum(dim=1)
        inertia = (trace + self.log_stiffness.exp())[:, None, None] * eye - spread
        rotation = solve3(inertia, turn)
        return moved + torch.linalg.cross(rotation, known.anchors[at] - place), rotation


def _squared_distance(of: Tensor, to: Tensor) -> Tensor:
    """(m, M) of (m, C) and (M, C)."""
    products = of @ to.T
    return _squares(of) + _squares(to).T - 2 * products


@dataclass(frozen=True)
class Sighting:
    """What the views show of a candidate frame.

    Attributes:
        seen: motion of the anchors.
        features: (V, M, C) float32, map features at the anchors.
        images: (V, 3, H, W) float32, 0..1.
    """

    seen: SeenMotion
    features: Tensor
    images: Tensor


class RigidLift(nn.Module):
    """From flow at the anchors to the motion of all Gaussians, by geometry and agreement.

    Args:
        channels: C of the maps and of the anchors' features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.triangulation = Triangulation(channels)
        self.observation = Observation(channels)
        self.consensus = RigidConsensus(channels)
        self.gate = nn.Linear(channels, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, OPEN)

    def forward(
        self,
        geometry: KeyGeometry,
        sighting: Sighting,
        at_anchors: Tensor,
        key: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Rigid motion of every Gaussian, as far as its feature lets it through.

        What the anchors agree on is looked up in the images once more, so that an anchor whose
        own flow went astray is led back by its neighbours.

        Args:
            geometry: of the key frame.
            sighting: of the candidate.
            at_anchors: (M, C) float32, after the anchor transformer.
            key: neighbours and weights of the Gaussians.

        Returns:
            (n, 3) translations, network units, and (n, 4) unit quaternions in each Gaussian's own
            frame.
        """
        seen, last = sighting.seen, len(REACH) - 1
        anchors = geometry.anchors, geometry.colors
        moved, turned = self.consensus(*anchors, seen, at_anchors, 0)
        for turn_of in range(1, last + 1):
            starts = [flow_of(geometry, moved), seen.flow]
            seen = self.triangulation(geometry, starts, sighting.features, sighting.images)
            moved, turned = self.consensus(*anchors, seen, at_anchors, turn_of)
        neighbours, weights = key
        passed = torch.sigmoid(self.gate(interpolate(at_anchors, neighbours, weights)))
        translation, rotation = spread_rigidly(geometry, neighbours, weights, moved, turned)
        return passed * translation, in_own_frame(passed * rotation, geometry.quats)


def spread_rigidly(
    geometry: KeyGeometry, neighbours: Tensor, weights: Tensor, moved: Tensor, turned: Tensor
) -> tuple[Tensor, Tensor]:
    """Motion of every Gaussian from the rigid motions around its anchors.

    Args:
        geometry: n Gaussians, M anchors.
        neighbours: (n, K) int64, rows of the anchors.
        weights: (n, K) float32.
        moved: (M, 3) translation of the anchors, network units.
        turned: (M, 3) rotation vectors.

    Returns:
        (n, 3) translations, network units, and (n, 3) rotation vectors, world axes.
    """
    at_origin = moved - torch.linalg.cross(turned, geometry.anchors)
    mixed = interpolate(torch.cat([at_origin, turned], dim=1), neighbours, weights)
    offset, rotation = mixed.split(3, dim=1)
    return offset + torch.linalg.cross(rotation, geometry.points), rotation


def in_own_frame(rotation: Tensor, quats: Tensor) -> Tensor:
    """World rotation vectors as quaternions in the frames of Gaussians.

    Args:
        rotation: (n, 3) radians, world axes.
        quats: (n, 4) unit rotations of the Gaussians, w first.

    Returns:
        (n, 4) unit quaternions dq with ``q * dq`` = the rotation after q.
    """
    half = rotation / 2
    # sinc keeps the gradient at no rotation.
    angle = (half.square().sum(dim=1, keepdim=True) + 1e-16).sqrt()
    turn = torch.cat([angle.cos(), half * torch.sinc(angle / math.pi)], dim=1)
    inverse = quats * quats.new_tensor([1.0, -1.0, -1.0, -1.0])
    return quaternion_product(inverse, quaternion_product(turn, quats))
