"""How near an image comes to another: PSNR and SSIM.

Source: spec `streaming.md`, section 6; `frame0.md`, sections 3 and 6 and fault 16 of section 8.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from fused_ssim import ssim as fused_ssim


class ImageFunction(Protocol):
    """Two images of one shape to one number."""

    def __call__(self, image: torch.Tensor, target: torch.Tensor, /) -> float: ...


def psnr(image: torch.Tensor, target: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, ``-10 log10 MSE``; infinite for equal images.

    One mean over all pixels and channels, of values clamped to 0..1.

    Args:
        image: (3, H, W) float.
        target: same shape and device.

    Raises:
        ValueError: two shapes.
    """
    image, target = _clamped(image, target)
    return decibels(float((image - target).square().mean()))


def ssim(image: torch.Tensor, target: torch.Tensor) -> float:
    """Structural similarity, 1 for equal images.

    Gaussian window of 11 x 11 and sigma 1.5 per channel, **zero padding**, mean over all pixels and
    channels of values clamped to 0..1; C1 = 0.01^2, C2 = 0.03^2. Libraries that leave out the
    border instead give other numbers.

    Args:
        image: (3, H, W) float32.
        target: same shape and device.

    Raises:
        ValueError: two shapes.
    """
    image, target = _clamped(image, target)
    with torch.no_grad():
        return float(fused_ssim(image, target))


def decibels(mean_squared_error: float) -> float:
    """``-10 log10`` of a mean squared error of values in 0..1; infinite for 0."""
    return -10 * math.log10(mean_squared_error) if mean_squared_error > 0 else math.inf


class ImageMetric:
    """One number per image, and their mean.

    Attributes:
        values: the numbers so far, in order.
    """

    def __init__(self, function: ImageFunction) -> None:
        self._function = function
        self.values: list[float] = []

    def update(self, image: torch.Tensor, target: torch.Tensor) -> float:
        """Measure one image, keep the number and return it."""
        self.values.append(self._function(image, target))
        return self.values[-1]

    def compute(self) -> float:
        """Mean over the images so far.

        Raises:
            ValueError: there are none.
        """
        if not self.values:
            raise ValueError(f"{type(self).__name__}: no image has been measured")
        return math.fsum(self.values) / len(self.values)

    def reset(self) -> None:
        """Forget all images."""
        self.values = []


class Psnr(ImageMetric):
    """`psnr` per image: the mean of their dB, not the dB of their mean error.

    >>> metric = Psnr()
    >>> round(metric.update(torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)), 3)
    20.0
    >>> round(metric.compute(), 3)
    20.0
    """

    def __init__(self) -> None:
        super().__init__(psnr)


class Ssim(ImageMetric):
    """`ssim` per image.

    >>> metric = Ssim()
    >>> round(metric.update(torch.ones(3, 16, 16), torch.ones(3, 16, 16)), 6)
    1.0
    """

    def __init__(self) -> None:
        super().__init__(ssim)


def _clamped(image: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if image.shape != target.shape:
        raise ValueError(f"image {tuple(image.shape)} and target {tuple(target.shape)} differ")
    return image.detach().clamp(0, 1), target.detach().clamp(0, 1)
