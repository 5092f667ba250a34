"""The one differentiable rasterizing function; every drop-in module is a thin layer over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from diff_gaussian_rasterization import _core
from diff_gaussian_rasterization._checks import check_one_device, check_sh, check_tensor
from diff_gaussian_rasterization.view import View

OUTPUTS = ("color", "alpha", "depth", "median_depth", "coord", "median_coord", "normal")
_CHANNELS = {"color": 3, "alpha": 1, "depth": 1, "median_depth": 1}
_FEATURE = {
    "depth": _core.DEPTH,
    "median_depth": _core.DEPTH,
    "coord": _core.COORD,
    "median_coord": _core.COORD,
    "normal": _core.NORMAL,
}


class RasterOutput(NamedTuple):
    """Result of :func:`rasterize`; outputs that were not asked for are None.

    Attributes:
        color: (3, H, W) float32, background included.
        radii: (P,) int32, radius in pixels, 0 for a Gaussian that was dropped.
        alpha: (1, H, W), sum of the blending weights.
        depth: (1, H, W), expected z-depth, scene units; 0 where nothing was blended.
        median_depth: (1, H, W), z-depth of the last Gaussian with more than half the light left.
        coord: (3, H, W), expected camera-frame point.
        median_coord: (3, H, W), camera-frame point of the median Gaussian.
        normal: (3, H, W), unit, camera frame, toward the camera.
        counts: (P,) int32, pixels in which the Gaussian was blended (``counts=True``).
        scores: (P,) float32, sum over those pixels of the opacity, or of opacity times
            transmittance.
    """

    color: Tensor
    radii: Tensor
    alpha: Tensor | None = None
    depth: Tensor | None = None
    median_depth: Tensor | None = None
    coord: Tensor | None = None
    median_coord: Tensor | None = None
    normal: Tensor | None = None
    counts: Tensor | None = None
    scores: Tensor | None = None


@dataclass(frozen=True)
class _Call:
    """Everything of one call that is not differentiable."""

    view: View
    background: Tensor
    sh_degree: int
    kernel_size: float
    compensate: bool
    scale_modifier: float
    want: tuple[str, ...]
    counts: bool
    score_by_transmittance: bool
    gradient_limit: float
    absolute_statistic: bool
    nan_assertions: bool

    @property
    def features(self) -> int:
        bits = _core.COUNT if self.counts else 0
        for name in self.want:
            bits |= _FEATURE.get(name, 0)
        return bits

    @property
    def lens(self) -> tuple[int, int, float, float, float, bool, float]:
        v = self.view
        return (
            int(v.image_height),
            int(v.image_width),
            float(v.tanfovx),
            float(v.tanfovy),
            float(self.kernel_size),
            self.compensate,
            float(self.scale_modifier),
        )


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
) -> RasterOutput:
    """Render Gaussians, differentiably.

    Args:
        means: (P, 3) float32, world axes.
        quats: (P, 4) float32, w first, unit (not normalised here); None with ``cov3d``.
        scales: (P, 3) float32, positive standard deviations; None with ``cov3d``.
        opacities: (P, 1) or (P,) float32 in 0..1.
        view: the camera.
        sh: (P, M, 3) float32 coefficients with M >= (sh_degree + 1)^2; exactly one of ``sh`` and
            ``colors``.
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

    Returns:
        A :class:`RasterOutput`. The same input gives the same bits, whatever the thread count.

    Raises:
        ValueError: a wrong shape, too few SH coefficients, NaN or Inf in an input (with the index
            of the first bad Gaussian), an unknown output, or an impossible combination.
        TypeError: an input that is not float32.
        NotImplementedError: CUDA tensors.

    Source: spec `rasterizer.md`, sections 2 to 6, "exact" semantics.
    """
    wanted = _wanted(want, counts)
    inputs, degree = _checked_inputs(
        means, quats, scales, opacities, sh, colors, cov3d, means2d, sh_degree
    )
    call = _Call(
        view=_checked_view(view),
        background=_background(background),
        sh_degree=degree,
        kernel_size=kernel_size,
        compensate=compensate,
        scale_modifier=scale_modifier,
        want=wanted,
        counts=counts,
        score_by_transmittance=score_by_transmittance,
        gradient_limit=float(gradient_limit or 0.0),
        absolute_statistic=absolute_statistic,
        nan_assertions=nan_assertions,
    )
    if counts:
        result, _ = _forward(call, *inputs)
        return result
    outputs = _Rasterize.apply(call, means2d, *inputs)
    named: dict[str, Any] = dict(zip(("radii", *wanted), outputs, strict=True))
    return RasterOutput(**named)


def _wanted(want: Iterable[str], counts: bool) -> tuple[str, ...]:
    asked = {want} if isinstance(want, str) else set(want)
    unknown = sorted(asked.difference(OUTPUTS))
    if unknown:
        raise ValueError(f"unknown output {unknown[0]!r}; know {', '.join(OUTPUTS)}")
    if counts and asked.intersection(_FEATURE):
        raise ValueError("counts=True renders colour and alpha only; ask for planes separately")
    asked.add("color")
    return tuple(name for name in OUTPUTS if name in asked)


def _background(background: Tensor | None) -> Tensor:
    if background is None:
        return torch.zeros(3)
    return check_tensor("background", background, (3,))


def _checked_view(view: View) -> View:
    height, width = int(view.image_height), int(view.image_width)
    if not (0 < height < 1 << 16 and 0 < width < 1 << 16):
        raise ValueError(f"image size must be 1 to 65535 on each side, got {width} x {height}")
    if not (view.tanfovx > 0 and view.tanfovy > 0):
        raise ValueError(
            f"tanfovx and tanfovy must be positive, got {view.tanfovx} and {view.tanfovy}"
        )
    return view._replace(
        image_height=height,
        image_width=width,
        viewmatrix=check_tensor("viewmatrix", view.viewmatrix, (4, 4)),
        projmatrix=check_tensor("projmatrix", view.projmatrix, (4, 4)),
        campos=check_tensor("campos", view.campos, (3,)),
    )


Inputs = tuple[
    Tensor,
    Tensor,
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
]


def _checked_inputs(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    sh: Tensor | None,
    colors: Tensor | None,
    cov3d: Tensor | None,
    means2d: Tensor | None,
    sh_degree: int | None,
) -> tuple[Inputs, int]:
    """Inputs in the engine's order, unchanged where they are fit (so that gradients flow)."""
    if (sh is None) == (colors is None):
        raise ValueError("give exactly one of sh and colors")
    if (cov3d is None) == (scales is None) or (cov3d is None) == (quats is None):
        raise ValueError("give exactly one of cov3d and the pair scales and quats")
    check_one_device(
        {
            "means": means,
            "quats": quats,
            "scales": scales,
            "opacities": opacities,
            "sh": sh,
            "colors": colors,
            "cov3d": cov3d,
        }
    )
    check_tensor("means", means, (None, 3))
    count = means.shape[0]
    check_tensor("opacities", opacities, (count, 1) if opacities.dim() == 2 else (count,))
    for name, value, width in (
        ("scales", scales, 3),
        ("quats", quats, 4),
        ("cov3d", cov3d, 6),
        ("colors", colors, 3),
        ("means2d", means2d, 3),
    ):
        if value is not None:
            check_tensor(name, value, (count, width))
    degree = 0
    if sh is not None:
        stored = sh.shape[1] if sh.dim() == 3 else 0
        highest = max(0, int(stored**0.5) - 1)
        _, degree = check_sh(sh, highest if sh_degree is None else sh_degree, count)
    return (means, opacities, scales, quats, cov3d, sh, colors), degree


