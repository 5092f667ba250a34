"""A peer to measure against: plain 3DGS in the usual fashion, compositing in NVIDIA Warp.

Projection and spherical harmonics are torch operations under autograd; tile lists come from one
sort of (tile, depth) keys; two Warp kernels walk the list of each pixel's tile, forward and
backward with atomic additions. Own code, written for this comparison only.
"""

# Warp reads a kernel's annotations and compiles its body; to a type checker they look wrong.
# pyright: reportInvalidTypeForm=false, reportOperatorIssue=false, reportArgumentType=false
# pyright: reportIndexIssue=false, reportCallIssue=false, reportAttributeAccessIssue=false
# ruff: noqa: UP018, RUF046 - float(0.0) and int(0) declare variables that change in a kernel

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import warp as wp  # pyright: ignore[reportMissingImports]  an extra that tests do without
from torch import Tensor

wp.config.quiet = True
wp.init()

TILE = 16
_SH = (0.28209479177387814, 0.4886025119029199, 1.0925484305920792, 0.31539156525252005,
       0.5462742152960396, 0.5900435899266435, 2.890611442640554, 0.4570457994644658,
       0.3731763325901154, 1.445305721320277)  # fmt: skip


class Camera(NamedTuple):
    """At the origin, looking along z; principal point in the image centre."""

    width: int
    height: int
    focal: float


@wp.func
def _alpha(mean: wp.vec2, conic: wp.vec3, opacity: float, x: float, y: float) -> float:
    dx = mean[0] - x
    dy = mean[1] - y
    power = -0.5 * (conic[0] * dx * dx + conic[2] * dy * dy) - conic[1] * dx * dy
    if power > 0.0:
        return 0.0
    return opacity * wp.exp(power)


