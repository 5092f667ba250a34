"""What the loop asks of the thing it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from igs.training.batches import Batch, SampleSource


class Task(Protocol):
    """A network with its data and its losses.

    Attributes:
        model: takes a `Batch`, returns what `losses` and `measure` understand. It is what
            accelerate wraps: gradients of several processes meet in it.
        measures: names of all figures that `measure` may return.
    """

    model: nn.Module
    measures: Sequence[str]

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters, and the factor on their learning rate."""
        ...

    def source(self, seed: int, validation: bool) -> SampleSource[Any]:
        """Samples of a seed."""
        ...

    def to_device(self, batch: Batch[Any], device: torch.device) -> Batch[Any]:
        """The same batch on another device."""
        ...

    def losses(self, outputs: Any, batch: Batch[Any]) -> dict[str, Tensor]:
        """Means over the batch; `loss` is minimised, its parts are logged."""
        ...

    def measure(self, outputs: Any, batch: Batch[Any]) -> Mapping[str, tuple[float, float]]:
        """Sum and count of each figure, so that unequal shares add up to the true mean."""
        ...

    def images(self, outputs: Any, batch: Batch[Any]) -> dict[str, Tensor]:
        """(3, H, W) images, 0..1, of the batch's first sample."""
        ...

    def save(self, path: Path) -> None:
        """Write the weights as safetensors that stand alone."""
        ...