def _plain(inputs: Inputs) -> Inputs:
    """Detached, contiguous arrays for the engine."""
    return tuple(None if t is None else t.detach().contiguous() for t in inputs)  # type: ignore[return-value]


def _forward(call: _Call, *inputs: Any) -> tuple[RasterOutput, Any]:
    means, opacities, scales, quats, cov3d, sh, colors = _plain(inputs)
    count, height, width = means.shape[0], call.view.image_height, call.view.image_width
    names = set(call.want)
    features = call.features
    for name, bit in _FEATURE.items():
        if features & bit:
            names.add(name)  # the engine fills expected and median together
    if features & (_core.DEPTH | _core.COORD | _core.NORMAL):
        names.add("alpha")  # the backward pass divides by it
    images = {n: _core.empty((_CHANNELS.get(n, 3), height, width)) for n in names}
    radii = torch.empty(count, dtype=torch.int32)
    pixel_counts = torch.empty(count, dtype=torch.int32) if call.counts else None
    scores = torch.empty(count) if call.counts else None
    state = _core.forward(
        call.lens,
        call.view.viewmatrix,
        call.view.projmatrix,
        call.view.campos,
        call.background,
        call.sh_degree,
        features,
        count,
        0 if sh is None else sh.shape[1],
        means,
        opacities,
        scales,
        quats,
        cov3d,
        sh,
        colors,
        radii,
        *(images.get(name) for name in OUTPUTS),
        pixel_counts,
        scores,
        call.score_by_transmittance,
    )
    return RasterOutput(radii=radii, counts=pixel_counts, scores=scores, **images), state