@wp.kernel
def _forward_kernel(
    width: int,
    tiles_x: int,
    begin: wp.array(dtype=int),
    ids: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    colors: wp.array(dtype=wp.vec3),
    image: wp.array(dtype=wp.vec3),
    light: wp.array(dtype=float),
    last: wp.array(dtype=int),
):
    pixel = wp.tid()
    x = pixel % width
    y = pixel // width
    tile = (y // TILE) * tiles_x + x // TILE
    T = float(1.0)
    total = wp.vec3(0.0, 0.0, 0.0)
    end = int(0)
    for k in range(begin[tile], begin[tile + 1]):
        i = ids[k]
        alpha = wp.min(_alpha(means[i], conics[i], opacities[i], float(x), float(y)), 0.99)
        if alpha >= 1.0 / 255.0:
            after = T * (1.0 - alpha)
            if after < 0.0001:
                break
            total = total + alpha * T * colors[i]
            T = after
            end = k + 1
    image[pixel] = total
    light[pixel] = T
    last[pixel] = end


@wp.kernel
def _backward_kernel(
    width: int,
    tiles_x: int,
    begin: wp.array(dtype=int),
    ids: wp.array(dtype=int),
    means: wp.array(dtype=wp.vec2),
    conics: wp.array(dtype=wp.vec3),
    opacities: wp.array(dtype=float),
    colors: wp.array(dtype=wp.vec3),
    light: wp.array(dtype=float),
    last: wp.array(dtype=int),
    grad: wp.array(dtype=wp.vec3),
    d_means: wp.array(dtype=wp.vec2),
    d_conics: wp.array(dtype=wp.vec3),
    d_opacities: wp.array(dtype=float),
    d_colors: wp.array(dtype=wp.vec3),
):
    pixel = wp.tid()
    x = pixel % width
    y = pixel // width
    tile = (y // TILE) * tiles_x + x // TILE
    T = light[pixel]
    behind = float(0.0)
    g = grad[pixel]
    first = begin[tile]
    for back in range(last[pixel] - first):
        i = ids[last[pixel] - 1 - back]
        raw = _alpha(means[i], conics[i], opacities[i], float(x), float(y))
        alpha = wp.min(raw, 0.99)
        if alpha >= 1.0 / 255.0:
            T = T / (1.0 - alpha)
            s = wp.dot(g, colors[i])
            d_alpha = T * s - behind / (1.0 - alpha)
            behind = behind + alpha * T * s
            wp.atomic_add(d_colors, i, alpha * T * g)
            wp.atomic_add(d_opacities, i, raw / opacities[i] * d_alpha)
            d_power = raw * d_alpha
            dx = means[i][0] - float(x)
            dy = means[i][1] - float(y)
            c = conics[i]
            moment = wp.vec2(-c[0] * dx - c[1] * dy, -c[2] * dy - c[1] * dx)
            wp.atomic_add(d_means, i, d_power * moment)
            form = wp.vec3(-0.5 * dx * dx, -dx * dy, -0.5 * dy * dy)
            wp.atomic_add(d_conics, i, d_power * form)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, camera: Camera, lists: tuple[Tensor, Tensor], *splats: Tensor) -> Tensor:
        pixels = camera.width * camera.height
        ctx.camera, ctx.lists = camera, lists
        image, light = torch.empty(pixels, 3), torch.empty(pixels)
        last = torch.empty(pixels, dtype=torch.int32)
        inputs = _arrays(camera, lists, splats)
        outputs = [wp.from_torch(image, dtype=wp.vec3), wp.from_torch(light), wp.from_torch(last)]
        wp.launch(_forward_kernel, dim=pixels, inputs=inputs, outputs=outputs, device="cpu")
        ctx.save_for_backward(*splats, light, last)
        return image

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        *splats, light, last = ctx.saved_tensors
        out = [torch.zeros_like(s) for s in splats]
        inputs = [
            *_arrays(ctx.camera, ctx.lists, splats),
            wp.from_torch(light),
            wp.from_torch(last),
            wp.from_torch(grads[0].contiguous(), dtype=wp.vec3),
        ]
        kinds = (wp.vec2, wp.vec3, wp.float32, wp.vec3)
        outputs = [wp.from_torch(o, dtype=k) for o, k in zip(out, kinds, strict=True)]
        wp.launch(_backward_kernel, dim=len(light), inputs=inputs, outputs=outputs, device="cpu")
        return (None, None, *out)


def _arrays(camera: Camera, lists: tuple[Tensor, Tensor], splats: Any) -> list[Any]:
    kinds = (wp.vec2, wp.vec3, wp.float32, wp.vec3)
    tiles_x = -(-camera.width // TILE)
    return [
        camera.width,
        tiles_x,
        *(wp.from_torch(t) for t in lists),
        *(
            wp.from_torch(s.detach().contiguous(), dtype=k)
            for s, k in zip(splats, kinds, strict=True)
        ),
    ]


def _rotations(q: Tensor) -> Tensor:
    w, x, y, z = q.unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


def _colors(means: Tensor, sh: Tensor) -> Tensor:
    d = torch.nn.functional.normalize(means, dim=-1)
    x, y, z = d.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    c = _SH
    basis = torch.stack(
        (
            torch.full_like(x, c[0]), -c[1] * y, c[1] * z, -c[1] * x,
            c[2] * x * y, -c[2] * y * z, c[3] * (2 * zz - xx - yy), -c[2] * x * z,
            c[4] * (xx - yy), -c[5] * y * (3 * xx - yy), c[6] * x * y * z,
            -c[7] * y * (4 * zz - xx - yy), c[8] * z * (2 * zz - 3 * xx - 3 * yy),
            -c[7] * x * (4 * zz - xx - yy), c[9] * z * (xx - yy), -c[5] * x * (xx - 3 * yy),
        ),
        -1,
    )  # fmt: skip
    return (torch.einsum("nk,nkc->nc", basis, sh) + 0.5).clamp_min(0.0)


def _tile_lists(
    camera: Camera, centres: Tensor, radii: Tensor, depths: Tensor
) -> tuple[Tensor, Tensor]:
    """First entry of each tile (int32, tiles + 1) and Gaussian indices in depth order."""
    grid = torch.tensor([-(-camera.width // TILE), -(-camera.height // TILE)])
    low = ((centres - radii[:, None]) / TILE).trunc().long().clamp(min=0).minimum(grid)
    high = ((centres + radii[:, None] + TILE - 1) / TILE).trunc().long().clamp(min=0).minimum(grid)
    size = (high - low).clamp_min(0) * (radii > 0)[:, None]
    count = size.prod(1)
    ids = torch.repeat_interleave(torch.arange(len(count)), count)
    local = torch.arange(len(ids)) - torch.repeat_interleave(count.cumsum(0) - count, count)
    columns = size[ids, 0]
    tile = (low[ids, 1] + local // columns) * grid[0] + low[ids, 0] + local % columns
    rank = torch.empty_like(depths, dtype=torch.int64)
    rank[depths.argsort(stable=True)] = torch.arange(len(depths))
    order = (tile * len(depths) + rank[ids]).argsort()
    per_tile = torch.bincount(tile, minlength=int(grid.prod()))
    begin = torch.cat([torch.zeros(1, dtype=torch.int64), per_tile.cumsum(0)])
    return begin.int(), ids[order].int()


def render(
    camera: Camera, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, sh: Tensor
) -> Tensor:
    """Colour (H, W, 3) over black, low-pass 0.3, SH degree 3; differentiable in all inputs."""
    x, y, z = means.unbind(-1)
    f = camera.focal
    limit_x, limit_y = 0.65 * camera.width / f, 0.65 * camera.height / f
    u, v = (x / z).clamp(-limit_x, limit_x), (y / z).clamp(-limit_y, limit_y)
    zero = torch.zeros_like(z)
    J = torch.stack([f / z, zero, -f * u / z, zero, f / z, -f * v / z], -1).view(-1, 2, 3)
    F = J @ (_rotations(quats) * scales[:, None, :])
    cov = F @ F.transpose(1, 2)
    a, b, c = cov[:, 0, 0] + 0.3, cov[:, 0, 1], cov[:, 1, 1] + 0.3
    det = a * c - b * b
    conics = torch.stack([c / det, -b / det, a / det], -1)
    centres = torch.stack(
        [f * x / z + camera.width / 2 - 0.5, f * y / z + camera.height / 2 - 0.5], -1
    )
    with torch.no_grad():
        mid = 0.5 * (a + c)
        radii = (3 * (mid + (mid * mid - det).clamp_min(0.1).sqrt()).sqrt()).ceil()
        radii = torch.where(z > 0.2, radii, zero)
        lists = _tile_lists(camera, centres, radii, z)
    colors = _colors(means, sh)
    image = _Composite.apply(camera, lists, centres, conics, opacities[:, 0], colors)
    return image.view(camera.height, camera.width, 3)
