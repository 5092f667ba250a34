"""Image pairs whose flow is known because one image was bent into the other.

A textured ground and a few textured patches before it move, each by an affine map and a smooth
random field of its own. The first image is made by looking every layer up at `x + flow(x)`, the
second shows the layers as they are, so the flow from first to second is exact; patches hide and
uncover what is behind them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from igs.config.training import WarpConfig
from igs.render.images import load_image, to_float
from igs.training.batches import seeded

PHOTO_TYPES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class FlowPair:
    """Two images and the flow between them, S x S pixels.

    Attributes:
        images: (2, 3, S, S) float32, 0..1, RGB.
        flow: (2, S, S) float32, from the first to the second, pixels, x right and y down.
        valid: (S, S) bool, where the flow stays in the picture and is seen in both images.
    """

    images: Tensor
    flow: Tensor
    valid: Tensor

    def to(self, device: torch.device | str) -> FlowPair:
        """The same pair on another device."""
        return FlowPair(self.images.to(device), self.flow.to(device), self.valid.to(device))


class WarpedPairs:
    """An endless source of `FlowPair`; see `SampleSource`.

    Args:
        config: see `WarpConfig`.
        size: side S, pixels.
        seed: of everything.
        photos: folder of photographs to cut textures from, one half of all; None for none.

    Raises:
        FileNotFoundError: a folder without photographs.
    """

    def __init__(self, config: WarpConfig, size: int, seed: int, photos: str | None = None) -> None:
        self.config, self.size, self.seed = config, size, seed
        self.photos = _photos(Path(photos)) if photos is not None else []

    def sample(self, index: int) -> FlowPair:
        """The pair of an index."""
        random, size = seeded(self.seed, index), self.size
        ground, flow = self._layer(random)
        images = [_look_up(ground, flow), ground]
        top0, top1 = torch.zeros(size, size), torch.zeros(size, size)
        for layer in range(1, 1 + _below(self.config.layers + 1, random)):
            texture, motion = self._layer(random)
            mask1 = blob(size, random)
            mask0 = (_look_up(mask1[None], motion)[0] > 0.5) & _inside(motion)
            mask1 = mask1 > 0.5
            images = [
                torch.where(mask0, _look_up(texture, motion), images[0]),
                torch.where(mask1, texture, images[1]),
            ]
            flow = torch.where(mask0, motion, flow)
            top0, top1 = top0.masked_fill(mask0, layer), top1.masked_fill(mask1, layer)
        # What is topmost where a pixel goes must be the layer that the pixel belongs to.
        there = _look_up(top1[None], flow, "nearest")[0]
        valid = _inside(flow) & (there == top0)
        return FlowPair(torch.stack([self._expose(i, random) for i in images]), flow, valid)

    def _layer(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        if self.photos and _uniform(random) < 0.5:
            texture = _cut_out(self.photos[_below(len(self.photos), random)], self.size, random)
        else:
            texture = noise_texture(self.size, random)
        return texture, random_flow(
            self.size, self.config.max_motion, random, self.config.min_share
        )

    def _expose(self, image: Tensor, random: torch.Generator) -> Tensor:
        jitter = self.config.jitter
        gain, offset = 1 + jitter * _spread(random, 3), jitter / 2 * _spread(random, 3)
        exposed = (image - 0.5) * gain[:, None, None] + 0.5 + offset[:, None, None]
        noise = torch.randn(image.shape, generator=random) * self.config.noise
        return (exposed + noise).clamp(0, 1)


def random_flow(
    size: int, max_motion: float, random: torch.Generator, min_share: float = 0.01
) -> Tensor:
    """A smooth field: shift, turn and stretch about the centre, and two octaves of waves.

    Args:
        size: side, pixels.
        max_motion: no displacement is longer than this share of the side; how much of it is used
            is drawn log-uniformly.
        random: draws everything.
        min_share: least part of it that is used.

    Returns:
        (2, size, size) pixels, x right and y down.
    """
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="xy"))
    matrix = 0.6 * _spread(random, 2, 2)
    field = _spread(random, 2)[:, None, None] + torch.einsum("ij,jhw->ihw", matrix, grid)
    for cells, strength in ((4, 0.5), (9, 0.2)):
        waves = strength * _spread(random, 1, 2, cells, cells)
        field = field + F.interpolate(waves, (size, size), mode="bicubic", align_corners=True)[0]
    longest = size * max_motion * min_share ** _uniform(random)
    return field * (longest / field.norm(dim=0).max().clamp(min=1e-9))


def noise_texture(size: int, random: torch.Generator) -> Tensor:
    """(3, size, size), 0..1: octaves of noise in a few colours, with hard edges at some levels."""
    total = torch.zeros(1, 1, size, size)
    roughness = 0.4 + 0.5 * _uniform(random)
    for octave in range(1, int(math.log2(size))):
        cells = torch.randn(1, 1, 2**octave, 2**octave, generator=random)
        detail = F.interpolate(cells, (size, size), mode="bicubic", align_corners=False)
        total = total + roughness**octave * detail
    height = ((total - total.mean()) / total.std().clamp(min=1e-6))[0]
    levels = 1 + _below(5, random)
    stepped = torch.floor(height * levels) / levels
    height = torch.lerp(height, stepped, float(_uniform(random) < 0.6))
    low, high = torch.rand(2, 3, 1, 1, generator=random)
    return torch.lerp(low, high, torch.sigmoid(1.5 * height).expand(3, size, size))


def blob(size: int, random: torch.Generator) -> Tensor:
    """(size, size), 0..1: a patch with a wavy rim, above one half inside."""
    x, y = torch.meshgrid(*[torch.linspace(0, 1, size)] * 2, indexing="xy")
    centre, radius = torch.rand(2, generator=random), 0.05 + 0.2 * _uniform(random)
    angle = torch.atan2(y - centre[1], x - centre[0])
    rim = torch.full_like(x, radius)
    for waves in (2, 3, 5):
        phase = 2 * math.pi * _uniform(random)
        rim = rim + 0.3 * radius * _uniform(random) * torch.cos(waves * angle + phase)
    distance = ((x - centre[0]).square() + (y - centre[1]).square()).sqrt()
    return torch.sigmoid((rim - distance) * size)


def _look_up(layer: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Values of a (C, S, S) layer at `x + flow(x)`; borders are repeated."""
    size = layer.shape[-1]
    centres = torch.arange(size) + 0.5
    x, y = centres[None, :] + flow[0], centres[:, None] + flow[1]
    grid = torch.stack([x, y], dim=-1)[None] * (2 / size) - 1
    found = F.grid_sample(layer[None], grid, mode, padding_mode="border", align_corners=False)
    return found[0]


def _inside(flow: Tensor) -> Tensor:
    size = flow.shape[-1]
    centres = torch.arange(size) + 0.5
    x, y = centres[None, :] + flow[0], centres[:, None] + flow[1]
    return (x >= 0) & (x <= size) & (y >= 0) & (y <= size)


def _cut_out(path: Path, size: int, random: torch.Generator) -> Tensor:
    image = to_float(load_image(path))
    height, width = image.shape[1:]
    side = max(1, int(min(height, width) * (0.3 + 0.7 * _uniform(random))))
    top, left = _below(height - side + 1, random), _below(width - side + 1, random)
    part = image[None, :, top : top + side, left : left + side]
    resized = F.interpolate(
        part, (size, size), mode="bilinear", align_corners=False, antialias=side > size
    )
    return resized[0].clamp(0, 1)


def _photos(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_TYPES)
    if not found:
        raise FileNotFoundError(f"{folder}: no photographs ({', '.join(PHOTO_TYPES)}) in it")
    return found


def _uniform(random: torch.Generator) -> float:
    return float(torch.rand((), generator=random))


def _spread(random: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=random) * 2 - 1


def _below(count: int, random: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=random))
