"""One call of an engine under autograd; the device of the tensors chooses the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from diff_gaussian_rasterization import _core
from diff_gaussian_rasterization._cpu import CpuEngine
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

    From :func:`rasterize_views` every tensor has one more axis in front, the views.

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
class Options:
    """What the views of one call have in common; see :func:`rasterize`."""

    want: tuple[str, ...] = ("color", "alpha")
    kernel_size: float = 0.0
    compensate: bool = True
    scale_modifier: float = 1.0
    counts: bool = False
    score_by_transmittance: bool = False
    gradient_limit: float = 0.0  # 0: none
    absolute_statistic: bool = True
    nan_assertions: bool = False

    @property
    def features(self) -> int:
        bits = _core.COUNT if self.counts else 0
        for name in self.want:
            bits |= FEATURE.get(name, 0)
        return bits


@dataclass(frozen=True)
class Call:
    """Everything of one view that is not differentiable."""

    view: View
    background: Tensor
    sh_degree: int
    options: Options
    active: Tensor | None = None  # (tiles down, tiles across) bool, contiguous; None: all

    @property
    def lens(self) -> tuple[int, int, float, float, float, bool, float]:
        v = self.view
        return (
            int(v.image_height),
            int(v.image_width),
            float(v.tanfovx),
            float(v.tanfovy),
            float(self.options.kernel_size),
            self.options.compensate,
            float(self.options.scale_modifier),
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


class Engine(Protocol):
    """What an engine offers; shapes as in `cuda.engine.CudaEngine`, without V on the CPU."""

    def empty(self, shape: tuple[int, ...], device: torch.device) -> Tensor: ...

    def forward(
        self,
        calls: Sequence[Call],
        inputs: Mapping[str, Tensor | None],
        images: Mapping[str, Tensor],
        radii: Tensor,
        counts: Tensor | None,
        scores: Tensor | None,
    ) -> Any: ...

    def backward(
        self,
        state: Any,
        call: Call,
        inputs: Mapping[str, Tensor | None],
        outputs: Mapping[str, Tensor | None],
        incoming: Mapping[str, Tensor | None],
        outgoing: Mapping[str, Tensor | None],
    ) -> tuple[str, int] | None: ...


_engines: dict[str, Engine] = {"cpu": CpuEngine()}


def engine_for(device: torch.device) -> Engine:
    """The engine of a device; the CUDA engine is loaded when it is first asked for.

    Raises:
        NotImplementedError: a device without an engine.
        RuntimeError: the package that compiles CUDA kernels is not installed.
    """
    found = _engines.get(device.type)
    if found is None and device.type == "cuda":
        try:
            from diff_gaussian_rasterization.cuda.engine import CudaEngine
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"CUDA tensors need the package {error.name}, which is not installed: "
                "pip install 'igs[cuda]', or pass CPU tensors"
            ) from error
        found = _engines["cuda"] = CudaEngine()
    if found is None:
        raise NotImplementedError(f"no engine for {device}: pass CPU or CUDA tensors")
    return found


_INPUT_ORDER = ("means", "opacities", "scales", "quats", "cov3d", "sh", "colors")
_SAVED_IMAGES = ("alpha", "depth", "coord", "normal")


def _plain(inputs: Sequence[Tensor | None]) -> dict[str, Tensor | None]:
    """Detached, contiguous arrays for the engine, by name."""
    values = (None if t is None else t.detach().contiguous() for t in inputs)
    return dict(zip(_INPUT_ORDER, values, strict=True))


def forward_pass(calls: tuple[Call, ...], batched: bool, *inputs: Any) -> tuple[RasterOutput, Any]:
    """Render; with ``batched`` every output has an axis of views in front."""
    plain = _plain(inputs)
    call, device = calls[0], inputs[0].device
    engine = engine_for(device)
    lead = (len(calls),) if batched else ()
    count, height, width = inputs[0].shape[0], call.view.image_height, call.view.image_width
    names = set(call.options.want)
    features = call.options.features
    for name, bit in FEATURE.items():
        if features & bit:
            names.add(name)  # the engine fills expected and median together
    if features & (_core.DEPTH | _core.COORD | _core.NORMAL):
        names.add("alpha")  # the backward pass divides by it
    images = {n: engine.empty((*lead, _CHANNELS.get(n, 3), height, width), device) for n in names}
    radii = torch.empty((*lead, count), dtype=torch.int32, device=device)
    counts = torch.empty_like(radii) if call.options.counts else None
    scores = torch.empty((*lead, count), device=device) if call.options.counts else None
    state = engine.forward(calls, plain, images, radii, counts, scores)
    return RasterOutput(radii=radii, counts=counts, scores=scores, **images), state


class Rasterize(torch.autograd.Function):
    """Differentiable in means2d and the seven inputs; returns radii and the wanted images."""

    @staticmethod
    def forward(
        ctx: Any, calls: tuple[Call, ...], batched: bool, means2d: Tensor | None, *inputs: Any
    ) -> tuple[Any, ...]:
        result, state = forward_pass(calls, batched, *inputs)
        call = calls[0]
        ctx.calls = calls  # their matrices must live as long as the graph
        ctx.state = state
        ctx.means2d_shape = None if means2d is None else (*result.radii.shape, 3)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(result.radii)
        planes = call.options.features != 0
        ctx.save_for_backward(
            *inputs,
            result.alpha if planes else None,
            result.depth,
            result.coord,
            result.normal,
        )
        return (result.radii, *(getattr(result, name) for name in call.options.want))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        call, inputs = ctx.calls[0], ctx.saved_tensors[:7]
        outputs: dict[str, Tensor | None] = dict(
            zip(_SAVED_IMAGES, ctx.saved_tensors[7:], strict=True)
        )
        arrived = dict(zip(call.options.want, grads[1:], strict=True))
        incoming = {name: _incoming(arrived.get(name)) for name in OUTPUTS}
        engine = engine_for(inputs[0].device)
        outgoing = _gradient_arrays(ctx, engine, inputs)
        report = engine.backward(ctx.state, call, _plain(inputs), outputs, incoming, outgoing)
        if report is not None and call.options.nan_assertions:
            raise AssertionError(
                f"gradient of {report[0]} is NaN, first at Gaussian {report[1]}; "
                "look for NaN or Inf in the gradient of the loss"
            )
        return (None, None, outgoing["means2d"], *(outgoing[name] for name in _INPUT_ORDER))


def _incoming(grad: Tensor | None) -> Tensor | None:
    if grad is None:
        return None
    return grad.detach().to(torch.float32).contiguous()


def _gradient_arrays(
    ctx: Any, engine: Engine, inputs: Sequence[Tensor | None]
) -> dict[str, Tensor | None]:
    """Uninitialised gradients of the inputs that need one."""
    arrays: dict[str, Tensor | None] = {}
    device = ctx.saved_tensors[0].device
    for k, (name, value) in enumerate(zip(_INPUT_ORDER, inputs, strict=True)):
        needed = value is not None and ctx.needs_input_grad[3 + k]
        shape = tuple(value.shape) if needed and value is not None else None
        arrays[name] = None if shape is None else engine.empty(shape, device)
    shape = ctx.means2d_shape if ctx.needs_input_grad[2] else None
    arrays["means2d"] = None if shape is None else engine.empty(shape, device)
    return arrays
