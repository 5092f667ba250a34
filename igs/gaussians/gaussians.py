"""The scene representation: a set of 3D Gaussians as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F

SH_C0 = 0.28209479177387814  # the spherical harmonic of degree 0
MAX_SH_DEGREE = 3


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians before activation, all tensors on one device.

    Attributes:
        means: (N, 3) float32, centres in world units and axes.
        log_scales: (N, 3) float32, natural logarithm of the standard deviation per own axis.
        quats: (N, 4) float32, rotation from own to world axes, w x y z, of any non-zero length.
        opacity_logits: (N,) float32, opacity before the sigmoid.
        sh: (N, K, 3) float32, spherical harmonics of colour, coefficient first, RGB last,
            K = (degree + 1)^2.

    Raises:
        ValueError: shapes that do not fit each other, or an SH count that no degree has.
    """

    means: torch.Tensor
    log_scales: torch.Tensor
    quats: torch.Tensor
    opacity_logits: torch.Tensor
    sh: torch.Tensor

    def __post_init__(self) -> None:
        n = self.means.shape[0]
        wanted = {
            "means": (n, 3),
            "log_scales": (n, 3),
            "quats": (n, 4),
            "opacity_logits": (n,),
            "sh": (n, self.sh.shape[1] if self.sh.ndim == 3 else -1, 3),
        }
        for name, shape in wanted.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"Gaussians.{name}: shape {got} must be {shape}")
        if math.isqrt(self.sh.shape[1]) ** 2 != self.sh.shape[1] or not (
            1 <= self.sh.shape[1] <= (MAX_SH_DEGREE + 1) ** 2
        ):
            raise ValueError(
                f"Gaussians.sh: {self.sh.shape[1]} coefficients; a degree of 0 to "
                f"{MAX_SH_DEGREE} has 1, 4, 9 or 16"
            )

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.means.device

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 3."""
        return math.isqrt(self.sh.shape[1]) - 1

    @property
    def scales(self) -> torch.Tensor:
        """(N, 3) standard deviations in world units."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> torch.Tensor:
        """(N,) opacities in 0..1."""
        return self.opacity_logits.sigmoid()

    @property
    def base_colors(self) -> torch.Tensor:
        """(N, 3) RGB without what depends on the viewer, 0..1: clamped, as they are drawn."""
        return (0.5 + SH_C0 * self.sh[:, 0]).clamp(0, 1)

    @property
    def unit_quats(self) -> torch.Tensor:
        """(N, 4) quaternions of length one."""
        return F.normalize(self.quats, dim=-1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All fields by name, not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def replace(self, **changes: Any) -> Gaussians:
        """A copy with some tensors exchanged; the others are shared."""
        return replace(self, **changes)

    def map(self, function: Any) -> Gaussians:
        """Apply one function to every tensor."""
        return Gaussians(**{name: function(t) for name, t in self.tensors().items()})

    def to(self, device: torch.device | str) -> Gaussians:
        """The same Gaussians on another device."""
        return self.map(lambda t: t.to(device))

    def detach(self) -> Gaussians:
        """The same tensors outside any autograd graph."""
        return self.map(lambda t: t.detach())

    def select(self, index: torch.Tensor) -> Gaussians:
        """Rows by index or boolean mask."""
        return self.map(lambda t: t[index])

    @staticmethod
    def concatenate(parts: list[Gaussians]) -> Gaussians:
        """Several sets, one after the other; all of one SH degree."""
        names = [f.name for f in fields(Gaussians)]
        return Gaussians(**{n: torch.cat([getattr(p, n) for p in parts]) for n in names})

    @property
    def num_bytes(self) -> int:
        """Bytes in memory."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())
