"""Training AGM-Net: from the look of other views, from the true motion, or from both.

Source: spec `streaming.md`, section 11; `agm_net.md`, section 12.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from igs.config.training import LossWeights, TrainConfig
from igs.motion import AGMNet, Motion, save_agm, warp
from igs.render import render
from igs.training.batches import Batch, SampleSource, seeded
from igs.training.data import scene_source
from igs.training.losses import half_diagonal, image_loss, motion_losses
from igs.training.sample import TrainingSample

GRADIENT_LIMIT = 15.0  # of the rasterizer, as in the original

MEASURES = (
    "loss",
    "image",
    "translation",
    "rotation",
    "psnr",
    "psnr_still",
    "epe",
    "epe_still",
    "drift",
)


class MotionModel(nn.Module):
    """The network as the loop wraps it: whole samples in, motions out.

    In training the first anchor of a sample is drawn from the seed and the sample's index; in
    evaluation it is the point nearest the centroid, as in streaming.
    """

    def __init__(self, network: AGMNet, seed: int) -> None:
        super().__init__()
        self.network, self.seed = network, seed

    def forward(self, batch: Batch[TrainingSample]) -> list[Motion]:
        """B motions."""
        keys = [
            self.network.encode_key(
                sample.gaussians,
                sample.cur_images,
                sample.depth,
                sample.world_to_camera,
                sample.fov,
                sample.box,
                generator=seeded(self.seed, index) if self.training else None,
            )
            for index, sample in zip(batch.indices, batch.samples, strict=True)
        ]
        return self.network(keys, torch.stack([sample.next_images for sample in batch.samples]))


class MotionTask:
    """AGM-Net with its data and losses; see `Task`.

    Args:
        config: see `TrainConfig`.
        network: what to train.
    """

    measures: Sequence[str] = MEASURES

    def __init__(self, config: TrainConfig, network: AGMNet) -> None:
        self.config, self.network = config, network
        self.model: nn.Module = MotionModel(network, config.seed)

    @property
    def looks(self) -> bool:
        """Whether views are rendered and compared."""
        return self.config.losses.lambda_l1 + self.config.losses.lambda_dssim > 0

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The network at the full rate, the flow features at a share of it."""
        flow = list(self.network.flow.parameters())
        of_flow = {id(parameter) for parameter in flow}
        own = [p for p in self.network.parameters() if id(p) not in of_flow]
        return [(own, 1.0), (flow, self.config.optimiser.flow_rate)]

    def source(self, seed: int, validation: bool) -> SampleSource[TrainingSample]:
        """Samples of a seed, with supervision views where they are looked at."""
        return scene_source(
            self.config.data,
            seed,
            self.network.config.network_size,
            targets=self.looks or validation,
            validation=validation,
        )

    def to_device(
        self, batch: Batch[TrainingSample], device: torch.device
    ) -> Batch[TrainingSample]:
        """The same batch on another device."""
        return Batch(batch.indices, [sample.to(device) for sample in batch.samples])

    def losses(self, outputs: list[Motion], batch: Batch[TrainingSample]) -> dict[str, Tensor]:
        """Means over the batch of `loss` and its parts."""
        rows = [
            sample_losses(motion, sample, self.config.losses)
            for motion, sample in zip(outputs, batch.samples, strict=True)
        ]
        losses = {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}
        if not any(len(motion) for motion in outputs):
            # Every process must have a gradient to share, though it be nil.
            trained = [p for p in self.network.parameters() if p.requires_grad]
            losses["loss"] = losses["loss"] + 0 * torch.stack([p.sum() for p in trained]).sum()
        return losses

    def measure(
        self, outputs: list[Motion], batch: Batch[TrainingSample]
    ) -> dict[str, tuple[float, float]]:
        """Sum and count of every figure that the samples allow.

        - `loss` and its parts, per sample;
        - `psnr`, `psnr_still`: dB of all target views of a sample together, of the moved and of
          the unmoved Gaussians, images not clamped;
        - `epe`, `epe_still`: distance to the true translation of the moving Gaussians in the box,
          of the motion and of no motion; `drift`: translation of the others; half diagonals.
        """
        totals: dict[str, tuple[float, float]] = dict.fromkeys(MEASURES, (0.0, 0.0))
        for motion, sample in zip(outputs, batch.samples, strict=True):
            found = {
                **_counted(sample_losses(motion, sample, self.config.losses)),
                **_look(motion, sample),
                **_end_points(motion, sample),
            }
            for name, (total, count) in found.items():
                totals[name] = totals[name][0] + total, totals[name][1] + count
        return totals

    def images(self, outputs: list[Motion], batch: Batch[TrainingSample]) -> dict[str, Tensor]:
        """All target views of the first sample side by side, true and predicted."""
        sample = batch.samples[0]
        if sample.targets is None:
            return {}
        predicted = render_targets(outputs[0], sample)
        return {"target": _side_by_side(sample.targets), "prediction": _side_by_side(predicted)}

    def save(self, path: Path) -> None:
        """All that `load_agm` needs, flow features included."""
        save_agm(path, self.network)


