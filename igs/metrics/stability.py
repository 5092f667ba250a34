"""How steady a rendered video is, whatever its still images are worth.

Flicker is change that the capture does not show. With rendered frames R and captured frames G of
one held-out camera, both clamped to 0..1,

    stability = -10 log10 mean(((R_t - R_{t-1}) - (G_t - G_{t-1}))^2)   in dB, higher is steadier

with one mean over pixels, channels and consecutive frames. A constant error (a blurred wall, a
colour cast) does not count; noise of the capture does, and bounds the figure from above: with
independent noise of standard deviation s in G and none in R it is ``-10 log10(2 s^2)``.
"""

from __future__ import annotations

import math

import torch

from igs.metrics.image import decibels


def temporal_stability(
    rendered: torch.Tensor,
    previous_rendered: torch.Tensor,
    captured: torch.Tensor,
    previous_captured: torch.Tensor,
) -> float:
    """Stability of one transition in dB; infinite where the render changes exactly as the capture.

    Args:
        rendered: (3, H, W) float, clamped to 0..1.
        previous_rendered: the frame before.
        captured: the same view as captured.
        previous_captured: the frame before.

    Raises:
        ValueError: images of different shapes.
    """
    change = _error(rendered, captured) - _error(previous_rendered, previous_captured)
    return decibels(float(change.square().mean()))


class TemporalStability:
    """`temporal_stability` over a stream; of each view only the previous error image is held.

    >>> metric = TemporalStability()
    >>> grey = torch.full((3, 4, 4), 0.5)
    >>> metric.update(grey, grey)
    >>> round(metric.update(grey + 0.1, grey), 3)
    20.0
    """

    def __init__(self) -> None:
        self._previous: dict[str, torch.Tensor] = {}
        self.values: list[float] = []
        self._squared: list[float] = []

    def update(
        self, rendered: torch.Tensor, captured: torch.Tensor, view: str = ""
    ) -> float | None:
        """Add the next frame of one view.

        Args:
            rendered: (3, H, W) float.
            captured: same shape and device.
            view: name of the camera; each has its own sequence.

        Returns:
            Stability of the transition in dB, or None for the first frame of a view.

        Raises:
            ValueError: images of different shapes.
        """
        error = _error(rendered, captured)
        previous = self._previous.get(view)
        if previous is not None and previous.shape != error.shape:
            raise ValueError(f"view {view!r}: {tuple(error.shape)} follows {tuple(previous.shape)}")
        self._previous[view] = error
        if previous is None:
            return None
        self._squared.append(float((error - previous).square().mean()))
        self.values.append(decibels(self._squared[-1]))
        return self.values[-1]

    def compute(self) -> float:
        """dB of the mean squared change of error over all transitions of all views.

        Raises:
            ValueError: no view has two frames yet.
        """
        if not self._squared:
            raise ValueError("TemporalStability: no view has two frames yet")
        return decibels(math.fsum(self._squared) / len(self._squared))

    def reset(self) -> None:
        """Forget all frames."""
        self._previous, self.values, self._squared = {}, [], []


def _error(rendered: torch.Tensor, captured: torch.Tensor) -> torch.Tensor:
    if rendered.shape != captured.shape:
        raise ValueError(
            f"rendered {tuple(rendered.shape)} and captured {tuple(captured.shape)} differ"
        )
    return rendered.detach().clamp(0, 1) - captured.detach().clamp(0, 1)
