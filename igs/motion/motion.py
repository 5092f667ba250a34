"""The motion of Gaussians as a value, and moving them by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from igs.gaussians import Gaussians


@dataclass(frozen=True)
class Motion:
    """How some of the Gaussians move, each rigidly on its own.

    Attributes:
        index: (n,) int64, rows of the Gaussians that move, ascending.
        translation: (n, 3) float32, world units and axes.
        rotation: (n, 4) float32, unit quaternion, w first, in the Gaussian's own frame.

    Raises:
        ValueError: the three differ in n, or in another way from these shapes.
    """

    index: Tensor
    translation: Tensor
    rotation: Tensor

    def __post_init__(self) -> None:
        count = self.index.numel()
        for name, columns in (("index", ()), ("translation", (3,)), ("rotation", (4,))):
            shape, wanted = tuple(getattr(self, name).shape), (count, *columns)
            if shape != wanted:
                raise ValueError(f"Motion.{name} has shape {shape}, must be {wanted}")

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str) -> Motion:
        """The same motion on another device."""
        return Motion(self.index.to(device), self.translation.to(device), self.rotation.to(device))

    def select(self, rows: Tensor) -> Motion:
        """Only some of it: (n,) bool."""
        return Motion(self.index[rows], self.translation[rows], self.rotation[rows])

    def detach(self) -> Motion:
        """The same motion outside any autograd graph."""
        return Motion(self.index, self.translation.detach(), self.rotation.detach())


def quaternion_product(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product of (..., 4) quaternions, w first: `right` acts first."""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 + y1 * w2 + z1 * x2 - x1 * z2,
            w1 * z2 + z1 * w2 + x1 * y2 - y1 * x2,
        ],
        dim=-1,
    )


def warp(gaussians: Gaussians, motion: Motion) -> Gaussians:
    """Move Gaussians rigidly, each by its own translation and rotation.

    Args:
        gaussians: N Gaussians in world axes.
        motion: which of them move, and how; rotations act in each Gaussian's own frame (old
            rotation on the left).

    Returns:
        New Gaussians, differentiable in both arguments. Quaternions of moved Gaussians are
        normalised, all others are untouched; opacity, scale and SH are shared with the input,
        not copied (SH are not rotated).

    Raises:
        ValueError: the motion names rows that the Gaussians do not have.

    Source: IGS (CVPR 2025), equations 8 and 9; spec `agm_net.md`, section 10.
    """
    count = gaussians.means.shape[0]
    if len(motion) == 0:
        return gaussians
    low, high = int(motion.index.min()), int(motion.index.max())
    if low < 0 or high >= count:
        raise ValueError(f"motion moves rows {low} to {high}, but there are {count} Gaussians")
    old = F.normalize(gaussians.quats[motion.index], dim=-1, eps=1e-12)
    turned = quaternion_product(old, motion.rotation)
    return gaussians.replace(
        means=gaussians.means.index_add(0, motion.index, motion.translation),
        quats=gaussians.quats.index_copy(0, motion.index, turned),
    )