class _Rasterize(torch.autograd.Function):
    """Differentiable in means2d and the seven inputs; returns radii and the wanted images."""

    @staticmethod
    def forward(ctx: Any, call: _Call, means2d: Tensor | None, *inputs: Any) -> tuple[Any, ...]:
        result, state = _forward(call, *inputs)
        ctx.call = call
        ctx.state = state
        ctx.has_means2d = means2d is not None
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(result.radii)
        planes = call.features != 0
        ctx.save_for_backward(
            *inputs,
            result.radii,
            result.alpha if planes else None,
            result.depth,
            result.coord,
            result.normal,
        )
        return (result.radii, *(getattr(result, name) for name in call.want))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        inputs = ctx.saved_tensors[:7]
        radii, alpha, depth, coord, normal = ctx.saved_tensors[7:]
        incoming = dict(zip(ctx.call.want, grads[1:], strict=True))
        arriving = [_incoming(incoming.get(name)) for name in OUTPUTS]
        outgoing = _gradient_arrays(ctx, inputs)
        means, opacities, scales, quats, cov3d, sh, colors = _plain(inputs)
        report = _core.backward(
            ctx.state,
            0 if sh is None else sh.shape[1],
            means,
            opacities,
            scales,
            quats,
            cov3d,
            sh,
            colors,
            radii,
            alpha,
            depth,
            coord,
            normal,
            *arriving,
            *(outgoing[name] for name in _GRADIENT_ORDER),
            ctx.call.gradient_limit,
            ctx.call.absolute_statistic,
        )
        if report is not None and ctx.call.nan_assertions:
            raise AssertionError(
                f"gradient of {report[0]} is NaN, first at Gaussian {report[1]}; "
                "look for NaN or Inf in the gradient of the loss"
            )
        return (None, outgoing["means2d"], *(outgoing[name] for name in _INPUT_ORDER))


_INPUT_ORDER = ("means", "opacities", "scales", "quats", "cov3d", "sh", "colors")
_GRADIENT_ORDER = ("means", "means2d", "opacities", "scales", "quats", "cov3d", "sh", "colors")


def _incoming(grad: Tensor | None) -> Tensor | None:
    if grad is None:
        return None
    return grad.detach().to(torch.float32).contiguous()


def _gradient_arrays(ctx: Any, inputs: Iterable[Tensor | None]) -> dict[str, Tensor | None]:
    """Uninitialised gradients of the inputs that need one."""
    arrays: dict[str, Tensor | None] = {}
    for k, (name, value) in enumerate(zip(_INPUT_ORDER, inputs, strict=True)):
        needed = value is not None and ctx.needs_input_grad[2 + k]
        arrays[name] = _empty(tuple(value.shape)) if needed and value is not None else None
    count = ctx.saved_tensors[0].shape[0]
    wants_means2d = ctx.has_means2d and ctx.needs_input_grad[1]
    arrays["means2d"] = _empty((count, 3)) if wants_means2d else None
    return arrays


def _empty(shape: tuple[int, ...]) -> Tensor:
    return _core.empty(shape) if all(shape) else torch.empty(shape)


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
