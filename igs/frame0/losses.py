"""Terms of the frame-0 loss beside L1 + D-SSIM: depth against normal, and what keeps sizes at bay.

Source: spec `frame0.md`, section 3 (depth-normal term, as in RaDe-GS and 2DGS).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from igs.gaussians import Gaussians
from igs.render import RenderOutput
from igs.scene import Camera

Pinhole = tuple[float, float, float, float]


def pinhole(camera: Camera) -> Pinhole:
    """fx, fy, cx, cy of a camera, pixels."""
    return camera.fx, camera.fy, camera.cx, camera.cy


def normals_from_depth(depth: torch.Tensor, lens: Pinhole) -> torch.Tensor:
    """Normals of the surface that a depth map describes.

    Pixels are lifted to camera axes; the normal is the unit vector along the cross product of the
    vertical and the horizontal central difference. Differentiable.

    Args:
        depth: (..., H, W) z-depth, world units.
        lens: fx, fy, cx, cy, pixels.

    Returns:
        (..., 3, H, W) in camera axes, toward the camera; 0 on the border of one pixel and where
        the differences vanish.
    """
    fx, fy, cx, cy = lens
    height, width = depth.shape[-2:]
    like = {"dtype": depth.dtype, "device": depth.device}
    x = (torch.arange(width, **like) + (0.5 - cx)) / fx
    y = (torch.arange(height, **like) + (0.5 - cy)) / fy
    points = torch.stack([x * depth, y[:, None] * depth, depth], dim=-3)
    down = points[..., 2:, 1:-1] - points[..., :-2, 1:-1]
    right = points[..., 1:-1, 2:] - points[..., 1:-1, :-2]
    normals = F.normalize(torch.linalg.cross(down, right, dim=-3), dim=-3)
    return F.pad(normals, (1, 1, 1, 1))


def depth_normal_loss(
    depth: torch.Tensor,
    median_depth: torch.Tensor,
    normal: torch.Tensor,
    lens: Pinhole,
    *,
    median_share: float = 0.6,
) -> torch.Tensor:
    """How far the rendered normals are from the normals of the rendered depths.

    ``1 - cos`` per pixel, a weighted mean of that with the expected and with the median depth. The
    mean runs over all pixels: the border and empty pixels count 1 each, a constant.

    Args:
        depth: (1, H, W) expected z-depth.
        median_depth: (1, H, W) median z-depth.
        normal: (3, H, W) rendered normals in camera axes.
        lens: fx, fy, cx, cy, pixels.
        median_share: weight of the median depth, 0..1.

    Returns:
        Scalar, differentiable in all three images.
    """
    lifted = normals_from_depth(torch.cat([depth, median_depth]), lens)
    errors = 1 - (lifted * normal).sum(dim=1)
    expected, median = errors.mean(dim=(1, 2))
    return (1 - median_share) * expected + median_share * median


def view_depth_normal_loss(
    view: RenderOutput, camera: Camera, median_share: float = 0.6
) -> torch.Tensor:
    """`depth_normal_loss` of a view rendered with depth, median depth and normal.

    Raises:
        ValueError: the view lacks one of them.
    """
    if view.depth is None or view.median_depth is None or view.normal is None:
        raise ValueError("the depth-normal term needs depth, median_depth and normal rendered")
    return depth_normal_loss(
        view.depth, view.median_depth, view.normal, pinhole(camera), median_share=median_share
    )


def normal_angle(view: RenderOutput, camera: Camera) -> float:
    """Mean angle between the rendered normals and those of the rendered depth, degrees.

    Only pixels that are mostly covered (alpha above one half) and not on the border count.

    Returns:
        0..180; NaN where no pixel counts.

    Raises:
        ValueError: the view lacks depth or normal.
    """
    if view.depth is None or view.normal is None:
        raise ValueError("the angle of normals needs depth and normal rendered")
    lifted = normals_from_depth(view.depth, pinhole(camera))[0]
    counts = (view.alpha[0] > 0.5) & (lifted.square().sum(0) > 0)
    cosine = (lifted * view.normal).sum(0)[counts].detach().clamp(-1, 1)
    return float(torch.rad2deg(torch.arccos(cosine)).mean())


def shape_penalty(
    gaussians: Gaussians, extent: float, *, opacity: float, scale: float, sh: float
) -> torch.Tensor | None:
    """Pull on opacities, sizes and view dependence that lets what no view needs fade.

    Args:
        gaussians: N Gaussians.
        extent: size of the scene, world units; sizes are relative to it.
        opacity: weight of the mean opacity.
        scale: weight of the mean standard deviation over the extent.
        sh: weight of the mean square of the coefficients above the constant.

    Returns:
        Scalar, or None where all weights are 0.
    """
    terms = []
    if opacity:
        terms.append(opacity * gaussians.opacities.mean())
    if scale:
        terms.append(scale * gaussians.scales.mean() / extent)
    if sh and gaussians.sh_degree:
        terms.append(sh * gaussians.sh[:, 1:].square().mean())
    return torch.stack(terms).sum() if terms else None
