"""What the network knows of geometry: rays and depth per map pixel, and the norm they steer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONDITION_CHANNELS = 33  # harmonics of direction (16) and moment (16), depth (1)


def camera_rays(world_to_camera: Tensor, fov: Tensor, height: int, width: int) -> Tensor:
    """Rays through the pixel centres of a map.

    Args:
        world_to_camera: (V, 4, 4) float32, rigid.
        fov: (V, 2) float32, horizontal and vertical field of view, radians.
        height: rows of the map.
        width: columns of the map.

    Returns:
        (V, height, width, 6): origin, then unit direction, world axes.

    Source: spec `agm_net.md`, section 4.
    """
    half_x, half_y = torch.tan(fov / 2).unbind(1)
    x = ((torch.arange(width, device=fov.device) + 0.5) / width * 2 - 1)[None] * half_x[:, None]
    y = ((torch.arange(height, device=fov.device) + 0.5) / height * 2 - 1)[None] * half_y[:, None]
    views = len(fov)
    camera = torch.stack(
        [
            x[:, None, :].expand(views, height, width),
            y[:, :, None].expand(views, height, width),
            x.new_ones(views, height, width),
        ],
        dim=-1,
    )
    rotation, translation = world_to_camera[:, :3, :3], world_to_camera[:, :3, 3]
    direction = torch.einsum("vhwj,vji->vhwi", F.normalize(camera, dim=-1), rotation)
    origin = -torch.einsum("vj,vji->vi", translation, rotation)
    return torch.cat([origin[:, None, None].expand_as(direction), direction], dim=-1)


def pluecker(rays: Tensor) -> Tensor:
    """(..., 6) origins and directions to (..., 6) unit directions and moments (origin x d)."""
    origin, direction = rays.split(3, dim=-1)
    direction = F.normalize(direction, dim=-1)
    return torch.cat([direction, torch.linalg.cross(origin, direction, dim=-1)], dim=-1)


def harmonics(vectors: Tensor) -> Tensor:
    """The 16 real spherical harmonics up to degree 3 as polynomials, also off the unit sphere.

    Which polynomials matters: moments are no unit vectors.

    Args:
        vectors: (..., 3).

    Returns:
        (..., 16).

    Source: spec `agm_net.md`, section 4, table.
    """
    x, y, z = vectors.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    values = [
        torch.full_like(x, 0.282094791773878),
        -0.48860251190292 * y,
        0.48860251190292 * z,
        -0.48860251190292 * x,
        1.09254843059208 * x * y,
        -1.09254843059208 * y * z,
        0.94617469575756 * zz - 0.31539156525252,
        -1.09254843059208 * x * z,
        0.54627421529604 * (xx - yy),
        -0.590043589926644 * y * (3 * xx - yy),
        2.89061144264055 * x * y * z,
        0.304697199642977 * y * (1.5 - 7.5 * zz),
        1.24392110863372 * z * (1.5 * zz - 0.5) - 0.497568443453487 * z,
        0.304697199642977 * x * (1.5 - 7.5 * zz),
        1.44530572132028 * z * (xx - yy),
        -0.590043589926644 * x * (xx - 3 * yy),
    ]
    return torch.stack(values, dim=-1)


def condition_maps(rays: Tensor, depth: Tensor) -> Tensor:
    """Condition of every map pixel.

    Args:
        rays: (V, h, w, 6) from `camera_rays`.
        depth: (V, Hd, Wd) float32, along the camera's z axis, of any size; resized here.

    Returns:
        (V, h, w, 33): harmonics of direction and moment, then depth.
    """
    height, width = rays.shape[1:3]
    resized = F.interpolate(depth[:, None], (height, width), mode="bilinear", align_corners=False)
    direction, moment = pluecker(rays).split(3, dim=-1)
    return torch.cat([harmonics(direction), harmonics(moment), resized.permute(0, 2, 3, 1)], dim=-1)


class ModulatedNorm(nn.Module):
    """Layer norm over channels whose shift and scale follow from the condition.

    Source: spec `agm_net.md`, section 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.hidden = nn.Linear(CONDITION_CHANNELS, channels)
        self.output = nn.Linear(channels, 2 * channels)

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 33) conditions to (..., C) shift and (..., C) scale.

        In float32: moments to the third power leave the range of half precision.
        """
        with torch.autocast(condition.device.type, enabled=False):
            shift, scale = self.output(F.silu(self.hidden(condition.float()))).chunk(2, dim=-1)
        return shift, scale

    def forward(self, maps: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """(B, C, h, w) maps by (B, h, w, C) modulation to (B, C, h, w)."""
        normed = self.norm(maps.permute(0, 2, 3, 1))
        return (normed * (1 + scale) + shift).permute(0, 3, 1, 2)
