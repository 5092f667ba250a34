"""Per-Gaussian colour from spherical harmonics (spec `rasterizer.md`, section 3, step 10)."""

from __future__ import annotations

import torch
from torch import Tensor

from diff_gaussian_rasterization.reference.inputs import Gaussians, View

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2A, C2B, C2C = 1.0925484305920792, 0.31539156525252005, 0.5462742152960396
C3A, C3B, C3C = 0.5900435899266435, 2.890611442640554, 0.4570457994644658
C3D, C3E = 0.3731763325901154, 1.445305721320277


def sh_basis(direction: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics (N, (degree + 1)^2) at unit directions (N, 3)."""
    x, y, z = direction.unbind(-1)
    values = [torch.full_like(x, C0)]
    if degree > 0:
        values += [-C1 * y, C1 * z, -C1 * x]
    xx, yy, zz = x * x, y * y, z * z
    if degree > 1:
        values += [C2A * x * y, -C2A * y * z, C2B * (2 * zz - xx - yy), -C2A * x * z]
        values += [C2C * (xx - yy)]
    if degree > 2:
        values += [-C3A * y * (3 * xx - yy), C3B * x * y * z, -C3C * y * (4 * zz - xx - yy)]
        values += [C3D * z * (2 * zz - 3 * xx - 3 * yy), -C3C * x * (4 * zz - xx - yy)]
        values += [C3E * z * (xx - yy), -C3A * x * (xx - 3 * yy)]
    return torch.stack(values, -1)


def colours(g: Gaussians, view: View) -> Tensor:
    """Colour (N, 3): precomputed ones as given, those of SH not below 0."""
    if g.colors is not None:
        return g.colors
    assert g.shs is not None
    offset = g.means - view.centre
    direction = offset / offset.norm(dim=-1, keepdim=True)
    basis = sh_basis(direction, view.sh_degree)
    coefficients = g.shs[:, : basis.shape[1]]
    # clamp_min passes the gradient at exactly 0, as the spec asks.
    return (0.5 + (basis[:, :, None] * coefficients).sum(1)).clamp_min(0)
