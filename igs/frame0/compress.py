"""LightGaussian on a trained model: count, prune, recover.

Source: spec `frame0.md`, sections 4 and 5; `rasterizer.md`, section 9 (the counting rasterizer).
Mended of section 8: positions move during recovery (1), the sums are exact (6), importance can
weigh transmittance and alpha (7), what is compressed is the model handed in and so the last one
(9), and the end is what is returned (12).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diff_gaussian_rasterization import RasterOutput, rasterize

from igs.config.compress import CompressConfig, RecoverConfig, check_compress
from igs.config.frame0 import CoarseToFineConfig, Frame0Config, ValidationConfig
from igs.frame0.schedule import FAR, cosine_share, stretched
from igs.frame0.train import Frame0Trainer
from igs.gaussians import Gaussians, apply_filter_3d, compute_filter_3d
from igs.gaussians.lightgaussian import Importance, prune_mask, prune_scores
from igs.render import raster_view, render
from igs.scene import Camera

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]
MakeTrainer = Callable[[Frame0Config, Gaussians, int], Frame0Trainer]

_COUNTING_KERNEL = 0.3  # low-pass of plain 3DGS, square pixels


@dataclass(frozen=True)
class CompressResult:
    """What is left after pruning and recovery.

    Attributes:
        gaussians: M Gaussians, the 3D filter *not* folded in.
        filter_3d: (M,) filter that goes with them, world units; None where the model has none.
        kept: (M,) int64, the row of the model handed in that each comes from.
        num_before: Gaussians of that model.
        importance: of that model, before the first round.
    """

    gaussians: Gaussians
    filter_3d: torch.Tensor | None
    kept: torch.Tensor
    num_before: int
    importance: Importance

    @property
    def folded(self) -> Gaussians:
        """The Gaussians as rendered, filter folded in."""
        return folded(self.gaussians, self.filter_3d)


def folded(gaussians: Gaussians, filter_3d: torch.Tensor | None) -> Gaussians:
    """Gaussians as rendered: `apply_filter_3d`, or the same ones for no filter."""
    return gaussians if filter_3d is None else apply_filter_3d(gaussians, filter_3d)


def count_importance(
    gaussians: Gaussians, cameras: Sequence[Camera], kind: str = "opacity"
) -> Importance:
    """Sum over all pixels of all views what each Gaussian contributes; exact and repeatable.

    Args:
        gaussians: N Gaussians *as rendered* (3D filter folded in).
        cameras: the training cameras.
        kind: `opacity` and `opacity_t` (times transmittance) by the counting rasterizer, with its
            low-pass of 0.3 square pixels; `alpha_t` the weight in this project's own renders.

    Raises:
        ValueError: another kind, or no camera.

    Source: spec `rasterizer.md`, section 9; `frame0.md`, fault 7 of section 8.
    """
    if kind not in ("opacity", "opacity_t", "alpha_t"):
        raise ValueError(f"importance {kind!r} must be opacity, opacity_t or alpha_t")
    if not cameras:
        raise ValueError("importance: no cameras to count over")
    gaussians = gaussians.detach()
    counts = torch.zeros(len(gaussians), dtype=torch.int64, device=gaussians.device)
    scores = torch.zeros(len(gaussians), dtype=torch.float64, device=gaussians.device)
    with torch.no_grad():
        for camera in cameras:
            counted = _counted(gaussians, camera, kind == "opacity_t")
            assert counted.counts is not None
            assert counted.scores is not None
            counts += counted.counts
            scores += _weights(gaussians, camera) if kind == "alpha_t" else counted.scores
    return Importance(counts, scores)


def _counted(gaussians: Gaussians, camera: Camera, by_transmittance: bool) -> RasterOutput:
    return rasterize(
        gaussians.means,
        gaussians.unit_quats,
        gaussians.scales,
        gaussians.opacities,
        view=raster_view(camera, gaussians.device),
        sh=gaussians.sh,
        want=(),
        kernel_size=_COUNTING_KERNEL,
        compensate=False,
        counts=True,
        score_by_transmittance=by_transmittance,
    )


def _weights(gaussians: Gaussians, camera: Camera) -> torch.Tensor:
    """(N,) sum over the pixels of one view of alpha times transmittance.

    A Gaussian's colour enters the image by exactly these weights, so that they are its gradient.
    """
    with torch.enable_grad():
        colors = torch.zeros_like(gaussians.means, requires_grad=True)
        image = render(gaussians, camera, override_colors=colors).color
        (gradient,) = torch.autograd.grad(image[0].sum(), colors)
    return gradient[:, 0].double()


def compress(
    config: CompressConfig,
    frame0: Frame0Config,
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    gaussians: Gaussians,
    background: torch.Tensor,
    seed: int,
    *,
    filter_3d: torch.Tensor | None = None,
    first_iteration: int = 0,
    make_trainer: MakeTrainer | None = None,
    progress: Progress | None = None,
) -> CompressResult:
    """Prune the least significant Gaussians and fine-tune those that stay, in one or more rounds.

    Args:
        config: see `CompressConfig`; only `prune` and `recover` act here.
        frame0: how the model was trained: loss, rates and the length of the means' schedule are
            taken from it; nothing is densified and no opacity reset.
        cameras: the training cameras.
        images: their images, camera name to (H, W, 3) uint8.
        gaussians: N Gaussians, the 3D filter *not* folded in.
        background: (3,) colour behind everything, 0..1.
        seed: decides the order of the views.
        filter_3d: (N,) the model's filter; it is computed anew after every pruning. None for
            a model without, or with it folded in: it then gets none here either.
        first_iteration: iterations the model has seen, where the schedules go on.
        make_trainer: builds the trainer of one round's recovery from its settings, the pruned
            Gaussians and a seed, for instance one that knows the colours of the cameras; None
            builds a plain `Frame0Trainer`.
        progress: called with (iterations done, of how many, loss).

    Raises:
        ValueError: images that do not fit, or a share that leaves no Gaussian.
        ConfigError: settings that cannot be used; names the key.
    """
    check_compress(config)
    prune, total = config.prune, config.recover.iterations
    kept = torch.arange(len(gaussians), device=gaussians.device)
    state, filter_now, first, done = gaussians.detach(), filter_3d, None, 0
    settings = recovery_settings(frame0, first_iteration + total, state.sh_degree)
    settings.filter_3d = filter_3d is not None
    make_trainer = make_trainer or (
        lambda settings, start, seed: Frame0Trainer(
            settings, cameras, images, start, background, seed
        )
    )
    for number, steps in enumerate(split_steps(total, prune.rounds)):
        importance = count_importance(folded(state, filter_now), cameras, prune.importance)
        first = first or importance
        stays = _survivors(config, state, importance, prune.share * prune.decay**number)
        state, kept = state.select(stays), kept[stays]
        logger.info("round %d: %d of %d Gaussians stay", number + 1, len(kept), len(gaussians))
        trainer = make_trainer(settings, state, seed + number)
        told = _offset(progress, done, total)
        recover(trainer, config.recover, first_iteration + done, steps, told)
        (state, _), done = trainer.parameters(), done + steps
        filter_now = None if filter_3d is None else compute_filter_3d(state.means, cameras)
    assert first is not None
    return CompressResult(state, filter_now, kept, len(gaussians), first)


def recovery_settings(frame0: Frame0Config, last: int, sh_degree: int) -> Frame0Config:
    """The settings of training with nothing densified or reset and all SH coefficients active.

    Args:
        frame0: how the model was trained.
        last: the last iteration there will be.
        sh_degree: of the model.
    """
    # Stretched for the run that ended: recovery goes on where that left the schedules.
    settings = copy.deepcopy(stretched(frame0))
    settings.iterations = last
    settings.sh_degree, settings.sh_interval = sh_degree, 1
    settings.density.start, settings.density.until = FAR, 0
    settings.rates.final = 1.0  # `recover` sets the rates
    settings.coarse_to_fine, settings.validation = CoarseToFineConfig(), ValidationConfig()
    return settings


def recover(
    trainer: Frame0Trainer,
    config: RecoverConfig,
    first: int,
    steps: int,
    progress: Progress | None = None,
) -> None:
    """Run iterations `first` + 1 to `first` + `steps` of a trainer made by `recovery_settings`.

    Args:
        trainer: holds the pruned Gaussians; is worked on.
        config: see `RecoverConfig`; its number of iterations does not act here.
        first: iterations the model has seen.
        steps: iterations to run.
        progress: called with (iterations done, `steps`, loss).
    """
    rates = trainer.optimizer.learning_rates
    means = trainer.optimizer.gaussians.means.detach().clone()
    for step in range(1, steps + 1):
        factor = config.rate_decay ** ((step - 1) // config.rate_interval)
        factor *= cosine_share(step - 1, steps, config.rate_final)
        for name, rate in rates.items():
            if name != "means":  # which have a schedule of their own
                trainer.optimizer.set_learning_rate(name, rate * factor)
        loss = trainer.step(first + step)
        if config.freeze_means:
            trainer.optimizer.replace_values("means", means, reset_moments=False)
        if progress is not None:
            progress(step, steps, loss)


def split_steps(iterations: int, rounds: int) -> list[int]:
    """Iterations of each round: as even as whole numbers allow, the last ones longer."""
    return [
        (i + 1) * iterations // rounds - i * iterations // rounds for i in range(max(1, rounds))
    ]


def _survivors(
    config: CompressConfig, gaussians: Gaussians, importance: Importance, share: float
) -> torch.Tensor:
    prune = config.prune
    scores = prune_scores(
        gaussians, importance, prune.type, v_pow=prune.v_pow, clip=prune.clip_volume
    )
    stays = (~prune_mask(scores, share)).nonzero()[:, 0]
    if len(stays) == 0:
        raise ValueError(
            f"prune.share: {share:g} by {prune.type} leaves none of {len(gaussians)} Gaussians"
        )
    return stays


def _offset(progress: Progress | None, done: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda step, _, loss: progress(done + step, total, loss)
