"""Measuring a stream on the cameras that were held out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from igs.gaussians import Gaussians
from igs.metrics import decibels, psnr, ssim, temporal_stability
from igs.render import render
from igs.render.images import to_float, to_uint8
from igs.scene import Camera


@dataclass(frozen=True)
class FrameScores:
    """One frame on all held-out cameras.

    Attributes:
        psnr: dB by camera.
        ssim: by camera.
        flicker_mse: mean squared difference between the rendered and the captured change since
            the previous frame, over all cameras (see `metrics.stability`); None for the first
            frame seen.
        rendered: (H, W, 3) uint8 by camera.
    """

    psnr: Mapping[str, float]
    ssim: Mapping[str, float]
    flicker_mse: float | None
    rendered: Mapping[str, np.ndarray]


@dataclass
class HeldOutEvaluator:
    """Renders the held-out cameras and compares; holds the previous frame only.

    Args:
        cameras: the held-out cameras, at the size of their images.
        background: (3,) colour behind everything.
    """

    cameras: Sequence[Camera]
    background: torch.Tensor
    _previous: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __call__(self, gaussians: Gaussians, images: Mapping[str, np.ndarray]) -> FrameScores:
        """Scores of one frame, values clamped to 0..1.

        Raises:
            KeyError: a held-out camera without an image.
        """
        psnrs, ssims, rendered, flicker = {}, {}, {}, []
        for camera in self.cameras:
            with torch.no_grad():
                view = render(gaussians, camera, self.background).color.clamp(0, 1)
            target = to_float(images[camera.name], view.device)
            psnrs[camera.name] = psnr(view, target)
            ssims[camera.name] = ssim(view, target)
            rendered[camera.name] = to_uint8(view)
            if camera.name in self._previous:
                old_view, old_target = self._previous[camera.name]
                stability = temporal_stability(view, old_view, target, old_target)
                flicker.append(10 ** (-stability / 10))
            self._previous[camera.name] = (view, target)
        mse = sum(flicker) / len(flicker) if flicker else None
        return FrameScores(psnrs, ssims, mse, rendered)


def stability_db(flicker: Sequence[float]) -> float | None:
    """Temporal stability of a stream: `decibels` of its mean flicker; None without any."""
    return decibels(sum(flicker) / len(flicker)) if flicker else None
