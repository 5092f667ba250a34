"""Plane of each Gaussian as seen by the camera: depth slope, coordinate slope, normal.

Source: spec `rasterizer.md`, section 3.1 (RaDe-GS).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diff_gaussian_rasterization.reference.inputs import Gaussians, View
from diff_gaussian_rasterization.reference.project import (
    CameraPoint,
    rotation_matrix,
    symmetric,
)


@dataclass(frozen=True)
class Planes:
    """Per Gaussian: distance (N,), its slope per pixel (N, 2), camera point (N, 3), its slope
    per pixel (N, 3, 2), unit normal (N, 3) toward the camera."""

    distance: Tensor
    distance_slope: Tensor
    point: Tensor
    point_slope: Tensor
    normal: Tensor


def _direction_from_factors(g: Gaussians, w: Tensor, view: View) -> Tensor:
    """`Sigma_c^-1 w` up to a factor, from scales and rotation; never singular."""
    assert g.scales is not None
    assert g.rotations is not None
    scales = view.scale_modifier * g.scales
    smallest = scales.detach().amin(1, keepdim=True)
    flat = scales.detach() == 0
    weights = (smallest / torch.where(flat, torch.ones_like(scales), scales)) ** 2
    weights = torch.where(flat, torch.ones_like(weights), weights)
    q = rotation_matrix(g.rotations)
    # The inverse of Q: its value is the transpose (Q is orthogonal), its derivative that of an
    # inverse, so that the gradient is the one through Sigma even off the unit sphere.
    transpose = q.detach().transpose(1, 2)
    inverse = transpose - transpose @ (q - q.detach()) @ transpose
    omega = inverse @ (view.rotation.T @ w[:, :, None])
    return (view.rotation @ (inverse.transpose(1, 2) @ (weights[:, :, None] * omega)))[:, :, 0]


def _adjugate(m: Tensor) -> Tensor:
    """Cofactor matrix of symmetric (N, 3, 3) matrices."""
    a, b, c = m[:, 0, 0], m[:, 0, 1], m[:, 0, 2]
    d, e, f = m[:, 1, 1], m[:, 1, 2], m[:, 2, 2]
    upper = [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e]
    return symmetric(torch.stack([*upper, a * d - b * b], -1))


def _direction_from_covariance(g: Gaussians, w: Tensor, view: View) -> Tensor:
    """The same from the covariance by cofactors, in double precision."""
    assert g.covariances is not None
    sigma = symmetric(g.covariances.double())
    trace = sigma.detach().diagonal(dim1=1, dim2=2).sum(-1)[:, None, None]
    rotation = view.rotation.double()
    in_camera = rotation @ (sigma / trace) @ rotation.T
    return (_adjugate(in_camera) @ w.double()[:, :, None])[:, :, 0].to(w.dtype)


def _gradient_of_depth(m: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    g0 = (v * v + 1) * m[:, 0] - u * v * m[:, 1] - u * m[:, 2]
    g1 = -u * v * m[:, 0] + (u * u + 1) * m[:, 1] - v * m[:, 2]
    return g0, g1


def _point_slope(p: CameraPoint, g0: Tensor, g1: Tensor, n2: Tensor, view: View) -> Tensor:
    u, v = p.u, p.v
    by_x = [-(v * v + 1) * p.z + g0 * p.x, u * v * p.z + g0 * p.y, p.x + g0 * p.z]
    by_y = [u * v * p.z + g1 * p.x, -(u * u + 1) * p.z + g1 * p.y, p.y + g1 * p.z]
    columns = [
        torch.stack(by_x, -1) / (n2 * view.focal_x)[:, None],
        torch.stack(by_y, -1) / (n2 * view.focal_y)[:, None],
    ]
    return torch.stack(columns, -1)


def _normal(p: CameraPoint, g0: Tensor, g1: Tensor, n2: Tensor, length: Tensor) -> Tensor:
    e0, e1 = -g0 * length / n2, -g1 * length / n2
    raw = torch.stack(
        [
            e0 / p.z - p.x / length,
            e1 / p.z - p.y / length,
            -(p.x * e0 + p.y * e1) / p.z**2 - p.z / length,
        ],
        -1,
    )
    return raw / raw.norm(dim=-1, keepdim=True)


def planes(g: Gaussians, point: CameraPoint, view: View) -> Planes:
    """Plane quantities of every Gaussian; slopes and normal are 0 where there is no plane."""
    w = torch.stack([point.u, point.v, torch.ones_like(point.u)], -1)
    from_factors = g.covariances is None
    q = (_direction_from_factors if from_factors else _direction_from_covariance)(g, w, view)
    along = (w * q).sum(-1)
    # A q that vanishes has along = 0, one that is not finite fails the comparison or isfinite.
    usable = torch.isfinite(q).all(-1) & torch.isfinite(along) & (along > 0)
    m = torch.where(usable[:, None], q, w) / torch.where(usable, along, (w * w).sum(-1))[:, None]
    g0, g1 = _gradient_of_depth(m, point.u, point.v)
    n2 = point.u**2 + point.v**2 + 1
    length = torch.sqrt(point.x**2 + point.y**2 + point.z**2)
    slope = torch.stack([g0 / view.focal_x, g1 / view.focal_y], -1) * (length / n2)[:, None]
    point_slope = _point_slope(point, g0, g1, n2, view)
    normal = _normal(point, g0, g1, n2, length)
    return Planes(
        distance=point.true.norm(dim=-1),
        distance_slope=_only(usable, slope),
        point=point.true,
        point_slope=_only(usable, point_slope),
        normal=_only(usable, normal),
    )


def _only(usable: Tensor, value: Tensor) -> Tensor:
    mask = usable.view(-1, *[1] * (value.dim() - 1))
    return torch.where(mask, value, torch.zeros_like(value))
