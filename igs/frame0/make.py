"""Frame 0 as a config asks for it: loaded, or optimised from the images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from igs.config.frame0 import Frame0Config
from igs.frame0.attempts import Trained, attempts_report, best_of_attempts
from igs.frame0.camera_color import write_camera_colors
from igs.frame0.initial import gaussians_from_points, initial_points
from igs.frame0.train import Frame0Trainer
from igs.gaussians import Gaussians, read_ply
from igs.scene import Camera

logger = logging.getLogger(__name__)

StageProgress = Callable[[str, int, int, str], None]


def make_frame0(
    config: Frame0Config,
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    *,
    root: Path,
    ply: Path | None,
    background: torch.Tensor,
    seed: int,
    stations: Sequence[Camera] | None = None,
    colors_file: Path | None = None,
    progress: StageProgress | None = None,
    findings: dict[str, Any] | None = None,
) -> Gaussians:
    """The Gaussians of the first frame, 3D filter folded in.

    Args:
        config: see `Frame0Config`.
        cameras: the training cameras.
        images: their images, camera name to (H, W, 3) uint8.
        root: what the config's relative paths are relative to.
        ply: Gaussians to load instead; None to optimise.
        background: (3,) colour behind everything; its device is worked on.
        seed: decides every random draw; of the first of several attempts.
        stations: all cameras of the rig, see `Frame0Trainer`.
        colors_file: where the colours of the cameras are written, if the config has them learned;
            the Gaussians are in the colours of the mean camera then (see `ColorCorrectedSource`).
        progress: called with (`points` or `frame0`, done, total, note).
        findings: takes what was found on the way, as `igs frame0` reports it: `attempts`, and
            `camera_colors`, gain and offset of each camera.

    Raises:
        FileNotFoundError: a PLY that is not there.
        ValueError: a PLY or images that cannot be used; names them.
    """
    if ply is not None:
        return read_ply(ply).to(background.device)
    told = progress or (lambda stage, done, total, note: None)

    def train(seed: int, words: str) -> Trained:
        points = initial_points(
            config.init,
            cameras,
            images,
            root,
            seed,
            lambda done, total: told("points", done, total, ""),
        )
        logger.info("frame 0: %d initial points", len(points))
        start = gaussians_from_points(points, config.sh_degree).to(background.device)
        trainer = Frame0Trainer(config, cameras, images, start, background, seed, stations)
        trainer.run(
            lambda done, total, loss: told("frame0", done, total, f"{words}loss {loss:.4f}")
        )
        return trainer, points

    (trainer, _), attempts = best_of_attempts(config.attempts, seed, train)
    found: dict[str, Any] = {"attempts": attempts_report(attempts)} if attempts else {}
    if trainer.colors is not None:
        found["camera_colors"] = trainer.colors.report()
        if colors_file is not None:
            write_camera_colors(colors_file, trainer.colors.names, trainer.colors.matrices)
    if findings is not None:
        findings.update(found)
    return trainer.result()
