"""Padding images to the sizes the network takes, and cutting its flow back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Padding:
    """Rows and columns added on each side, in pixels."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(
        cls, height: int, width: int, multiple: int, all_below: bool = False
    ) -> Padding:
        """Least padding to multiples of a number, evenly split, the smaller half first.

        Source: spec `gmflow.md`, section 2.
        """
        rows, columns = -height % multiple, -width % multiple
        top = 0 if all_below else rows // 2
        return cls(columns // 2, columns - columns // 2, top, rows - top)

    def pad(self, images: Tensor) -> Tensor:
        """Repeat the border pixels of (B, 3, H, W) images."""
        return F.pad(images, (self.left, self.right, self.top, self.bottom), mode="replicate")

    def crop(self, maps: Tensor) -> Tensor:
        """Cut the padding off (B, C, H, W) maps."""
        height, width = maps.shape[-2:]
        return maps[..., self.top : height - self.bottom, self.left : width - self.right]
