"""What cameras make of a scene: exposure, colour, softness, noise, eight bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class AppearanceConfig:
    """How far cameras may be off; everything 0 shows the scene as it is.

    Attributes:
        exposure: standard deviation between cameras, natural logarithm of the gain.
        color: the same for each colour channel on top.
        gamma: the same for the exponent.
        drift: of the whole gain over time, largest swing.
        vignette: most light lost in the corners, share.
        softness: widest blur, standard deviation in pixels.
        noise: strongest noise of a mid-grey pixel, standard deviation, 0..1.
        blur_share: of all samples, those with motion blur.
        shutter: longest exposure, frames.
        blur_steps: renderings that a blurred picture is the mean of.
    """

    exposure: float = 0.12
    color: float = 0.05
    gamma: float = 0.08
    drift: float = 0.05
    vignette: float = 0.25
    softness: float = 0.8
    noise: float = 0.03
    blur_share: float = 0.25
    shutter: float = 0.5
    blur_steps: int = 3

    @classmethod
    def none(cls) -> AppearanceConfig:
        """Perfect cameras."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"appearance {name} must not be negative, got {value}")
        if self.blur_share > 1 or self.vignette >= 1:
            raise ValueError("appearance blur_share and vignette are shares, 0..1")
        if self.blur_steps < 1:
            raise ValueError(f"appearance blur_steps must be at least 1, got {self.blur_steps}")


@dataclass(frozen=True)
class CameraLooks:
    """The looks of V cameras.

    Attributes:
        gain: (V, 3) factor on RGB.
        gamma: (V,) exponent.
        drift: (V, 3) swing, radians per frame and phase of the gain's course.
        vignette: (V,) light lost in the corners.
        softness: standard deviation of the blur, pixels, the same for all.
        noise: standard deviation at mid-grey, the same for all.
    """

    gain: Tensor
    gamma: Tensor
    drift: Tensor
    vignette: Tensor
    softness: float
    noise: float

    @classmethod
    def draw(cls, config: AppearanceConfig, views: int, rng: np.random.Generator) -> CameraLooks:
        """Looks of V cameras of one rig."""
        exposure = rng.normal(size=(views, 1)) * config.exposure
        gain = np.exp(exposure + rng.normal(size=(views, 3)) * config.color)
        common = rng.uniform(0, config.drift)
        swing = common * rng.uniform(0.5, 1.0, views)
        drift = np.stack([swing, rng.uniform(0, 0.5, views), rng.uniform(0, 6.3, views)], axis=1)
        vignette = rng.uniform(0, config.vignette) * rng.uniform(0.7, 1.0, views)
        gamma = np.exp(rng.normal(size=views) * config.gamma)
        return cls(
            _tensor(gain),
            _tensor(gamma),
            _tensor(drift),
            _tensor(vignette),
            softness=float(rng.uniform(0, config.softness)),
            noise=float(config.noise * rng.uniform() ** 2),
        )

    def picture(self, light: Tensor, time: float, generator: torch.Generator) -> Tensor:
        """What the cameras record.

        Args:
            light: (V, 3, H, W) float32, the scene as rendered.
            time: in frames.
            generator: draws the noise.

        Returns:
            (V, 3, H, W) float32, 0..1, in steps of 1/255.
        """
        height, width = light.shape[-2:]
        swing, frequency, phase = self.drift.unbind(dim=1)
        course = 1 + swing * torch.sin(frequency * time + phase)
        gain = (self.gain * course[:, None])[:, :, None, None]
        falloff = 1 - self.vignette[:, None, None] * _corner_distance(height, width)
        image = light.clamp(0, 1) ** self.gamma[:, None, None, None] * gain * falloff[:, None]
        image = _soften(image, self.softness)
        if self.noise > 0:
            # Half of the variance at mid-grey is the sensor's, half grows with the light.
            spread = self.noise * (0.5 + image.clamp(min=0)).sqrt()
            image = image + spread * torch.randn(image.shape, generator=generator)
        return (image.clamp(0, 1) * 255).round() / 255


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _corner_distance(height: int, width: int) -> Tensor:
    """(H, W) squared distance from the centre, 1 in the corners."""
    y = (torch.arange(height) + 0.5) / height * 2 - 1
    x = (torch.arange(width) + 0.5) / width * 2 - 1
    return (y[:, None] ** 2 + x[None] ** 2) / 2


def _soften(images: Tensor, sigma: float) -> Tensor:
    if sigma < 0.1:
        return images
    reach = int(np.ceil(2.5 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).tolist()
    # A few shifted sums take a fraction of the time of a convolution channel by channel.
    for side in (-1, -2):
        size = images.shape[side]
        ends = (reach, reach, 0, 0) if side == -1 else (0, 0, reach, reach)
        padded = F.pad(images, ends, mode="replicate")
        images = sum(
            (padded.narrow(side, i, size) * tap for i, tap in enumerate(taps)),
            torch.zeros_like(images),
        )
    return images
