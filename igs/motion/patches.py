"""Sub-pixel flow at the anchors: small patches of the key images followed into other frames.

The flow network works at an eighth of the image size; what moves by a pixel or less is found
here, by aligning a patch around every anchor (Lucas and Kanade, in its inverse form: gradients
belong to the key frame and are computed once). A patch counts its pixels by depth, so that the
background around a moving part has no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from igs.motion.lift import sample

RADIUS = 3  # patches are 2 RADIUS + 1 pixels wide
LEVELS = (4, 2, 1)  # by how much images are made smaller, coarse to fine
STEPS = 3  # Gauss-Newton steps per level
SAME_DEPTH = 0.05  # network units: pixels this far before or behind the anchor count little
BEHIND = 0.1  # share of what lies behind: a rim tells of motion even before plain ground
FLAT = 0.02  # summed squared gradient of a patch at which the flow network is believed as much
QUIET = 0.008  # colour difference that noise makes, two steps of 8-bit images
GAIN = 0.95  # share of the difference that must be left at most for a motion to be believed
LONGEST_STEP = 2.0  # pixels of the level, so that a bad patch does not run away


@dataclass(frozen=True)
class Patches:
    """Patches of one level around M anchors in V views, P pixels each.

    Attributes:
        scale: by how much the images were made smaller.
        pixels: (V, M, P, 2) float32, where they are, pixels of the level.
        colors: (V, M, P, 3) float32, 0..1, the key frame's.
        gradients: (V, M, P, 3, 2) float32, of the colours, times `shares`; per pixel.
        shares: (V, M, P) float32, weights that sum to one over P.
        hessian: (V, M, 2, 2) float32, summed products of the gradients, per squared pixel.
    """

    scale: int
    pixels: Tensor
    colors: Tensor
    gradients: Tensor
    shares: Tensor
    hessian: Tensor

    def to(self, device: torch.device | str) -> Patches:
        """The same on another device."""
        tensors = (getattr(self, f.name) for f in fields(self) if f.name != "scale")
        return Patches(self.scale, *(tensor.to(device) for tensor in tensors))

    def select(self, view: int, rows: Tensor) -> Patches:
        """Some anchors of one view."""
        tensors = (getattr(self, f.name) for f in fields(self) if f.name != "scale")
        return Patches(self.scale, *(tensor[view, rows][None] for tensor in tensors))


def cut_patches(
    images: Tensor, depth: Tensor, pixels: Tensor, z: Tensor, visible: Tensor
) -> list[Patches]:
    """Patches of every level.

    Args:
        images: (V, 3, H, W) float32, 0..1, the key frame.
        depth: (V, Hd, Wd) float32, network units, 0 where nothing is seen.
        pixels: (V, M, 2) float32, where the anchors are seen, pixels of the images.
        z: (V, M) float32, depth of the anchors, network units.
        visible: (V, M) float32, above 0 where an anchor is in the picture.

    Returns:
        One entry per level, coarse first.
    """
    return [_cut(images, depth, pixels, z, visible, scale) for scale in LEVELS]


def follow(
    patches: list[Patches], images: Tensor, starts: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Flow that aligns the patches with another frame.

    Args:
        patches: of the key frame.
        images: (V, 3, H, W) float32, 0..1, the other frame.
        starts: (V, M, 2) float32 each, flows to start from, pixels of the images.

    Returns:
        (V, M, 2) flow, and (V, M) root mean square colour difference that is left: of all starts
        and what they lead to, what aligns best; the first of equals. Patches that look as in the
        key frame are not searched: textured ones have no flow, flat ones the first start's.
    """
    finest, still = patches[-1], torch.zeros_like(starts[0])
    unmoved = _difference(finest, images, still)
    # What looks as before and has texture stood still; of flat ground only the network can tell.
    best = torch.where(_textured(finest)[..., None], still, starts[0])
    least = _difference(finest, images, best)
    for view, changed in enumerate(unmoved > QUIET):
        rows = changed.nonzero()[:, 0]
        if len(rows):
            part = [level.select(view, rows) for level in patches]
            given = [start[view, rows][None] for start in starts]
            flow, left = _align(part, images[view : view + 1], given)
            # Any alignment lowers the difference a little, for noise can be followed as well.
            moves = left[0] < GAIN * unmoved[view, rows]
            best[view, rows] = torch.where(moves[:, None], flow[0], best[view, rows])
            least[view, rows] = torch.where(moves, left[0], least[view, rows])
    return best, least


