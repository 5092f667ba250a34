"""Training GMFlow, whose features AGM-Net builds on: true flow of scenes and of warped images.

Source: spec `gmflow.md`, sections 7 to 9; images are divided by 255 once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from gmflow import FeatureExtractor, GMFlow, flow_to_rgb, global_matching, save_weights
from gmflow.config import DOWNSAMPLING
from torch import Tensor, nn
from torch.nn import functional as F

from igs.config.training import FlowTrainConfig
from igs.training.batches import Batch, SampleSource, seeded
from igs.training.data import scene_source
from igs.training.losses import flow_loss, matching_loss
from igs.training.sample import TrainingSample
from igs.training.warped_pairs import FlowPair, WarpedPairs

MEASURES = ("loss", "epe", "epe_still", "outliers")
OUTLIER = 3.0  # pixels


@dataclass(frozen=True)
class FlowPrediction:
    """What the flow network says of B pairs.

    Attributes:
        flows: (B, 2, H, W) float32 each, pixels, the best last.
        features0: (B, C, H/8, W/8) float32, related features of the first images.
        features1: the same of the second images.
    """

    flows: list[Tensor]
    features0: Tensor
    features1: Tensor


class FlowModel(nn.Module):
    """GMFlow with its intermediate prediction, as the loop wraps it."""

    def __init__(self, network: GMFlow) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch[FlowPair]) -> FlowPrediction:
        """The matched flow, enlarged bilinearly, and the network's own."""
        images = torch.stack([pair.images for pair in batch.samples]) * 255
        features = FeatureExtractor.forward(self.network, images[:, 0], images[:, 1])
        with torch.autocast(images.device.type, enabled=False):
            features0, features1 = (f.float() for f in features)
            coarse = global_matching(features0, features1)
            enlarged = DOWNSAMPLING * F.interpolate(
                coarse, scale_factor=DOWNSAMPLING, mode="bilinear", align_corners=True
            )
            spread = self.network.propagation(features0, coarse)
            fine = self.network.upsampler(features0, spread)
            return FlowPrediction([enlarged, fine], features0, features1)


class ScenePairs:
    """The views of a scene's samples one by one, as `FlowPair`.

    A sample of V views is made once per V pairs at best: index i is view i mod V of sample i // V.

    Args:
        source: samples with true flow.
        views: V.
    """

    def __init__(self, source: SampleSource[TrainingSample], views: int) -> None:
        self.source, self.views = source, views
        self._last: tuple[int, TrainingSample] | None = None

    def sample(self, index: int) -> FlowPair:
        """The pair of an index.

        Raises:
            ValueError: the source does not know the true flow.
        """
        scene, view = divmod(index, self.views)
        if self._last is None or self._last[0] != scene:
            self._last = scene, self.source.sample(scene)
        sample = self._last[1]
        if sample.true_flow is None or sample.flow_valid is None:
            raise ValueError("training flow needs samples whose true flow is known")
        images = torch.stack([sample.cur_images[view], sample.next_images[view]])
        return FlowPair(images, sample.true_flow[view], sample.flow_valid[view])


class MixedPairs:
    """Pairs of two sources in a drawn order.

    Args:
        warped: warped images.
        scenes: views of scenes, or None where all are warped.
        warped_share: of the pairs, those from `warped`.
        seed: draws the order.
        block: pairs drawn together, so that a scene's views follow one another.
    """

    def __init__(
        self,
        warped: SampleSource[FlowPair],
        scenes: SampleSource[FlowPair] | None,
        warped_share: float,
        seed: int,
        block: int,
    ) -> None:
        self.warped, self.scenes = warped, scenes
        self.warped_share, self.seed, self.block = warped_share, seed, block

    def sample(self, index: int) -> FlowPair:
        """The pair of an index."""
        draw = float(torch.rand((), generator=seeded(self.seed, index // self.block)))
        if self.scenes is None or draw < self.warped_share:
            return self.warped.sample(index)
        return self.scenes.sample(index)


class FlowTask:
    """GMFlow with its data and losses; see `Task`.

    Args:
        config: see `FlowTrainConfig`.
        network: what to train.
    """

    measures: Sequence[str] = MEASURES

    def __init__(self, config: FlowTrainConfig, network: GMFlow) -> None:
        self.config, self.network = config, network
        self.model: nn.Module = FlowModel(network)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """All at one rate."""
        return [(list(self.network.parameters()), 1.0)]

    def source(self, seed: int, validation: bool) -> SampleSource[FlowPair]:
        """Pairs of a seed."""
        config, views = self.config, 4
        warped = WarpedPairs(config.warp, config.size, seed, config.data.photos)
        if config.warped_share >= 1:
            return MixedPairs(warped, None, 1, seed, views)
        scenes = scene_source(config.data, seed, config.size, flow=True, validation=validation)
        return MixedPairs(warped, ScenePairs(scenes, views), config.warped_share, seed, views)

    def to_device(self, batch: Batch[FlowPair], device: torch.device) -> Batch[FlowPair]:
        """The same batch on another device."""
        return Batch(batch.indices, [pair.to(device) for pair in batch.samples])

    def losses(self, outputs: FlowPrediction, batch: Batch[FlowPair]) -> dict[str, Tensor]:
        """`loss`, its part `matching`, and `epe` of the best prediction in pixels."""
        true = torch.stack([pair.flow for pair in batch.samples])
        valid = torch.stack([pair.valid for pair in batch.samples])
        loss = flow_loss(outputs.flows, true, valid, self.config.gamma, self.config.max_flow)
        matching = matching_loss(outputs.features0, outputs.features1, true, valid)
        loss = loss + self.config.lambda_matching * matching
        error = (outputs.flows[-1].detach() - true).norm(dim=1)
        epe = (error * valid).sum() / valid.sum().clamp(min=1)
        return {"loss": loss, "epe": epe, "matching": matching.detach()}

    def measure(
        self, outputs: FlowPrediction, batch: Batch[FlowPair]
    ) -> dict[str, tuple[float, float]]:
        """Sum and count of the figures.

        - `loss`, per pair;
        - `epe`, `epe_still`: end-point error over all valid pixels, of the network and of no flow;
        - `outliers`: share of the valid pixels that are off by more than 3 pixels.
        """
        true = torch.stack([pair.flow for pair in batch.samples])
        valid = torch.stack([pair.valid for pair in batch.samples])
        error = (outputs.flows[-1] - true).norm(dim=1)[valid]
        pairs, pixels = float(len(true)), float(error.numel())
        return {
            "loss": (float(self.losses(outputs, batch)["loss"]) * pairs, pairs),
            "epe": (float(error.sum()), pixels),
            "epe_still": (float(true.norm(dim=1)[valid].sum()), pixels),
            "outliers": (float((error > OUTLIER).sum()), pixels),
        }

    def images(self, outputs: FlowPrediction, batch: Batch[FlowPair]) -> dict[str, Tensor]:
        """The first pair's first image, true and predicted flow as colours."""
        pair = batch.samples[0]
        longest = float(pair.flow.norm(dim=0).max())
        return {
            "first": pair.images[0],
            "target": flow_to_rgb(pair.flow, longest),
            "prediction": flow_to_rgb(outputs.flows[-1][0], longest),
        }

    def save(self, path: Path) -> None:
        """All that `load_gmflow` and `load_extractor` need."""
        save_weights(path, self.network)
