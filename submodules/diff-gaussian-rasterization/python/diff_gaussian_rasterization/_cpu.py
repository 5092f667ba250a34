"""The CPU engine behind the interface that both engines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization import _core

_INPUTS = ("means", "opacities", "scales", "quats", "cov3d", "sh", "colors")
_IMAGES = ("color", "alpha", "depth", "median_depth", "coord", "median_coord", "normal")
_KEPT = ("alpha", "depth", "coord", "normal")
_GRADIENTS = ("means", "means2d", "opacities", "scales", "quats", "cov3d", "sh", "colors")


def _stored(sh: Tensor | None) -> int:
    return 0 if sh is None else sh.shape[1]


def _in_float32(inputs: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """SH coefficients may come as halves, which gain nothing here."""
    return {name: None if t is None else t.to(torch.float32) for name, t in inputs.items()}


@dataclass
class CpuState:
    """What the backward pass needs of a forward pass."""

    native: _core.State
    radii: Tensor


class CpuEngine:
    """One view a call."""

    def empty(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Float32 memory that the engine keeps for the next call."""
        del device
        return _core.empty(shape) if all(shape) else torch.empty(shape)

    def forward(
        self,
        calls: Sequence[Any],
        inputs: Mapping[str, Tensor | None],
        images: Mapping[str, Tensor],
        radii: Tensor,
        counts: Tensor | None,
        scores: Tensor | None,
    ) -> CpuState:
        """Fill images, radii, counts and scores; returns what the backward pass needs."""
        (call,) = calls
        inputs = _in_float32(inputs)
        state = _core.forward(
            call.lens,
            call.view.viewmatrix,
            call.view.projmatrix,
            call.view.campos,
            call.background,
            call.sh_degree,
            call.options.features,
            len(radii),
            _stored(inputs["sh"]),
            *(inputs[name] for name in _INPUTS),
            radii,
            *(images.get(name) for name in _IMAGES),
            counts,
            scores,
            call.options.score_by_transmittance,
            None if call.active is None else call.active.view(torch.uint8),
        )
        return CpuState(state, radii)

    def backward(
        self,
        state: CpuState,
        call: Any,
        inputs: Mapping[str, Tensor | None],
        outputs: Mapping[str, Tensor | None],
        incoming: Mapping[str, Tensor | None],
        outgoing: Mapping[str, Tensor | None],
    ) -> tuple[str, int] | None:
        """Fill the gradients; returns the first that holds NaN, and the Gaussian."""
        inputs = _in_float32(inputs)
        return _core.backward(
            state.native,
            _stored(inputs["sh"]),
            *(inputs[name] for name in _INPUTS),
            state.radii,
            *(outputs[name] for name in _KEPT),
            *(incoming[name] for name in _IMAGES),
            *(outgoing[name] for name in _GRADIENTS),
            call.options.gradient_limit,
            call.options.absolute_statistic,
        )
