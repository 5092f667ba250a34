"""Front-to-back blending of one tile (spec `rasterizer.md`, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from diff_gaussian_rasterization.reference.inputs import View, as_float32
from diff_gaussian_rasterization.reference.plane import Planes

MAX_ALPHA = as_float32(0.99)
MIN_ALPHA = (torch.tensor(1.0) / torch.tensor(255.0)).item()
MIN_TRANSMITTANCE = as_float32(1e-4)
MEDIAN_TRANSMITTANCE = 0.5
MIN_NORMAL = 1e-12


class _Exponent(torch.autograd.Function):
    """Exponent of the 2D Gaussian, which also collects the absolute screen-space gradient.

    offset (pixels, n, 2), conic (n, 3), statistic (n,): its value is unused, its gradient is the
    sum over pixels of |d offset x| W/2 + |d offset y| H/2 (section 5, absolute statistic).
    """

    @staticmethod
    def forward(
        ctx: Any, offset: Tensor, conic: Tensor, statistic: Tensor, half_size: tuple[float, float]
    ) -> Tensor:
        ctx.save_for_backward(offset, conic)
        ctx.half_size = half_size
        dx, dy = offset.unbind(-1)
        a, b, c = conic.unbind(-1)
        return -(a * dx * dx + c * dy * dy) / 2 - b * dx * dy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        offset, conic = ctx.saved_tensors
        dx, dy = offset.unbind(-1)
        a, b, c = conic.unbind(-1)
        by_x = -grad * (a * dx + b * dy)
        by_y = -grad * (b * dx + c * dy)
        by_conic = torch.stack([-dx * dx / 2, -dx * dy, -dy * dy / 2], -1) * grad[..., None]
        half_width, half_height = ctx.half_size
        absolute = by_x.abs() * half_width + by_y.abs() * half_height
        return torch.stack([by_x, by_y], -1), by_conic.sum(0), absolute.sum(0), None


class _CutAlpha(torch.autograd.Function):
    """Cut at 0.99 with the gradient passed through (convention, section 5)."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        return alpha.clamp_max(MAX_ALPHA)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


@dataclass(frozen=True)
class Splats:
    """Gaussians as the tiles see them, nearest first; planes only when they are wanted.

    centre (n, 2), conic (n, 3), opacity (n,), colour (n, 3), statistic (n,).
    """

    centre: Tensor
    conic: Tensor
    opacity: Tensor
    colour: Tensor
    statistic: Tensor
    planes: Planes | None

    def select(self, index: Tensor) -> Splats:
        p = self.planes
        if p is not None:
            values = (p.distance, p.distance_slope, p.point, p.point_slope, p.normal)
            p = Planes(*(value[index] for value in values))
        values = (self.centre, self.conic, self.opacity, self.colour, self.statistic)
        return Splats(*(value[index] for value in values), planes=p)


@dataclass(frozen=True)
class Weights:
    """Per pixel and Gaussian (p, n): offset mu - p (p, n, 2), blended (bool), transmittance in
    front of the Gaussian, weight alpha T; and what is left behind all (p,)."""

    offset: Tensor
    blended: Tensor
    transmittance: Tensor
    weight: Tensor
    left: Tensor


def weigh(splats: Splats, pixels: Tensor, view: View) -> Weights:
    """Alphas, cuts and transmittance at pixels (p, 2) (section 4, steps 1 to 4 and 6)."""
    offset = splats.centre[None] - pixels[:, None]
    half_size = (view.width / 2, view.height / 2)
    power = _Exponent.apply(offset, splats.conic, splats.statistic, half_size)
    assert isinstance(power, Tensor)
    rising = power > 0
    density = torch.exp(torch.where(rising, torch.zeros_like(power), power))
    alpha = _CutAlpha.apply(splats.opacity * density)
    assert isinstance(alpha, Tensor)
    zero = torch.zeros_like(alpha)
    alpha = torch.where(rising | (alpha < MIN_ALPHA), zero, alpha)
    # Transmittance never rises, so everything from the first Gaussian that would push it below
    # the limit on is below the limit.
    behind = torch.cumprod(1 - alpha.detach(), 1)
    blended = (alpha > 0) & (behind >= MIN_TRANSMITTANCE)
    alpha = torch.where(blended, alpha, zero)
    one = alpha.new_ones(alpha.shape[0], 1)
    through = torch.cumprod(torch.cat([one, 1 - alpha], 1), 1)
    front = through[:, :-1]
    return Weights(offset, blended, front, alpha * front, through[:, -1])


def _median(w: Weights, values: Tensor) -> Tensor:
    """Value (p, c) of the last blended Gaussian with more than half of the light left, else 0."""
    in_front = w.blended & (w.transmittance > MEDIAN_TRANSMITTANCE)
    # Place 0 is nobody: a column of zeros.
    place = torch.arange(in_front.shape[1] + 1, device=in_front.device)
    last = (F.pad(in_front, (1, 0)) * place).amax(1)
    padded = F.pad(values, (0, 0, 1, 0))
    index = last[:, None, None].expand(-1, 1, values.shape[2])
    return padded.gather(1, index)[:, 0]


def _mean(w: Weights, values: Tensor, total: Tensor) -> Tensor:
    """Weighted mean (p, c), 0 where nothing was blended."""
    empty = total <= 0
    safe = torch.where(empty, torch.ones_like(total), total)
    summed = (w.weight[..., None] * values).sum(1)
    return torch.where(empty[:, None], torch.zeros_like(summed), summed / safe[:, None])


def ray_cosine(pixels: Tensor, view: View) -> Tensor:
    """Ray length over depth at pixels (p, 2); without half a pixel, as in the originals."""
    x = (pixels[:, 0] - view.width / 2) / view.focal_x
    y = (pixels[:, 1] - view.height / 2) / view.focal_y
    return torch.sqrt(x * x + y * y + 1)


def blend(splats: Splats, pixels: Tensor, view: View) -> tuple[Tensor, Weights]:
    """All outputs at pixels (p, 2), side by side: (p, 15) in the order colour 3, coordinates 3,
    median coordinates 3, depth, median depth, alpha, normal 3; those not wanted are 0."""
    w = weigh(splats, pixels, view)
    total = w.weight.sum(1)
    colour = w.weight @ splats.colour + w.left[:, None] * view.background
    none3 = torch.zeros_like(colour)
    coord, median_coord, normal = none3, none3, none3
    depth, median_depth = none3[:, :1], none3[:, :1]
    planes = splats.planes
    if planes is not None and view.want_coord:
        slope = (planes.point_slope[None] * w.offset[:, :, None, :]).sum(-1)
        points = planes.point[None] + slope
        coord, median_coord = _mean(w, points, total), _median(w, points)
    if planes is not None and view.want_depth:
        slope = (planes.distance_slope[None] * w.offset).sum(-1)
        distance = (planes.distance[None] + slope)[..., None]
        cosine = ray_cosine(pixels, view)[:, None]
        depth, median_depth = _mean(w, distance, total) / cosine, _median(w, distance) / cosine
    if planes is not None:
        raw = w.weight @ planes.normal
        normal = raw / raw.norm(dim=1, keepdim=True).clamp_min(MIN_NORMAL)
    parts = [colour, coord, median_coord, depth, median_depth, total[:, None], normal]
    return torch.cat(parts, 1), w
