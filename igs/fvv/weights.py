"""How much each Gaussian matters in renders, and how far off it may therefore be held.

The encoder's own business: a decoder knows nothing of it. For small errors, the mean squared error
of renders is a sum over values of (sensitivity x error squared), and bytes are best spent where
tolerances are as one over the square root of the sensitivity (reverse water-filling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from igs.fvv.rows import Grid
from igs.gaussians import SH_C0, Gaussians
from igs.render import render
from igs.scene import Camera

ATTRIBUTES = ("position", "quat", "log_scale", "opacity", "color", "sh1", "sh2", "sh3")
_LEAST_SLOPE = 1e-4  # of opacity by its logit


@dataclass
class Weigher:
    """Measures sensitivities in given views.

    Attributes:
        cameras: views that count; who wants to look from elsewhere names those as well.
        seed: of the probes.
        probes: random images a view; more make the measure less noisy.
    """

    cameras: Sequence[Camera]
    seed: int = 0
    probes: int = 1

    def __call__(self, gaussians: Gaussians, grid: Grid) -> np.ndarray:
        """Mean squared change of a pixel that one step of error makes.

        The expectation of the square of what a random image of +-1 sends back to a parameter is the
        sum of its squared derivatives over pixels (Hutchinson's estimator of the diagonal).

        Args:
            gaussians: N Gaussians.
            grid: what a step is.

        Returns:
            (5 + SH degree, N) float64, one row for each of `ATTRIBUTES`, mean over components.
        """
        generator = torch.Generator().manual_seed(self.seed)
        total = {name: torch.zeros_like(t) for name, t in gaussians.tensors().items()}
        for camera in self.cameras:
            for _ in range(self.probes):
                for name, squared in _probe(gaussians, camera, generator).items():
                    total[name] += squared
        share = 1 / (self.probes * len(self.cameras))
        return share * _by_attribute(total, gaussians, grid)


def _probe(
    gaussians: Gaussians, camera: Camera, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Squared derivatives of one random sum over a view's pixels, per pixel."""
    leaves = {k: t.detach().clone().requires_grad_() for k, t in gaussians.tensors().items()}
    color = render(Gaussians(**leaves), camera, (0.0, 0.0, 0.0)).color
    signs = torch.randint(0, 2, color.shape, generator=generator).to(color) * 2 - 1
    (color * signs).sum().backward()
    return {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad**2 / color.numel()
        for name, leaf in leaves.items()
    }


def _by_attribute(squared: dict[str, torch.Tensor], gaussians: Gaussians, grid: Grid) -> np.ndarray:
    opacity = gaussians.opacities
    slope = (opacity * (1 - opacity)).clamp_min(_LEAST_SLOPE)
    sh = squared["sh"]
    rows = [
        squared["means"].mean(dim=1) * grid.position**2,
        squared["quats"].mean(dim=1) / grid.quat**2,
        squared["log_scales"].mean(dim=1) * grid.log_scale**2,
        squared["opacity_logits"] / slope**2 / grid.opacity**2,
        sh[:, 0].mean(dim=1) * (grid.color / SH_C0) ** 2,
    ]
    rows += [
        sh[:, d * d : (d + 1) ** 2].mean(dim=(1, 2)) * grid.sh[d - 1] ** 2
        for d in range(1, gaussians.sh_degree + 1)
    ]
    return torch.stack(rows).double().cpu().numpy()