def _align(
    patches: list[Patches], images: Tensor, starts: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    best, least = starts[0], _difference(patches[-1], images, starts[0])
    smaller = {p.scale: F.avg_pool2d(images, p.scale) if p.scale > 1 else images for p in patches}
    for flow in starts:
        for level in patches:
            for _ in range(STEPS):
                step = _step(level, smaller[level.scale], flow / level.scale)
                flow = flow + level.scale * step
        left = _difference(patches[-1], images, flow)
        better = left < least
        best, least = torch.where(better[..., None], flow, best), torch.where(better, left, least)
    return best, least


def _textured(level: Patches) -> Tensor:
    """(V, M) bool: the patch has gradients in both directions."""
    (a, b), (_, d) = ((row[..., 0], row[..., 1]) for row in level.hessian.unbind(dim=-2))
    return a * d - b * b > FLAT * (a + d)


def _cut(
    images: Tensor, depth: Tensor, pixels: Tensor, z: Tensor, visible: Tensor, scale: int
) -> Patches:
    images = F.avg_pool2d(images, scale) if scale > 1 else images
    height, width = images.shape[-2:]
    reach = torch.arange(-RADIUS, RADIUS + 1, device=images.device, dtype=images.dtype)
    y, x = torch.meshgrid(reach, reach, indexing="ij")
    around = pixels[:, :, None] / scale + torch.stack([x, y], dim=-1).flatten(0, 1)
    colors = _look_up(images, around)
    right = _look_up(images, around + images.new_tensor([0.5, 0.0]))
    left = _look_up(images, around - images.new_tensor([0.5, 0.0]))
    below = _look_up(images, around + images.new_tensor([0.0, 0.5]))
    above = _look_up(images, around - images.new_tensor([0.0, 0.5]))
    shown = _look_up(depth[:, None], around * depth.new_tensor(_ratio(depth, height, width)))
    behind = shown[..., 0] - z[..., None]
    alike = torch.exp(-(behind / SAME_DEPTH).square()) + 1e-4
    alike = torch.where(behind > 0, alike.clamp(min=BEHIND), alike)
    inside = ((around >= 0) & (around <= around.new_tensor([width, height]))).all(dim=-1)
    shares = alike * inside * (visible > 0)[..., None]
    shares = shares / shares.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    gradients = torch.stack([right - left, below - above], dim=-1)
    mean = (gradients * shares[..., None, None]).sum(dim=2, keepdim=True)
    gradients = gradients - mean
    weighted = gradients * shares[..., None, None]
    # As many pixels as a full patch has, so that `FLAT` has one meaning.
    hessian = torch.einsum("vmpci,vmpcj->vmij", weighted, gradients) * shares.shape[-1]
    return Patches(scale, around, colors, weighted * shares.shape[-1], shares, hessian)


def _ratio(depth: Tensor, height: int, width: int) -> list[float]:
    return [depth.shape[-1] / width, depth.shape[-2] / height]


def _look_up(maps: Tensor, pixels: Tensor) -> Tensor:
    """(V, C, H, W) maps at (V, M, P, 2) pixels: (V, M, P, C)."""
    scale = pixels.new_tensor([2 / maps.shape[-1], 2 / maps.shape[-2]])
    return sample(maps, pixels.flatten(1, 2) * scale - 1).unflatten(1, pixels.shape[1:3])


def _residual(level: Patches, images: Tensor, flow: Tensor) -> Tensor:
    """(V, M, P, 3): key frame less other frame, each patch less its mean (light may change)."""
    found = _look_up(images, level.pixels + flow[:, :, None])
    difference = level.colors - found
    return difference - (difference * level.shares[..., None]).sum(dim=2, keepdim=True)


def _difference(level: Patches, images: Tensor, flow: Tensor) -> Tensor:
    residual = _residual(level, images, flow).square().mean(dim=-1)
    return ((residual * level.shares).sum(dim=-1) + 1e-12).sqrt()


def _step(level: Patches, images: Tensor, flow: Tensor) -> Tensor:
    residual = _residual(level, images, flow)
    right = torch.einsum("vmpci,vmpc->vmi", level.gradients, residual)
    (a, b), (_, d) = ((row[..., 0], row[..., 1]) for row in level.hessian.unbind(dim=-2))
    a, d = a + FLAT, d + FLAT
    x, y = right.unbind(dim=-1)
    step = torch.stack([d * x - b * y, a * y - b * x], dim=-1) / (a * d - b * b)[..., None]
    length = step.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return step * (LONGEST_STEP / length).clamp(max=1)
