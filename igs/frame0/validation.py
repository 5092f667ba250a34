"""Early stop by training cameras that are set aside; test views never take part."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import torch

from igs.config.frame0 import ValidationConfig
from igs.frame0.views import TrainingViews
from igs.gaussians import Gaussians
from igs.metrics import psnr
from igs.render import render

if TYPE_CHECKING:
    from igs.frame0.train import Frame0Trainer

logger = logging.getLogger(__name__)


class Validation:
    """Looks at the cameras set aside every so often and keeps the best state.

    Args:
        views: the cameras set aside.
        background: (3,) colour behind everything.
        config: interval and patience.

    Attributes:
        best: Gaussians of the best look, as rendered; None before the first.
        best_iteration: when that was.
        best_psnr: mean PSNR of the best look, dB.
        history: (iteration, mean PSNR in dB) of every look.
    """

    def __init__(
        self, views: TrainingViews, background: torch.Tensor, config: ValidationConfig
    ) -> None:
        self.views, self._background, self._config = views, background, config
        self.best: Gaussians | None = None
        self.best_iteration = 0
        self.best_psnr = -math.inf
        self.history: list[tuple[int, float]] = []

    def look(self, trainer: Frame0Trainer) -> bool:
        """Measure if it is time; True once `patience` looks brought nothing better."""
        iteration, config = trainer.iteration, self._config
        if iteration % config.interval and iteration != trainer.config.iterations:
            return False
        gaussians = trainer.snapshot()
        value = self.measure(gaussians)
        self.history.append((iteration, value))
        logger.debug("frame 0: validation %.2f dB at iteration %d", value, iteration)
        if value > self.best_psnr:
            self.best, self.best_psnr, self.best_iteration = gaussians, value, iteration
        since = sum(1 for when, _ in self.history if when > self.best_iteration)
        return since >= config.patience

    @torch.no_grad()
    def measure(self, gaussians: Gaussians) -> float:
        """Mean PSNR over the cameras set aside, dB."""
        figures = []
        for i in range(len(self.views)):
            camera, target = self.views.at(i, device=gaussians.device)
            figures.append(psnr(render(gaussians, camera, self._background).color, target))
        return math.fsum(figures) / len(figures)
