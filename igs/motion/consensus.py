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


class RigidConsensus(nn.Module):
    """The rigid motion around each anchor that fits best what the anchors it listens to show.

    Whom an anchor listens to is learned: likeness of features, nearness, and how reliable the
    other is.

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

    def forward(
        self, anchors: Tensor, seen: SeenMotion, features: Tensor, turn_of: int
    ) -> tuple[Tensor, Tensor]:
        """Translation of each anchor and rotation of its surroundings.

        Args:
            anchors: (M, 3) float32, network units.
            seen: their motion as triangulated.
            features: (M, C) float32.
            turn_of: which round it is, from 0.

        Returns:
            (M, 3) translation, network units, and (M, 3) rotation vector, radians, to first order.
        """
        share = self._share(anchors, seen, features, self.log_reach[turn_of])
        place, moved = share @ anchors, share @ seen.translation
        turn = share @ torch.linalg.cross(anchors, seen.translation)
        turn = turn - torch.linalg.cross(place, moved)
        second = (anchors[:, :, None] * anchors[:, None, :]).flatten(1)
        spread = (share @ second).unflatten(1, (3, 3)) - place[:, :, None] * place[:, None, :]
        eye = torch.eye(3, device=anchors.device)
        trace = spread.diagonal(dim1=1, dim2=2).sum(dim=1)
        inertia = (trace + self.log_stiffness.exp())[:, None, None] * eye - spread
        rotation = solve3(inertia, turn)
        return moved + torch.linalg.cross(rotation, anchors - place), rotation

    def _share(
        self, anchors: Tensor, seen: SeenMotion, features: Tensor, log_reach: Tensor
    ) -> Tensor:
        """(M, M), rows sum to one: how much each anchor listens to each other."""
        alike = self.query(features) @ self.key(features).T / math.sqrt(features.shape[1])
        squared = torch.cdist(anchors, anchors).square()
        near = -squared / (2 * (2 * log_reach).exp())
        reliable = self.reliability(features)[:, 0] + (seen.support + 1e-3).log()
        return torch.softmax(alike + near + reliable, dim=1)


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
        moved, turned = self.consensus(geometry.anchors, seen, at_anchors, 0)
        for turn_of in range(1, last + 1):
            starts = [flow_of(geometry, moved), seen.flow]
            seen = self.triangulation(geometry, starts, sighting.features, sighting.images)
            moved, turned = self.consensus(geometry.anchors, seen, at_anchors, turn_of)
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
