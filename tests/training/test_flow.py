"""Training GMFlow: pairs of known flow are right, and the network learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gmflow import GMFlow, load_extractor, load_gmflow
from PIL import Image
from torch.nn import functional as F

from igs.config import FlowTrainConfig
from igs.config.training import (
    FlowNetworkSizes,
    FlowSizes,
    OptimiserConfig,
    ValidationConfig,
    WarpConfig,
)
from igs.training.batches import Batch, SampleSource, seeded
from igs.training.flow import FlowModel, FlowTask, MixedPairs, ScenePairs
from igs.training.log import read_scalars
from igs.training.loop import Trainer
from igs.training.networks import make_flow
from igs.training.run import train_flow
from igs.training.warped_pairs import FlowPair, WarpedPairs, random_flow

PLAIN = WarpConfig(jitter=0.0, noise=0.0)


def looked_up(pair: FlowPair) -> torch.Tensor:
    """The second image at where each pixel of the first goes."""
    size = pair.flow.shape[-1]
    centres = torch.arange(size) + 0.5
    x, y = centres[None, :] + pair.flow[0], centres[:, None] + pair.flow[1]
    grid = torch.stack([x, y], dim=-1)[None] * 2 / size - 1
    return F.grid_sample(pair.images[1][None], grid, padding_mode="border", align_corners=False)[0]


def test_the_flow_leads_to_the_same_colour() -> None:
    """Everywhere in the valid region but on the rims of the patches, which are looked up mixed."""
    source = WarpedPairs(PLAIN, 64, seed=1)
    for index in range(8):
        pair = source.sample(index)
        off = (looked_up(pair) - pair.images[0]).abs().amax(dim=0)[pair.valid]
        assert pair.valid.float().mean() > 0.4
        assert off.median() < 1e-5
        assert (off > 0.02).float().mean() < 0.06


def test_what_is_not_valid_is_hidden_or_out_of_the_picture() -> None:
    source = WarpedPairs(PLAIN, 64, seed=2)
    wrong, right = [], []
    for index in range(12):
        pair = source.sample(index)
        off = (looked_up(pair) - pair.images[0]).abs().amax(dim=0)
        wrong.append(off[~pair.valid])
        right.append(off[pair.valid])
    assert torch.cat(wrong).mean() > 10 * torch.cat(right).mean()


def test_fields_are_smooth_and_of_the_length_asked_for() -> None:
    lengths = []
    for seed in range(40):
        flow = random_flow(64, 0.2, seeded(seed))
        assert flow.norm(dim=0).max() <= 0.2 * 64 * (1 + 1e-5)
        step = torch.maximum(flow.diff(dim=1).abs().max(), flow.diff(dim=2).abs().max())
        assert step < 0.25 * flow.norm(dim=0).max()
        lengths.append(float(flow.norm(dim=0).max()))
    assert max(lengths) > 0.5 * 0.2 * 64
    assert min(lengths) < 0.05 * 0.2 * 64


def test_pairs_depend_on_seed_and_index_alone(tmp_path: Path) -> None:
    first, again = (WarpedPairs(WarpConfig(), 32, seed=3) for _ in range(2))
    again.sample(7)
    assert torch.equal(first.sample(5).images, again.sample(5).images)
    assert not torch.equal(first.sample(5).images, first.sample(6).images)
    with pytest.raises(FileNotFoundError, match="no photographs"):
        WarpedPairs(WarpConfig(), 32, seed=3, photos=str(tmp_path))


def test_photographs_serve_as_textures(tmp_path: Path) -> None:
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "red.png")
    source = WarpedPairs(WarpConfig(layers=0, jitter=0, noise=0), 32, 1, photos=str(tmp_path))
    pure = [bool((source.sample(i).images[:, 1:] == 0).all()) for i in range(20)]
    assert 4 < sum(pure) < 16


class Scenes:
    """Samples whose flow tells their index and view."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def sample(self, index: int):
        self.made.append(index)
        view = torch.arange(4.0).view(4, 1, 1, 1)

        class Sample:
            cur_images = torch.zeros(4, 3, 16, 16)
            next_images = torch.ones(4, 3, 16, 16)
            true_flow = (10 * index + view).expand(4, 2, 16, 16)
            flow_valid = torch.ones(4, 16, 16, dtype=torch.bool)

        return Sample()


def test_views_of_a_scene_follow_one_another() -> None:
    scenes = Scenes()
    pairs = ScenePairs(scenes, 4)  # type: ignore[arg-type]
    found = [int(pairs.sample(index).flow[0, 0, 0]) for index in range(8, 16)]
    assert found == [20, 21, 22, 23, 30, 31, 32, 33]
    assert scenes.made == [2, 3]
    warped = WarpedPairs(PLAIN, 16, seed=1)
    mixed = MixedPairs(warped, pairs, 0.5, seed=1, block=4)
    kinds = [bool((mixed.sample(i).images[0] == 0).all()) for i in range(200)]
    assert all(len(set(kinds[i : i + 4])) == 1 for i in range(0, 200, 4))
    assert 0.3 < sum(kinds) / 200 < 0.7


def tiny(output: Path, **changes: object) -> FlowTrainConfig:
    sizes = FlowSizes(widths=[16, 16, 24], channels=24, blocks=2, expansion=2, upsampler_width=32)
    return FlowTrainConfig(
        output=str(output),
        device="cpu",
        size=32,
        batch=2,
        epochs=1,
        steps_per_epoch=80,
        log_every=1,
        warped_share=1.0,
        network=FlowNetworkSizes(sizes=sizes),
        optimiser=OptimiserConfig(rate=3e-3, warmup_steps=5),
        validation=ValidationConfig(samples=3, images=1),
        warp=WarpConfig(max_motion=0.3, layers=0),
        **changes,  # type: ignore[arg-type]
    )


class Twice:
    """Two pairs again and again."""

    def __init__(self, source: SampleSource[FlowPair]) -> None:
        self.source = source

    def sample(self, index: int) -> FlowPair:
        return self.source.sample(index % 2)


class OverfitFlow(FlowTask):
    def source(self, seed: int, validation: bool) -> SampleSource[FlowPair]:
        return Twice(super().source(seed, validation))


def test_it_learns_two_pairs_by_heart(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    Trainer(config, OverfitFlow(config, make_flow(config))).run()
    lines = [line for line in read_scalars(tmp_path) if "train/loss" in line]
    assert lines[-1]["train/loss"] < lines[0]["train/loss"] / 3
    assert lines[-1]["train/epe"] < lines[0]["train/epe"] / 3


def test_the_model_predicts_what_the_network_does() -> None:
    network = make_flow(tiny(Path("unused"))).eval()
    pairs = [WarpedPairs(PLAIN, 32, seed=1).sample(i) for i in range(2)]
    with torch.no_grad():
        coarse, fine = FlowModel(network)(Batch([0, 1], pairs)).flows
        images = torch.stack([pair.images for pair in pairs]) * 255
        torch.testing.assert_close(fine, network(images[:, 0], images[:, 1]))
    assert coarse.shape == fine.shape == (2, 2, 32, 32)


def test_checkpoints_serve_both_networks_and_resume(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    config.steps_per_epoch = 3
    checkpoint = train_flow(config)
    assert checkpoint is not None
    assert isinstance(load_gmflow(checkpoint.model), GMFlow)
    assert load_extractor(checkpoint.model).config.channels == 24
    figures = [line for line in read_scalars(tmp_path) if "validation/epe" in line]
    assert set(figures[0]) == {"step", *(f"validation/{n}" for n in FlowTask.measures)}
    assert train_flow(config, resume=True) is None
