"""One call of the native engine under autograd."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from diff_gaussian_rasterization import _core
from diff_gaussian_rasterization.view import View

OUTPUTS = ("color", "alpha", "depth", "median_depth", "coord", "median_coord", "normal")
_CHANNELS = {"color": 3, "alpha": 1, "depth": 1, "median_depth": 1}
FEATURE = {
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
class Call:
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
            bits |= FEATURE.get(name, 0)
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


Inputs = tuple[
    Tensor,
    Tensor,
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
    "Tensor | None",
]


def plain_inputs(inputs: Inputs) -> Inputs:
    """Detached, contiguous arrays for the engine."""
    return tuple(None if t is None else t.detach().contiguous() for t in inputs)  # type: ignore[return-value]


def forward_pass(call: Call, *inputs: Any) -> tuple[RasterOutput, Any]:
    means, opacities, scales, quats, cov3d, sh, colors = plain_inputs(inputs)
    count, height, width = means.shape[0], call.view.image_height, call.view.image_width
    names = set(call.want)
    features = call.features
    for name, bit in FEATURE.items():
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


class Rasterize(torch.autograd.Function):
    """Differentiable in means2d and the seven inputs; returns radii and the wanted images."""

    @staticmethod
    def forward(ctx: Any, call: Call, means2d: Tensor | None, *inputs: Any) -> tuple[Any, ...]:
        result, state = forward_pass(call, *inputs)
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
        means, opacities, scales, quats, cov3d, sh, colors = plain_inputs(inputs)
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
