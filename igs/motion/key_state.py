"""Everything about a key frame that its candidates share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from igs.motion.triangulate import KeyGeometry


@dataclass(frozen=True)
class World:
    """The frame in which the network measures: x_network = (x - origin) / unit.

    Attributes:
        origin: (3,) float32, world units.
        unit: length of one network unit, world units.
    """

    origin: Tensor
    unit: float

    @classmethod
    def of_box(cls, box: Tensor) -> World:
        """Centre of a (2, 3) box, and half its diagonal as unit."""
        unit = float((box[1] - box[0]).norm()) / 2
        if not 0 < unit < float("inf"):
            raise ValueError(f"box {box.tolist()} has no extent to measure the world by")
        return cls(box.mean(dim=0), unit)

    @classmethod
    def as_given(cls, like: Tensor) -> World:
        """World units and origin as they are."""
        return cls(like.new_zeros(3), 1.0)

    def points(self, points: Tensor) -> Tensor:
        """(n, 3) world points to network units."""
        return (points - self.origin) / self.unit

    def cameras(self, world_to_camera: Tensor) -> Tensor:
        """(V, 4, 4) rigid matrices to the same cameras in network units."""
        moved = world_to_camera.clone()
        centre = world_to_camera[:, :3, :3] @ self.origin + world_to_camera[:, :3, 3]
        moved[:, :3, 3] = centre / self.unit
        return moved


@dataclass(frozen=True)
class KeyState:
    """A key frame as the network sees it; made by `AGMNet.encode_key`, used by `AGMNet.predict`.

    n Gaussians are in the box, M of them are anchors, V views; maps have h x w pixels.

    Attributes:
        inside: (n,) int64, rows of the Gaussians in the box, ascending.
        anchors: (M,) int64, rows of `inside` that are anchors.
        neighbours: (n, K) int64, anchors (rows of `anchors`) nearest to each Gaussian.
        weights: (n, K) float32, their interpolation weights.
        grid: (V, M, 2) float32, where each view sees the anchors, for `grid_sample`.
        features: (V, C, h/2, w/2), encoded key images.
        shift: (V, h, w, C) float32, what geometry adds to the normalised maps.
        scale: (V, h, w, C) float32, what it multiplies them by (beyond one).
        unit: world units per network unit.
        geometry: what triangulation needs, None without it.
    """

    inside: Tensor
    anchors: Tensor
    neighbours: Tensor
    weights: Tensor
    grid: Tensor
    features: Tensor
    shift: Tensor
    scale: Tensor
    unit: float
    geometry: KeyGeometry | None = None

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.inside.device

    def to(self, device: torch.device | str) -> KeyState:
        """The same state on another device."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unit"}
        moved = {name: part.to(device) for name, part in parts.items() if part is not None}
        return replace(self, **moved)
