"""The one differentiable way from Gaussians to images.

Source: spec `rasterizer.md`, sections 1, 2 and 7; the gradient limit: section 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from diff_gaussian_rasterization import OUTPUTS, rasterize

from igs.gaussians import Gaussians
from igs.render.projection import depth_correction, raster_view
from igs.scene import Camera


@dataclass(frozen=True)
class RenderOutput:
    """One rendered view, H x W pixels, row 0 at the top.

    Colour, alpha and radii come with every render; the rest is None unless wanted.

    Attributes:
        color: (3, H, W) RGB over the background; not clamped.
        alpha: (1, H, W) opacity, 0..1.
        radii: (N,) int32, radius on screen in pixels, 0 where nothing is drawn.
        means2d: (N, 3) handle without a value of its own. After a backward pass `means2d.grad`
            holds the gradient by centre on screen (normalised device coordinates) and the sum of
            absolute per-pixel gradients, for `DensityStatistics.update`.
        depth: (1, H, W) expected z-depth, world units, 0 where nothing is drawn.
        median_depth: (1, H, W) z-depth where half of the light is gone.
        normal: (3, H, W) unit normal in camera axes, toward the camera; 0 where nothing is drawn.
        coord: (3, H, W) expected point in camera axes, world units.
        median_coord: (3, H, W) the same at the median.
    """

    color: torch.Tensor
    alpha: torch.Tensor
    radii: torch.Tensor
    means2d: torch.Tensor
    depth: torch.Tensor | None = None
    median_depth: torch.Tensor | None = None
    normal: torch.Tensor | None = None
    coord: torch.Tensor | None = None
    median_coord: torch.Tensor | None = None


def render(
    gaussians: Gaussians,
    camera: Camera,
    background: torch.Tensor | Sequence[float] | None = None,
    *,
    want: Iterable[str] = ("color",),
    sh_degree: int | None = None,
    override_colors: torch.Tensor | None = None,
    scale_modifier: float = 1.0,
    kernel_size: float = 0.0,
    means2d: torch.Tensor | None = None,
    gradient_limit: float | None = None,
    active_tiles: torch.Tensor | None = None,
) -> RenderOutput:
    """Render Gaussians as seen by one camera; differentiable in all of their tensors.

    The principal point is honoured by the projection of the centres and by the depths. The shape
    on screen is that of the local affine approximation about each centre, whose guard band of 1.3
    fields of view is taken about the image centre.

    Args:
        gaussians: N Gaussians, float32, on the device to render on.
        camera: view and image size.
        background: (3,) RGB; None is black.
        want: outputs beyond colour, alpha and radii: `depth`, `median_depth`, `normal`, `coord`,
            `median_coord`. Depth and coordinates cost extra time and enter the backward pass only
            if wanted.
        sh_degree: highest degree to use; None takes all there is.
        override_colors: (N, 3) colours of any sign instead of the spherical harmonics.
        scale_modifier: factor on all scales.
        kernel_size: variance of a low-pass on screen with opacity compensation, square pixels; 0
            for none, 0.3 is usual against aliasing.
        means2d: (N, 3) handle of the caller that shall receive the screen-space gradient; None
            makes one.
        gradient_limit: largest absolute gradient of every entry handed back to means, SH,
            opacities, scales and rotations; 15 in AGM-Net, None for no limit.
        active_tiles: (ceil(H / 16), ceil(W / 16)) bool, the tiles of 16 x 16 pixels to draw; the
            others show the background, send back no gradient and cost next to nothing. None draws
            all. See `tiles_of`.

    Returns:
        The view; see `RenderOutput`.

    Raises:
        ValueError: an output that does not exist, an SH degree the Gaussians do not have, tensors
            of other shapes or devices, values that are not finite (with the first bad Gaussian).
        TypeError: tensors that are not float32.
        AssertionError: a NaN in a gradient, in the backward pass.
    """
    wanted = _check_outputs(want)
    degree = gaussians.sh_degree if sh_degree is None else sh_degree
    if not 0 <= degree <= gaussians.sh_degree:
        raise ValueError(f"SH degree {degree}: the Gaussians have degree {gaussians.sh_degree}")
    handle = _handle(gaussians, means2d)
    output = rasterize(
        gaussians.means,
        gaussians.unit_quats,
        gaussians.scales,
        gaussians.opacities,
        view=raster_view(camera, gaussians.device),
        sh=gaussians.sh if override_colors is None else None,
        colors=_check_colors(gaussians, override_colors),
        means2d=handle,
        background=_background(background, gaussians),
        sh_degree=degree,
        want=wanted,
        kernel_size=kernel_size,
        scale_modifier=scale_modifier,
        gradient_limit=gradient_limit,
        nan_assertions=True,
        active_tiles=active_tiles,
    )
    images = {name: getattr(output, name) for name in wanted if name not in ("color", "alpha")}
    _correct_depths(images, camera)
    assert output.alpha is not None
    return RenderOutput(output.color, output.alpha, output.radii, handle, **images)


def render_depths(
    gaussians: Gaussians, cameras: Sequence[Camera], *, kind: str = "depth"
) -> torch.Tensor:
    """Depth of several views of one size, outside any autograd graph.

    Args:
        gaussians: N Gaussians.
        cameras: V cameras with images of one size.
        kind: `depth` (expected) or `median_depth`.

    Returns:
        (V, 1, H, W) z-depth, world units, 0 where nothing is drawn.

    Raises:
        ValueError: no camera, several sizes, or another kind.
    """
    if kind not in ("depth", "median_depth"):
        raise ValueError(f"kind {kind!r} must be 'depth' or 'median_depth'")
    sizes = {(camera.width, camera.height) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"depths of one size are asked for, the cameras have {sorted(sizes)}")
    with torch.no_grad():
        views = [render(gaussians, camera, want=(kind,)) for camera in cameras]
    return torch.stack([getattr(view, kind) for view in views])


def _check_outputs(want: Iterable[str]) -> set[str]:
    wanted = {want} if isinstance(want, str) else set(want)
    unknown = sorted(wanted.difference(OUTPUTS))
    if unknown:
        raise ValueError(f"no output {', '.join(unknown)}; there are {', '.join(OUTPUTS)}")
    return wanted | {"color", "alpha"}


def _background(
    background: torch.Tensor | Sequence[float] | None, gaussians: Gaussians
) -> torch.Tensor:
    if background is None:
        return torch.zeros(3, device=gaussians.device)
    color = torch.as_tensor(background, dtype=torch.float32, device=gaussians.device)
    if color.shape != (3,):
        raise ValueError(f"background: shape {tuple(color.shape)} must be (3,)")
    return color.detach()


def _handle(gaussians: Gaussians, means2d: torch.Tensor | None) -> torch.Tensor:
    if means2d is None:
        tracked = torch.is_grad_enabled() and any(
            t.requires_grad for t in gaussians.tensors().values()
        )
        return torch.zeros_like(gaussians.means, requires_grad=tracked)
    if means2d.shape != gaussians.means.shape:
        raise ValueError(f"means2d: shape {tuple(means2d.shape)} must be ({len(gaussians)}, 3)")
    return means2d


def _check_colors(gaussians: Gaussians, colors: torch.Tensor | None) -> torch.Tensor | None:
    if colors is not None and colors.shape != gaussians.means.shape:
        raise ValueError(
            f"override_colors: shape {tuple(colors.shape)} must be ({len(gaussians)}, 3)"
        )
    return colors


def _correct_depths(images: dict[str, torch.Tensor], camera: Camera) -> None:
    depths = [name for name in ("depth", "median_depth") if name in images]
    factor = depth_correction(camera, images[depths[0]].device) if depths else None
    if factor is not None:
        images.update({name: images[name] * factor for name in depths})
