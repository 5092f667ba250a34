"""What density control needs to know of past renders.

Source: spec `frame0.md`, section 3 (densification).
"""

from __future__ import annotations

import torch


class DensityStatistics:
    """What density control needs to know of the iterations since the last reset.

    Attributes:
        grad: (N,) sum of the length of the screen-space gradient (first two components).
        grad_abs: (N,) sum of the absolute statistic (third component).
        count: (N,) number of renders in which the Gaussian was visible.
        max_radii: (N,) largest radius on screen, pixels.
    """

    def __init__(self, num: int, device: torch.device | str = "cpu") -> None:
        self.grad, self.grad_abs, self.count, self.max_radii = torch.zeros(4, num, device=device)

    def __len__(self) -> int:
        return self.count.shape[0]

    def update(self, means2d_grad: torch.Tensor, radii: torch.Tensor) -> None:
        """Add one rendered view after its backward pass.

        Args:
            means2d_grad: (N, 3) gradient of the render's `means2d`, normalised device coordinates.
            radii: (N,) radii of the same render, 0 where not visible.

        Raises:
            ValueError: another number of Gaussians.
        """
        if means2d_grad.shape != (len(self), 3) or radii.shape != (len(self),):
            raise ValueError(
                f"statistics of {len(self)} Gaussians got {tuple(means2d_grad.shape)} gradients "
                f"and {tuple(radii.shape)} radii"
            )
        visible = radii > 0
        grad = torch.where(visible[:, None], means2d_grad, 0)
        self.grad += grad[:, :2].norm(dim=-1)
        self.grad_abs += grad[:, 2].abs()
        self.count += visible
        self.max_radii = torch.maximum(self.max_radii, radii.to(self.max_radii.dtype))

    @property
    def mean_grad(self) -> torch.Tensor:
        """(N,) mean over the views that saw it, 0 where none did."""
        return torch.where(self.count > 0, self.grad / self.count.clamp(min=1), 0)

    @property
    def mean_grad_abs(self) -> torch.Tensor:
        """(N,) the same of the absolute statistic."""
        return torch.where(self.count > 0, self.grad_abs / self.count.clamp(min=1), 0)
