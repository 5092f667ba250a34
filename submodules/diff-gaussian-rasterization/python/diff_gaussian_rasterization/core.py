"""The one differentiable rasterizing function; every drop-in module is a thin layer over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization import _core
from diff_gaussian_rasterization._arguments import (
    checked_active,
    checked_background,
    checked_inputs,
    checked_view,
    wanted,
)
from diff_gaussian_rasterization._checks import check_tensor
from diff_gaussian_rasterization._engine import (
    OUTPUTS,
    Call,
    Inputs,
    Options,
    Rasterize,
    RasterOutput,
    forward_pass,
)
from diff_gaussian_rasterization._graphs import outside_graphs
from diff_gaussian_rasterization._tiles import tiles_of
from diff_gaussian_rasterization.view import View

__all__ = [
    "OUTPUTS",
    "RasterOutput",
    "get_num_threads",
    "mark_visible",
    "rasterize",
    "set_num_threads",
    "simd_variant",
    "tiles_of",
]


def rasterize(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    *,
    view: View,
    sh: Tensor | None = None,
    colors: Tensor | None = None,
    cov3d: Tensor | None = None,
    means2d: Tensor | None = None,
    background: Tensor | None = None,
    sh_degree: int | None = None,
    want: Iterable[str] = ("color", "alpha"),
    kernel_size: float = 0.0,
    compensate: bool = True,
    scale_modifier: float = 1.0,
    counts: bool = False,
    score_by_transmittance: bool = False,
    gradient_limit: float | None = None,
    absolute_statistic: bool = True,
    nan_assertions: bool = False,
    active_tiles: Tensor | None = None,
) -> RasterOutput:
    """Render Gaussians, differentiably.

    Args:
        means: (P, 3) float32, world axes.
        quats: (P, 4) float32, w first, unit (not normalised here); None with ``cov3d``.
        scales: (P, 3) float32, positive standard deviations; None with ``cov3d``.
        opacities: (P, 1) or (P,) float32 in 0..1.
        view: the camera.
        sh: (P, M, 3) coefficients with M >= (sh_degree + 1)^2; exactly one of ``sh`` and
            ``colors``. float32; or float16, which a GPU reads in half the bytes and adds up in
            float32: a colour channel changes by at most 5.6e-4 times the Euclidean length of its
            M coefficients plus 2e-7. They must stay below 65504.
        colors: (P, 3) float32, taken as they are.
        cov3d: (P, 6) float32, upper triangle xx xy xz yy yz zz, instead of scales and quats.
        means2d: (P, 3) float32 dummy that receives the screen-space gradient: x and y in NDC
            units, third the sum of absolute per-pixel values.
        background: (3,) float32, default black.
        sh_degree: 0 to 3, default the highest that M allows.
        want: any of ``color, alpha, depth, median_depth, coord, median_coord, normal``; colour
            always comes. What is not wanted is not computed and receives no gradient.
        kernel_size: low-pass added to the 2D covariance, pixels squared.
        compensate: scale the opacity by the mass that the low-pass spreads (RaDe); without it
            and with ``kernel_size=0.3`` this is plain 3DGS.
        scale_modifier: factor on all scales.
        counts: count blended pixels per Gaussian; no gradient, no planes.
        score_by_transmittance: let ``scores`` sum opacity times transmittance, not opacity.
        gradient_limit: cut the gradients of means, sh, opacities, scales and quats to
            [-limit, limit].
        absolute_statistic: fill the third column of the gradient of ``means2d``.
        nan_assertions: raise AssertionError on a NaN in a gradient (``cov3d`` is not looked at).
        active_tiles: (ceil(H / 16), ceil(W / 16)) bool, see :func:`tiles_of`: tiles to draw, as
            they would be drawn without it. The others show the background with alpha 0, send
            back no gradient and cost next to nothing; radii do not depend on it. None: all.

    Returns:
        A :class:`RasterOutput`. The same input gives the same bits, whatever the thread count.

    Raises:
        ValueError: a wrong shape, too few SH coefficients, NaN or Inf in an input (with the index
            of the first bad Gaussian), an unknown output, or an impossible combination.
        TypeError: an input that is not float32 (SH coefficients: nor float16).
        NotImplementedError: a device that is neither CPU nor CUDA.
        RuntimeError: CUDA tensors without the compiler or the driver (the message says how to
            install them).

    Source: spec `rasterizer.md`, sections 2 to 6, "exact" semantics.
    """
    options = Options(
        want=wanted(want, counts),
        kernel_size=kernel_size,
        compensate=compensate,
        scale_modifier=scale_modifier,
        counts=counts,
        score_by_transmittance=score_by_transmittance,
        gradient_limit=float(gradient_limit or 0.0),
        absolute_statistic=absolute_statistic,
        nan_assertions=nan_assertions,
    )
    inputs, degree = checked_inputs(
        means, quats, scales, opacities, sh, colors, cov3d, means2d, sh_degree
    )
    call = Call(
        checked_view(view, means.device),
        checked_background(background, means.device),
        degree,
        options,
        checked_active(active_tiles, view, means.device),
    )
    return run((call,), False, means2d, inputs)


@outside_graphs
def run(
    calls: tuple[Call, ...], batched: bool, means2d: Tensor | None, inputs: Inputs
) -> RasterOutput:
    """One call of the engine; with ``batched`` all outputs have an axis of views in front."""
    options = calls[0].options
    if options.counts:
        return forward_pass(calls, batched, *inputs)[0]
    outputs = Rasterize.apply(calls, batched, means2d, *inputs)
    named: dict[str, Any] = dict(zip(("radii", *options.want), outputs, strict=True))
    return RasterOutput(**named)


def mark_visible(means: Tensor, viewmatrix: Tensor) -> Tensor:
    """Which Gaussians lie beyond the near cut (camera z above 0.2); the sides are not tested.

    Args:
        means: (P, 3) float32, world axes.
        viewmatrix: (4, 4) float32, row-vector convention.

    Returns:
        (P,) bool.
    """
    means = check_tensor("means", means, (None, 3))
    matrix = check_tensor("viewmatrix", viewmatrix, (4, 4))
    near = torch.tensor(0.2, dtype=torch.float32).item()
    return means.double() @ matrix[:3, 2].double() + matrix[3, 2].double() > near


def set_num_threads(count: int) -> None:
    """Threads of the native engine (default: IGS_NUM_THREADS, or all CPUs)."""
    if count < 1:
        raise ValueError(f"the thread count must be at least 1, got {count}")
    _core.set_num_threads(int(count))


def get_num_threads() -> int:
    """Threads of the native engine."""
    return _core.num_threads()


def simd_variant() -> str:
    """Instruction set of the compositing loops in use: "baseline", "avx2" or "avx512".

    The best that this machine runs, or the one that the environment variable IGS_SIMD names.

    Raises:
        ValueError: if IGS_SIMD names one that this machine or this build does not have.
    """
    return _core.simd_name()