def sample_losses(
    motion: Motion, sample: TrainingSample, weights: LossWeights
) -> dict[str, Tensor]:
    """`loss` of one sample, and the parts it is made of, before weighting.

    Raises:
        ValueError: a loss is asked for whose truth the sample does not know.
    """
    parts: dict[str, Tensor] = {}
    loss = motion.translation.sum() * 0
    if weights.lambda_l1 + weights.lambda_dssim > 0:
        if sample.targets is None:
            raise ValueError("lambda_l1 and lambda_dssim need samples with target images")
        parts["image"] = image_loss(
            render_targets(motion, sample), sample.targets, weights.lambda_l1, weights.lambda_dssim
        )
        loss = loss + parts["image"]
    if weights.lambda_motion > 0:
        parts |= _true_motion_losses(motion, sample, weights)
        true = parts["translation"] + weights.rotation * parts["rotation"]
        loss = loss + weights.lambda_motion * true
    return {"loss": loss, **parts}


def render_targets(motion: Motion, sample: TrainingSample) -> Tensor:
    """(T, 3, H, W): the moved Gaussians in the sample's target views, not clamped."""
    moved = warp(sample.gaussians, motion)
    views = [render(moved, c, gradient_limit=GRADIENT_LIMIT) for c in sample.target_cameras]
    return torch.stack([view.color for view in views])


def _true_motion_losses(
    motion: Motion, sample: TrainingSample, weights: LossWeights
) -> dict[str, Tensor]:
    translation, rotation, moving = sample.true_translation, sample.true_rotation, sample.moving
    if translation is None or rotation is None or moving is None:
        raise ValueError("lambda_motion needs samples whose true motion is known")
    return motion_losses(
        motion,
        translation,
        rotation,
        moving,
        sample.box,
        weights.moving_share,
        weights.softness,
        weights.outlier,
    )


def _counted(losses: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
    return {name: (float(value.detach()), 1.0) for name, value in losses.items()}


def _look(motion: Motion, sample: TrainingSample) -> dict[str, tuple[float, float]]:
    if sample.targets is None:
        return {}
    nothing = Motion(motion.index[:0], motion.translation[:0], motion.rotation[:0])
    return {
        name: (_psnr(render_targets(each, sample), sample.targets), 1.0)
        for name, each in (("psnr", motion), ("psnr_still", nothing))
    }


def _psnr(images: Tensor, targets: Tensor) -> float:
    error = float((images - targets).detach().square().mean(dtype=torch.float64))
    return -10 * math.log10(max(error, 1e-12))


def _end_points(motion: Motion, sample: TrainingSample) -> dict[str, tuple[float, float]]:
    if sample.true_translation is None or sample.moving is None:
        return {}
    unit, moving = half_diagonal(sample.box), sample.moving[motion.index]
    true = sample.true_translation[motion.index] / unit
    predicted = motion.translation.detach() / unit
    figures = {
        "epe": (predicted - true).norm(dim=1)[moving],
        "epe_still": true.norm(dim=1)[moving],
        "drift": predicted.norm(dim=1)[~moving],
    }
    return {name: (float(v.sum()), float(v.numel())) for name, v in figures.items()}


def _side_by_side(images: Tensor) -> Tensor:
    return torch.cat(list(images), dim=-1)
