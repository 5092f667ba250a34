"""The engine: online, on schedule, resumable to the same bits, with its faults named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.config import ConfigError, RunConfig
from igs.gaussians import Gaussians
from igs.metrics import psnr
from igs.motion import AGMConfig, AGMNet
from igs.render import render
from igs.render.images import to_float
from igs.scene import Box, MultiViewFrame
from igs.stream import MultiViewEngine, StreamFrame
from igs.stream.predict import network_images

from .conftest import ToySource, toy_gaussians

BOX = Box(np.array([-1.0, -0.5, 1.5]), np.array([1.0, 0.5, 2.5]))


def equal(a: Gaussians, b: Gaussians) -> bool:
    return all(torch.equal(a.tensors()[k], b.tensors()[k]) for k in a.tensors())


def tiny_network() -> AGMNet:
    torch.manual_seed(3)
    network = AGMNet(replace(AGMConfig.small(), network_size=64, anchors=64))
    with torch.no_grad():
        network.decoder.translation.weight.normal_(0, 0.02)
    return network


def run(config: RunConfig, source: ToySource, **kwargs) -> list[StreamFrame]:
    return list(MultiViewEngine(config, toy_gaussians(), **kwargs).run(source))


def test_frames_come_out_before_the_next_is_asked_for(toy_config: RunConfig) -> None:
    source = ToySource(None)
    stream = MultiViewEngine(toy_config, toy_gaussians()).run(source)
    for expected in range(8):
        assert next(stream).index == expected
        assert source.asked == expected + 1


def test_schedule_and_what_each_frame_says(toy_config: RunConfig, toy_source: ToySource) -> None:
    frames = run(toy_config, toy_source)
    assert [f.index for f in frames] == list(range(9))
    assert [f.index for f in frames if f.is_key] == [0, 3, 6, 8]
    assert [f.predicted_from for f in frames] == [None, 0, 0, 0, 3, 3, 3, 6, 6]
    assert frames[0].refinement is None
    assert frames[1].refinement is None
    assert frames[3].refinement is not None
    assert frames[3].refinement.iterations == 6
    assert frames[3].refinement.num_after == len(frames[3].gaussians)
    assert "refine" in frames[3].seconds
    assert "refine" not in frames[4].seconds


def test_the_last_partial_group_can_be_left_unrefined(
    toy_config: RunConfig, toy_source: ToySource
) -> None:
    toy_config.schedule.refine_last = False
    assert [f.index for f in run(toy_config, toy_source) if f.is_key] == [0, 3, 6]


def test_held_still_without_motion_and_refinement(
    toy_config: RunConfig, toy_source: ToySource
) -> None:
    toy_config.refine.mode = "off"
    frames = run(toy_config, toy_source)
    assert all(equal(f.gaussians, toy_gaussians()) for f in frames)


def test_refinement_follows_the_scene_on_a_held_out_view(toy_config: RunConfig) -> None:
    source = ToySource(7, step=0.05)
    toy_config.refine.iterations = 60
    toy_config.refine.densify.interval = 20
    camera = source.cameras["cam02"]

    def score(mode: str) -> float:
        toy_config.refine.mode = mode
        last = run(toy_config, source)[-1]
        with torch.no_grad():
            image = render(last.gaussians, camera).color
        return psnr(image, to_float(last.captured.images["cam02"]))

    assert score("s") > score("off") + 1.0


def test_the_cap_holds(toy_config: RunConfig, toy_source: ToySource) -> None:
    toy_config.refine.densify.grad_threshold = 0.0
    toy_config.refine.densify.max_num = 110
    frames = run(toy_config, toy_source)
    counts = [len(f.gaussians) for f in frames]
    assert max(counts) <= 110
    assert max(counts) > 104


def test_a_full_set_at_the_start_neither_crashes_nor_grows(
    toy_config: RunConfig, toy_source: ToySource
) -> None:
    toy_config.refine.densify.max_num = 50
    toy_config.refine.densify.grad_threshold = 0.0
    assert max(len(f.gaussians) for f in run(toy_config, toy_source)) <= 104


def test_same_seed_same_bits_and_another_seed_others(
    toy_config: RunConfig, toy_source: ToySource
) -> None:
    first, second = run(toy_config, toy_source), run(toy_config, toy_source)
    assert equal(first[-1].gaussians, second[-1].gaussians)
    toy_config.seed = 1
    third = run(toy_config, toy_source)
    assert not torch.equal(first[-1].gaussians.means[:50], third[-1].gaussians.means[:50])


@pytest.mark.parametrize("active_only", [False, True])
@pytest.mark.parametrize("motion", ["none", "agm"])
def test_a_resumed_run_gives_the_same_bits(
    toy_config: RunConfig, tmp_path: Path, active_only: bool, motion: str
) -> None:
    toy_config.refine.active_only = active_only
    toy_config.motion.mode = motion
    toy_config.motion.weights = "given by hand"
    network = tiny_network() if motion == "agm" else None
    whole = run(toy_config, ToySource(), network=network, box=BOX)

    engine = MultiViewEngine(toy_config, toy_gaussians(), network=network, box=BOX)
    for frame in engine.run(ToySource()):
        if frame.index == 4:
            break
    engine.save(tmp_path / "state")
    resumed = MultiViewEngine(toy_config, None, network=network, box=BOX)
    assert resumed.resume(tmp_path / "state") == 3
    rest = list(resumed.run(ToySource()))
    assert [f.index for f in rest] == [4, 5, 6, 7, 8]
    for a, b in zip(rest, whole[4:], strict=True):
        assert equal(a.gaussians, b.gaussians)


def test_a_state_of_other_settings_is_refused(toy_config: RunConfig, tmp_path: Path) -> None:
    engine = MultiViewEngine(toy_config, toy_gaussians())
    next(engine.run(ToySource()))
    engine.save(tmp_path / "state")
    toy_config.refine.rates.means = 0.5
    with pytest.raises(ValueError, match=r"refine\.rates\.means=0\.0016.*0\.5"):
        MultiViewEngine(toy_config, None).resume(tmp_path / "state")


def test_a_damaged_state_is_refused(toy_config: RunConfig, tmp_path: Path) -> None:
    engine = MultiViewEngine(toy_config, toy_gaussians())
    next(engine.run(ToySource()))
    engine.save(tmp_path / "state")
    whole = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        MultiViewEngine(toy_config, None).resume(tmp_path / "state")


def test_motion_moves_only_what_lies_in_the_box(toy_config: RunConfig) -> None:
    toy_config.motion.mode, toy_config.motion.weights = "agm", "given by hand"
    frames = run(toy_config, ToySource(3), network=tiny_network(), box=BOX)
    motion = frames[1].motion
    assert motion is not None
    assert set(motion.index.tolist()) == set(range(96, 104))
    start = toy_gaussians()
    assert torch.equal(frames[1].gaussians.means[:96], start.means[:96])
    assert not torch.equal(frames[1].gaussians.means[96:], start.means[96:])
    assert frames[1].num_in_box == 8


def test_a_box_without_gaussians_is_named(toy_config: RunConfig) -> None:
    toy_config.motion.mode, toy_config.motion.weights = "agm", "given by hand"
    empty = Box(np.array([50.0, 50, 50]), np.array([51.0, 51, 51]))
    with pytest.raises(ValueError, match=r"box \[50.*none of the 104 Gaussians"):
        run(toy_config, ToySource(3), network=tiny_network(), box=empty)


def test_motion_without_a_network_is_refused(toy_config: RunConfig) -> None:
    toy_config.motion.mode, toy_config.motion.weights = "agm", "somewhere"
    with pytest.raises(ValueError, match="network"):
        MultiViewEngine(toy_config, toy_gaussians())


def test_all_cameras_held_out_is_refused(toy_config: RunConfig, toy_source: ToySource) -> None:
    toy_config.views.held_out = list(toy_source.cameras)
    with pytest.raises(ConfigError, match="none is left to train on"):
        run(toy_config, toy_source)


def test_what_stands_still_stays_the_same_bits(toy_config: RunConfig) -> None:
    toy_config.refine.active_only = True
    toy_config.refine.densify.enabled = False
    frames = run(toy_config, ToySource(4, step=0.05))
    report = frames[3].refinement
    assert report is not None
    assert 8 <= report.num_active < 60
    means = frames[3].gaussians.means
    # Refinement puts what is free first; all others keep their values.
    still = toy_gaussians().means
    same = (means[:, None] == still[None]).all(-1).any(1).sum()
    assert int(same) >= 104 - report.num_active


def test_a_source_that_begins_later_is_refused(toy_config: RunConfig) -> None:
    class Late(ToySource):
        def frames(self, start: int = 0):
            return super().frames(start + 2)

    with pytest.raises(ValueError, match="begins with frame 2; frame 0 must come first"):
        run(toy_config, Late())


@pytest.mark.parametrize("active_only", [False, True])
def test_with_active_only_what_stands_still_is_not_moved(
    toy_config: RunConfig, active_only: bool
) -> None:
    toy_config.motion.mode, toy_config.motion.weights = "agm", "given by hand"
    toy_config.schedule.interval = 1
    toy_config.refine.mode, toy_config.refine.iterations = "off", None
    toy_config.refine.active_only = active_only
    frames = run(toy_config, ToySource(2, step=0.0), network=tiny_network(), box=BOX)
    assert frames[1].is_key
    assert frames[1].num_in_box == (0 if active_only else 8)
    assert equal(frames[1].gaussians, toy_gaussians()) == active_only


class FailingCameras(ToySource):
    """Cameras that are away at some frames, by index."""

    def __init__(self, num_frames: int, away: dict[int, set[str]]) -> None:
        super().__init__(num_frames)
        self.away = away

    def frame(self, index: int) -> MultiViewFrame:
        frame, away = super().frame(index), self.away.get(index, set())
        grey = {name: np.full_like(frame.images[name], 128) for name in away}
        return replace(frame, images={**frame.images, **grey}, stale=frozenset(away))


def test_nothing_is_predicted_from_a_camera_that_is_away(toy_config: RunConfig) -> None:
    toy_config.motion.mode, toy_config.motion.weights = "agm", "given by hand"
    toy_config.views.inputs = ["cam00", "cam01"]
    away = {1: {"cam00"}, 2: {"cam03"}, 3: {"cam01"}}
    source = FailingCameras(8, away)
    frames = run(toy_config, source, network=tiny_network(), box=BOX)
    # 1: an input is away; 2: another camera; 3: a key frame without an input, so 4 to 6 neither.
    assert [f.num_in_box > 0 for f in frames] == [i in (2, 7) for i in range(8)]
    assert frames[1].motion is None


def test_key_frames_are_refined_on_the_cameras_that_are_there(toy_config: RunConfig) -> None:
    toy_config.refine.densify.enabled = False
    toy_config.refine.lambda_l1 = 1.0

    def loss(source: ToySource) -> float:
        report = run(toy_config, source)[3].refinement
        assert report is not None
        return report.first_loss

    lying = FailingCameras(4, {3: {"cam00", "cam01"}})
    told = loss(lying)
    lying.frame = lambda index: replace(FailingCameras.frame(lying, index), stale=frozenset())
    assert told < 0.2 * loss(lying)


def test_without_any_camera_a_key_frame_is_held(toy_config: RunConfig) -> None:
    frames = run(toy_config, FailingCameras(4, {3: set(ToySource().cameras)}))
    assert frames[3].refinement is None
    assert equal(frames[3].gaussians, toy_gaussians())


def test_network_images_of_another_size_are_made_from_the_working_images() -> None:
    frame = ToySource().frame(0)
    white = {name: np.full((48, 48, 3), 255, np.uint8) for name in frame.images}
    given = replace(frame, network_images=white)
    for size, same_as in ((48, None), (32, frame)):
        images = network_images(given, ["cam00"], size, antialias=True)
        assert images["cam00"].shape == (size, size, 3)
        if same_as is None:
            assert bool((images["cam00"] == 255).all())
        else:
            plain = network_images(same_as, ["cam00"], size, antialias=True)
            assert torch.equal(images["cam00"], plain["cam00"])
