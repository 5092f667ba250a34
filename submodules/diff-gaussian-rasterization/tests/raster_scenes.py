"""Random scenes for the tests."""

from __future__ import annotations

from typing import Any

import diff_gaussian_rasterization as dgr
import torch

ALL = dgr.OUTPUTS


def view(width: int = 40, height: int = 30, focal: float = 45.0) -> dgr.View:
    """A camera at the origin that looks along z."""
    return dgr.View.from_pinhole(width, height, focal, focal, torch.eye(4))


def gaussians(count: int, seed: int, degree: int = 2, size: float = 0.15) -> dict[str, Any]:
    """Gaussians in front of `view()`, as keyword arguments of `rasterize`."""
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g)

    depth = 2.0 + 4.0 * uniform(count)
    side = (uniform(count, 2) - 0.5) * depth[:, None]
    quats = torch.randn(count, 4, generator=g)
    return {
        "means": torch.cat([side, depth[:, None]], 1),
        "quats": quats / quats.norm(dim=1, keepdim=True).clamp_min(1e-6),
        "scales": size * torch.exp(0.7 * torch.randn(count, 3, generator=g)),
        "opacities": 0.05 + 0.9 * uniform(count, 1),
        "sh": 0.3 * torch.randn(count, (degree + 1) ** 2, 3, generator=g),
    }


def with_gradients(scene: dict[str, Any]) -> dict[str, Any]:
    """Copies that require gradients, means2d included."""
    leaves = {k: v.clone().requires_grad_() for k, v in scene.items()}
    leaves["means2d"] = torch.zeros_like(scene["means"]).requires_grad_()
    return leaves


def backward(out: dgr.RasterOutput, seed: int = 1) -> None:
    """Sends a fixed random gradient into every differentiable output."""
    g = torch.Generator().manual_seed(seed)
    images = [getattr(out, name) for name in ALL]
    images = [image for image in images if image is not None]
    torch.autograd.backward(images, [torch.randn(i.shape, generator=g) for i in images])
