"""Per-Gaussian geometry: camera point, 2D covariance, opacity, radius, tiles.

Source: spec `rasterizer.md`, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from diff_gaussian_rasterization.reference.inputs import Gaussians, View, as_float32

TILE = 16
NEAR = as_float32(0.2)
CLAMP = as_float32(1.3)
RADIUS_FLOOR = as_float32(0.1)
W_EPSILON = as_float32(1e-7)
DETERMINANT_FLOOR = 1e-6


@dataclass(frozen=True)
class CameraPoint:
    """Camera coordinates of the means: as they are, and with x, y clamped to 1.3 times the image.

    true (N, 3); x, y, z (N,); u = x/z and v = y/z (N,).
    """

    true: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    u: Tensor
    v: Tensor


@dataclass(frozen=True)
class Projected:
    """What blending needs of each Gaussian: centre (N, 2) pixels, conic (N, 3; A, B, C),
    compensated opacity (N,)."""

    centre: Tensor
    conic: Tensor
    opacity: Tensor


class _ScreenProbe(torch.autograd.Function):
    """Identity on the NDC centre that also hands its gradient to means2D, whatever its value."""

    @staticmethod
    def forward(ctx: Any, ndc: Tensor, means2D: Tensor) -> Tensor:
        return ndc.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grad_outputs
        return grad, torch.nn.functional.pad(grad, (0, 1))


def camera_point(means: Tensor, view: View) -> CameraPoint:
    """Camera coordinates (section 3, steps 1 and 4)."""
    t = means @ view.view[:3, :3] + view.view[3, :3]
    z = t[:, 2]

    def clamped(axis: int, limit: float) -> Tensor:
        ratio = (t[:, axis] / z).detach()
        edge = ratio.clamp(-limit, limit)
        # Convention (section 6, step 6): a clamped coordinate is a constant.
        return torch.where(ratio.abs() > limit, edge * z.detach(), t[:, axis])

    x = clamped(0, CLAMP * view.tan_x)
    y = clamped(1, CLAMP * view.tan_y)
    return CameraPoint(t, x, y, z, x / z, y / z)


def rotation_matrix(quaternion: Tensor) -> Tensor:
    """(N, 4) w, x, y, z -> (N, 3, 3), without normalising (section 3, step 3)."""
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def symmetric(upper: Tensor) -> Tensor:
    """(N, 6) upper triangle -> (N, 3, 3)."""
    return upper[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].view(-1, 3, 3)


def covariance_3d(g: Gaussians, view: View) -> Tensor:
    """World-frame covariance (N, 3, 3)."""
    if g.covariances is not None:
        return symmetric(g.covariances)
    assert g.scales is not None
    assert g.rotations is not None
    factor = rotation_matrix(g.rotations) * (view.scale_modifier * g.scales)[:, None, :]
    return factor @ factor.transpose(1, 2)


def covariance_2d(g: Gaussians, point: CameraPoint, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """Entries a, b, c of the projected covariance, each (N,), pixels squared (step 5)."""
    zero = torch.zeros_like(point.z)
    inverse_z = 1 / point.z
    rows = [
        [view.focal_x * inverse_z, zero, -view.focal_x * point.x * inverse_z**2],
        [zero, view.focal_y * inverse_z, -view.focal_y * point.y * inverse_z**2],
    ]
    jacobian = torch.stack([torch.stack(row, -1) for row in rows], -2)
    transform = jacobian @ view.rotation
    projected = transform @ covariance_3d(g, view) @ transform.transpose(1, 2)
    return projected[:, 0, 0], projected[:, 0, 1], projected[:, 1, 1]


def compensation(a: Tensor, b: Tensor, c: Tensor, k: float) -> Tensor:
    """Opacity factor of the low-pass filter, 0 where a determinant is too small (step 6)."""
    floor = a.new_tensor(DETERMINANT_FLOOR)
    before = torch.maximum(a * c - b * b, floor)
    after = torch.maximum((a + k) * (c + k) - b * b, floor)
    usable = (before > floor) & (after > floor)
    ratio = before / (after + DETERMINANT_FLOOR) + DETERMINANT_FLOOR
    # The inner choice keeps the unused branch's derivative finite.
    root = torch.sqrt(torch.where(usable, ratio, torch.ones_like(ratio)))
    return torch.where(usable, root, torch.zeros_like(root))


def pixel_centre(g: Gaussians, view: View) -> Tensor:
    """Projected means (N, 2) in pixels, where (0, 0) is the centre of the first pixel."""
    h = g.means @ view.projection[:3] + view.projection[3]
    ndc = h[:, :2] / (h[:, 3:] + W_EPSILON)
    if g.means2D is not None:
        probed = _ScreenProbe.apply(ndc, g.means2D)
        assert isinstance(probed, Tensor)
        ndc = probed
    size = ndc.new_tensor([view.width, view.height])
    return ((ndc + 1) * size - 1) / 2


def project(g: Gaussians, point: CameraPoint, view: View) -> Projected:
    """Centre, conic and blending opacity (steps 2 to 7)."""
    a, b, c = covariance_2d(g, point, view)
    k = view.low_pass
    opacity = g.opacities[:, 0]
    if view.compensate:
        opacity = opacity * compensation(a, b, c, k)
    determinant = (a + k) * (c + k) - b * b
    conic = torch.stack([c + k, -b, a + k], -1) / determinant[:, None]
    return Projected(pixel_centre(g, view), conic, opacity)


@dataclass(frozen=True)
class Footprint:
    """Which Gaussians take part: radii (N,) int32, 0 where dropped; tile rectangles (N, 4)
    as x0, y0, x1, y1, half open; depths (N,) camera z in float32."""

    radii: Tensor
    tiles: Tensor
    depths: Tensor


@torch.no_grad()
def footprint(g: Gaussians, view: View) -> Footprint:
    """Near cut, radius and tile rectangle (steps 1 and 7 to 9); nothing here is differentiated."""
    g = g.detach()
    point = camera_point(g.means, view)
    a, b, c = covariance_2d(g, point, view)
    a, c = a + view.low_pass, c + view.low_pass
    determinant = a * c - b * b
    middle = (a + c) / 2
    spread = torch.sqrt(torch.clamp_min(middle * middle - determinant, RADIUS_FLOOR))
    radii = torch.ceil(3 * torch.sqrt(middle + spread))
    centre = pixel_centre(g, view)
    tiles = tile_rectangle(centre, radii, view)
    finite = torch.isfinite(radii) & torch.isfinite(centre).all(1) & torch.isfinite(1 / determinant)
    keep = (point.z > NEAR) & (determinant != 0) & finite
    keep &= (tiles[:, 2] > tiles[:, 0]) & (tiles[:, 3] > tiles[:, 1])
    radii = torch.where(keep, radii, torch.zeros_like(radii)).to(torch.int32)
    return Footprint(radii, tiles, point.z.to(torch.float32))


def tile_rectangle(centre: Tensor, radii: Tensor, view: View) -> Tensor:
    """(N, 4) int64: x0, y0, x1, y1 in tiles, half open (step 9)."""
    grid = centre.new_tensor([-(-view.width // TILE), -(-view.height // TILE)])
    low = torch.trunc((centre - radii[:, None]) / TILE)
    high = torch.trunc((centre + radii[:, None] + (TILE - 1)) / TILE)
    zero = torch.zeros_like(grid)
    edges = [torch.minimum(torch.maximum(e, zero), grid) for e in (low, high)]
    return torch.nan_to_num(torch.cat(edges, 1)).to(torch.int64)
