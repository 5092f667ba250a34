"""Samples made on demand: truth against the renderer, appearance, views, and sameness."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from igs.gaussians import Gaussians
from igs.motion import Motion, warp
from igs.render import render, render_depths
from igs.scene import Camera
from igs.scene.synthetic import RIG_KINDS, SyntheticSceneConfig
from igs.training.appearance import AppearanceConfig, CameraLooks
from igs.training.camera_groups import camera_groups
from igs.training.sample import TrainingSample
from igs.training.synthetic_data import SyntheticData, SyntheticDataConfig
from igs.training.true_flow import project, render_flow

SCENE = SyntheticSceneConfig(num_gaussians=(3000, 4000), still_share=0.0, still_scenes=0.0)
PLAIN = SyntheticDataConfig(
    SCENE, AppearanceConfig.none(), input_size=96, target_long_side=64, reconstruction=(0.0, 0.0)
)
FULL = SyntheticDataConfig(SCENE, input_size=64, target_long_side=64)


def tensors(sample: TrainingSample) -> dict[str, torch.Tensor]:
    found = {k: v for k, v in vars(sample).items() if isinstance(v, torch.Tensor)}
    return {**found, **sample.gaussians.tensors()}


@pytest.fixture(scope="module")
def full() -> TrainingSample:
    return SyntheticData(FULL, seed=1).sample(7)


def test_a_sample_holds_all_that_is_asked_for(full: TrainingSample):
    assert full.cur_images.shape == full.next_images.shape == (4, 3, 64, 64)
    assert full.targets is not None
    assert full.targets.shape[0] == len(full.target_cameras) == 8
    for name, tensor in tensors(full).items():
        assert torch.isfinite(tensor).all(), name
        if "images" in name or name == "targets":
            assert 0 <= tensor.min() < tensor.max() <= 1, name
    assert full.flow_valid is not None
    assert full.flow_valid.float().mean() > 0.5
    for i, camera in enumerate(full.target_cameras[:4]):
        np.testing.assert_allclose(camera.world_to_camera, full.world_to_camera[i], atol=1e-4)
        np.testing.assert_allclose(camera.fov, full.fov[i], atol=0.02)


def test_the_same_index_is_the_same_sample(full: TrainingSample):
    source = pickle.loads(pickle.dumps(SyntheticData(FULL, seed=1)))
    source.sample(3)
    again = tensors(source.sample(7))
    for name, tensor in tensors(full).items():
        assert torch.equal(tensor, again[name]), name
    assert not torch.equal(full.box, SyntheticData(FULL, seed=2).sample(7).box)
    assert not torch.equal(full.box, source.sample(8).box)


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_warping_by_the_true_motion_gives_the_next_gaussians(index: int, level: float):
    config = dataclasses.replace(PLAIN, reconstruction=(level, level), photometric=False)
    source = SyntheticData(config, seed=4)
    sample = source.pair(index, 3, 6)
    known = source.reconstruction(index, source.scene(index))
    after = Gaussians(**vars(known.at(6)))
    assert sample.true_translation is not None
    assert sample.true_rotation is not None
    rows = torch.arange(len(after))
    moved = warp(sample.gaussians, Motion(rows, sample.true_translation, sample.true_rotation))
    size = float((sample.box[1] - sample.box[0]).norm())
    torch.testing.assert_close(moved.means, after.means, atol=1e-5 * size, rtol=1e-5)
    assert ((moved.unit_quats * after.unit_quats).sum(dim=1).abs() > 1 - 1e-5).all()


@pytest.mark.parametrize("kind", RIG_KINDS)
def test_flow_is_the_displacement_of_what_is_seen(kind: str):
    scene = dataclasses.replace(
        SCENE, rig_kinds=(kind,), speed=(0.03, 0.1), num_parts=(4, 6), num_gaussians=(8000, 9000)
    )
    source = SyntheticData(dataclasses.replace(PLAIN, scene=scene), seed=5)
    errors, lengths = [], []
    for index in (2, 3):
        sample = source.sample(index)
        assert sample.true_flow is not None
        for view, camera in enumerate(sample.target_cameras[:4]):
            expected, place = displacements(sample, camera.resized(96, 96), view)
            flow = at_pixels(sample.true_flow[view], place)
            errors.append((flow - expected).norm(dim=1))
            lengths.append(expected.norm(dim=1))
    error, length = torch.cat(errors), torch.cat(lengths)
    fast = length > 1.0
    assert fast.sum() > 300
    # Silhouettes blend two motions; all else agrees.
    assert (error / (1 + length)).quantile(0.8) < 0.05
    assert error[fast].median() < 0.1 * length[fast].median()


def displacements(sample: TrainingSample, camera, view: int):
    """Screen displacement and place of the Gaussians whose centres are seen and stay in view."""
    assert sample.true_translation is not None
    before, depth = project(sample.gaussians.means, camera)
    after, _ = project(sample.gaussians.means + sample.true_translation, camera)
    inside = ((before > 1) & (before < 95)).all(dim=1) & (depth > 0)
    seen = at_pixels(sample.depth[view][None], before)[:, 0]
    front = inside & ((depth - seen).abs() < 0.005 * depth)
    assert sample.flow_valid is not None
    front &= at_pixels(sample.flow_valid[view][None].float(), before)[:, 0] == 1
    return (after - before)[front], before[front]


def at_pixels(image: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """(C, H, W) sampled at (n, 2) pixels, (n, C)."""
    grid = (2 * place / 96 - 1)[None, None]
    return F.grid_sample(image[None], grid, align_corners=False)[0, :, 0].T


def sheet(left: float, right: float, depth: float) -> Gaussians:
    """An opaque square of Gaussians across the view, two units high."""
    x, y = torch.meshgrid(torch.arange(left, right, 0.05), torch.arange(-1, 1, 0.05), indexing="ij")
    means = torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), depth)], dim=1)
    count = len(means)
    return Gaussians(
        means,
        torch.full((count, 3), 0.04).log(),
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        torch.full((count,), 5.0),
        torch.zeros(count, 1, 3),
    )


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((-0.4, 0, 0), True), ((0.8, 0, 0), False), ((-1.5, 0, 0), False), ((0, 0, -5.0), False)],
    ids=["seen", "behind the screen", "outside", "behind the camera"],
)
def test_flow_counts_where_a_thing_is_still_seen(shift, expected: bool):
    camera = Camera("front", 64, 64, 96.0, 96.0, 32.0, 32.0, np.eye(4))
    wall, screen, thing = sheet(-2, 2, 4.0), sheet(0.0, 0.8, 2.0), sheet(-0.8, -0.3, 3.0)
    before = Gaussians.concatenate([wall, screen, thing])
    moved = thing.means + torch.tensor([float(s) for s in shift])
    after = before.replace(means=torch.cat([wall.means, screen.means, moved]))
    depth = render_depths(after, [camera])[:, 0]
    flow, valid = render_flow(before, after.means, depth, [camera])
    row, column = 32, 32 + round(96 * -0.55 / 3)
    assert bool(valid[0, row, column]) == expected
    assert bool(valid[0, 32, 45])  # the screen stands still and is seen
    torch.testing.assert_close(flow[0, :, 32, 45], torch.zeros(2), atol=1e-3, rtol=0)
    if shift[2] == 0:
        expected_flow = torch.tensor([96 * shift[0] / 3, 0.0])
        torch.testing.assert_close(flow[0, :, row, column], expected_flow, atol=0.05, rtol=0.02)


def test_flow_carries_the_next_image_back():
    """Photometric: warped by the flow, the next image is nearer to the key image."""
    scene = dataclasses.replace(SCENE, speed=(0.02, 0.05), num_parts=(3, 8), gloss_share=0.0)
    better = 0
    for index in range(4):
        sample = SyntheticData(dataclasses.replace(PLAIN, scene=scene), seed=6).sample(index)
        assert sample.true_flow is not None
        assert sample.flow_valid is not None
        step = torch.arange(96) + 0.5
        y, x = torch.meshgrid(step, step, indexing="ij")
        place = torch.stack([x, y]) + sample.true_flow
        grid = (2 * place / 96 - 1).permute(0, 2, 3, 1)
        back = F.grid_sample(sample.next_images, grid, align_corners=False)
        moves = sample.flow_valid & (sample.true_flow.norm(dim=1) > 1)
        error = (back - sample.cur_images).abs().mean(dim=1)[moves].mean()
        better += int(
            error < 0.6 * (sample.next_images - sample.cur_images).abs().mean(1)[moves].mean()
        )
    assert better >= 3


def test_targets_are_what_the_moved_gaussians_look_like():
    sample = SyntheticData(PLAIN, seed=3).sample(2)
    assert sample.targets is not None
    assert sample.true_translation is not None
    assert sample.true_rotation is not None
    rows = torch.arange(len(sample.gaussians))
    moved = warp(sample.gaussians, Motion(rows, sample.true_translation, sample.true_rotation))
    for target, camera in zip(sample.targets, sample.target_cameras, strict=True):
        assert target.shape == (3, camera.height, camera.width)
        shown = render(moved, camera).color.clamp(0, 1)
        assert ((shown - target) ** 2).mean() < 1e-3  # only the light has changed


def test_what_is_not_wanted_is_left_out():
    config = dataclasses.replace(PLAIN, photometric=False, flow=False)
    sample = SyntheticData(config, seed=3).sample(2)
    assert sample.targets is None
    assert sample.target_cameras == ()
    assert sample.true_flow is None
    assert sample.flow_valid is None
    assert sample.true_translation is not None


def test_gaps_are_kept_and_go_both_ways(monkeypatch):
    config = dataclasses.replace(PLAIN, frame_gap=(2, 4))
    source, pairs = SyntheticData(config, seed=0), []
    monkeypatch.setattr(source, "pair", lambda index, a, b: pairs.append(b - a))
    for index in range(60):
        source.sample(index)
    assert {abs(gap) for gap in pairs} == {2, 3, 4}
    assert min(pairs) < 0 < max(pairs)


def test_cameras_differ_and_drift_but_agree_with_themselves():
    rng = np.random.default_rng(3)
    light = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(4, 3, 16, 16)
    config = dataclasses.replace(AppearanceConfig(), noise=0.0, softness=0.0, drift=0.2)
    looks = CameraLooks.draw(config, 4, rng)

    def picture(time: float) -> torch.Tensor:
        return looks.picture(light, time, torch.Generator())

    now = picture(0.0)
    assert torch.equal(now, picture(0.0))
    assert (now[0] - now[1]).abs().mean() > 0.01
    assert max(float((picture(t) - now).abs().mean()) for t in (10.0, 20.0, 40.0)) > 0.005


def test_perfect_cameras_show_the_scene():
    light = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    looks = CameraLooks.draw(AppearanceConfig.none(), 2, np.random.default_rng(0))
    shown = looks.picture(light, 5.0, torch.Generator())
    torch.testing.assert_close(shown, light, atol=0.5 / 255 + 1e-6, rtol=0)


def test_noise_is_as_strong_as_asked_and_softness_blurs():
    looks = CameraLooks.draw(AppearanceConfig.none(), 1, np.random.default_rng(0))
    grey = torch.full((1, 3, 64, 64), 0.5)
    noisy = dataclasses.replace(looks, noise=0.05).picture(grey, 0, torch.Generator())
    assert float((noisy - 0.5).std()) == pytest.approx(0.05, rel=0.1)
    point = torch.zeros(1, 3, 15, 15)
    point[..., 7, 7] = 1
    soft = dataclasses.replace(looks, softness=1.0).picture(point, 0, torch.Generator())
    assert float(soft[0, 0, 7, 7]) == pytest.approx(1 / (2 * np.pi), abs=0.01)
    assert float(soft[0, 0, 7, 8] / soft[0, 0, 7, 7]) == pytest.approx(np.exp(-0.5), abs=0.03)


def test_motion_blur_smears_only_what_moves():
    scene = dataclasses.replace(SCENE, speed=(0.1, 0.1), part_kinds=("rigid",))
    sharp = dataclasses.replace(PLAIN, scene=scene, photometric=False)
    blur = dataclasses.replace(AppearanceConfig.none(), blur_share=1.0, shutter=1.0, blur_steps=5)
    first = SyntheticData(sharp, seed=2).sample(1)
    other = SyntheticData(dataclasses.replace(sharp, appearance=blur), seed=2).sample(1)
    change = (first.cur_images - other.cur_images).abs().amax(dim=1)
    assert change.max() > 0.05
    assert (change < 0.01).float().mean() > 0.4


def test_groups_part_the_cameras_by_place():
    scene = SyntheticData(PLAIN, seed=0).scene(0)
    groups = camera_groups(scene.cameras)
    assert sorted(i for group in groups for i in group) == list(range(len(scene.cameras)))
    assert all(groups)
    assert groups == camera_groups(scene.cameras)
    centers = np.stack([camera.center for camera in scene.cameras])
    means = np.stack([centers[group].mean(axis=0) for group in groups])
    nearest = np.linalg.norm(centers[:, None] - means, axis=-1).argmin(axis=1)
    fits = sum(int(nearest[i] == g) for g, group in enumerate(groups) for i in group)
    assert fits >= 0.9 * len(centers)


def test_cameras_at_one_place_are_still_four_groups():
    camera = SyntheticData(PLAIN, seed=0).scene(0).cameras[0]
    groups = camera_groups([camera] * 5)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert all(groups)
    with pytest.raises(ValueError, match="3 cameras"):
        camera_groups([camera] * 3)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="frame_gap"):
        SyntheticDataConfig(frame_gap=(3, 2))
    with pytest.raises(ValueError, match="input_size"):
        SyntheticDataConfig(input_size=8)
    with pytest.raises(ValueError, match="noise"):
        AppearanceConfig(noise=-1.0)
    sample = SyntheticData(PLAIN, seed=0).sample(0)
    with pytest.raises(ValueError, match=r"TrainingSample\.moving"):
        dataclasses.replace(sample, moving=torch.ones(3, dtype=torch.bool))
