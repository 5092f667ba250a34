"""The whole of LightGaussian on a trained model: prune and recover, distil, quantise, save.

Source: spec `frame0.md`, sections 4 and 5; the end is always saved (fault 12 of section 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from igs.config.compress import CompressConfig, check_compress
from igs.config.frame0 import Frame0Config
from igs.frame0.compress import MakeTrainer, compress, count_importance, folded
from igs.frame0.distill import distill
from igs.frame0.outputs import iteration_name, save_gaussians
from igs.frame0.quantise import quantise, write_quantised
from igs.gaussians import Gaussians, global_significance
from igs.scene import Camera, GaussianModelFolder

StageProgress = Callable[[str, int, int, str], None]

QUANTISED = "quantised.safetensors"


@dataclass(frozen=True)
class CompressedModel:
    """What came out and where it lies.

    Attributes:
        iteration: the name of the saved iteration, such as ``6000_compress``.
        gaussians: M Gaussians, the 3D filter *not* folded in.
        filter_3d: (M,) their filter, None for a model without.
        ply: the PLY file.
        quantised: the quantised file beside it; None where quantisation is off.
        shown: the Gaussians as a viewer gets them: decoded where quantised, filter folded in.
    """

    iteration: str
    gaussians: Gaussians
    filter_3d: torch.Tensor | None
    ply: Path
    quantised: Path | None
    shown: Gaussians


def compress_model(
    config: CompressConfig,
    frame0: Frame0Config,
    model: GaussianModelFolder,
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    gaussians: Gaussians,
    background: torch.Tensor,
    seed: int,
    *,
    filter_3d: torch.Tensor | None = None,
    first_iteration: int = 0,
    iteration: str | None = None,
    make_trainer: MakeTrainer | None = None,
    progress: StageProgress | None = None,
) -> CompressedModel:
    """Prune and recover, then, as the settings say, distil and quantise; save what comes out.

    Args:
        config: see `CompressConfig`.
        frame0: how the model was trained.
        model: the folder to save to.
        cameras: the training cameras.
        images: their images, camera name to (H, W, 3) uint8.
        gaussians: N Gaussians, the 3D filter *not* folded in.
        background: (3,) colour behind everything, 0..1.
        seed: decides every random draw.
        filter_3d: (N,) the model's filter; None for none.
        first_iteration: iterations the model has seen.
        iteration: name of the iteration to save; None counts training and recovery together.
        make_trainer: see `igs.frame0.compress.compress`.
        progress: called with (`compress`, `distil` or `quantise`; done; total; note).

    Raises:
        ValueError: see `compress`, `distill` and `quantise`.
        OSError: the folder cannot be written.
    """
    check_compress(config)
    pruned = compress(
        config,
        frame0,
        cameras,
        images,
        gaussians,
        background,
        seed,
        filter_3d=filter_3d,
        first_iteration=first_iteration,
        make_trainer=make_trainer,
        progress=_told(progress, "compress"),
    )
    state = pruned.gaussians
    if config.distill.enabled:
        state = distill(
            config.distill,
            frame0.rates,
            folded(gaussians, filter_3d),
            state,
            cameras,
            background,
            seed,
            filter_3d=pruned.filter_3d,
            progress=_told(progress, "distil"),
        )
    if iteration is None:
        iteration = iteration_name(first_iteration + config.recover.iterations, compressed=True)
    ply = save_gaussians(model, iteration, state, pruned.filter_3d)
    shown, file = folded(state, pruned.filter_3d), None
    if config.quantise.enabled:
        importance = count_importance(shown, cameras, config.prune.importance)
        significance = global_significance(
            state, importance, v_pow=config.prune.v_pow, clip=config.prune.clip_volume
        )
        coded = quantise(
            config.quantise, shown, significance, seed, progress=_told(progress, "quantise")
        )
        file = ply.with_name(QUANTISED)
        write_quantised(file, coded)
        shown = coded.decode().to(gaussians.device)
    return CompressedModel(iteration, state, pruned.filter_3d, ply, file, shown)


def _told(progress: StageProgress | None, stage: str) -> Callable[[int, int, float], None] | None:
    if progress is None:
        return None
    return lambda done, total, loss: progress(stage, done, total, f"loss {loss:.4f}")
