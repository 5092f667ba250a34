"""Cameras set aside, early stop, checkpoints, starts from a previous frame, growth by agreement."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_scene import Scene, short_config

from igs.config.frame0 import (
    CameraColorConfig,
    CoarseToFineConfig,
    Frame0Config,
    ValidationConfig,
)
from igs.frame0 import Frame0Trainer, gaussians_from_points, initial_points
from igs.frame0.checkpoint import load_checkpoint, save_checkpoint
from igs.frame0.growth import agreed_statistics, clear_distances, error_votes, veils
from igs.frame0.initial import start_from_gaussians
from igs.frame0.views import TrainingViews, split_validation
from igs.gaussians import DensityStatistics, Gaussians, apply_filter_3d, compute_filter_3d
from igs.render import to_float

BLACK = torch.zeros(3)


def trainer_of(scene: Scene, config: Frame0Config, seed: int = 0) -> Frame0Trainer:
    cameras, images, _ = scene
    training = [c for c in cameras if c.name != "c2"]
    points = initial_points(config.init, training, images, Path(), 0)
    start = gaussians_from_points(points, config.sh_degree)
    return Frame0Trainer(config, training, images, start, BLACK, seed)


def equal(a: Gaussians, b: Gaussians) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True)
    )


def test_cameras_set_aside_are_not_trained_on_and_the_best_state_is_kept(scene: Scene) -> None:
    config = short_config(validation=ValidationConfig(count=1, interval=10, patience=100))
    trainer = trainer_of(scene, config)
    result = trainer.run()
    validation = trainer.validation
    assert validation is not None
    aside = {c.name for c in validation.views.cameras}
    assert len(aside) == 1
    assert not aside & {c.name for c in trainer.cameras}
    assert [i for i, _ in validation.history] == [10, 20, 30, 40, 50, 60]
    assert validation.best_psnr == max(v for _, v in validation.history)
    assert validation.measure(result) == pytest.approx(validation.best_psnr, abs=1e-4)


def test_a_run_that_gets_worse_stops_early(scene: Scene) -> None:
    config = short_config(validation=ValidationConfig(cameras=["c1"], interval=5, patience=2))
    config.iterations = 200
    config.rates.sh0 = 5.0  # far too fast: it never gets better for long
    config.rates.means = 0.5
    trainer = trainer_of(scene, config)
    trainer.run()
    assert trainer.iteration < 200
    assert trainer.validation is not None
    assert trainer.iteration == trainer.validation.best_iteration + 10


def test_too_many_cameras_set_aside_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="leave none"):
        split_validation(scene[0], 5)


@pytest.mark.parametrize("cut", [7, 30, 45])
def test_a_run_taken_up_ends_in_the_same_bits(scene: Scene, tmp_path: Path, cut: int) -> None:
    config = short_config(
        validation=ValidationConfig(count=1, interval=10),
        camera_color=CameraColorConfig(enabled=True, from_iteration=5),
        coarse_to_fine=CoarseToFineConfig([2], [0.4]),
    )
    config.density.error_views = 2
    config.rates.final = 0.2
    whole = trainer_of(scene, config)
    path = tmp_path / "checkpoint.safetensors"
    result = whole.run(each=lambda t: save_checkpoint(path, t) if t.iteration == cut else None)
    again = trainer_of(scene, config)
    load_checkpoint(path, again)
    assert again.iteration == cut
    assert equal(again.run(), result)
    assert whole.validation is not None
    assert again.validation is not None
    assert again.validation.history == whole.validation.history


def test_a_checkpoint_of_other_settings_is_refused(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    trainer = trainer_of(scene, short_config())
    trainer.step(1)
    save_checkpoint(path, trainer)
    with pytest.raises(ValueError, match=r"seed, frame0\.lambda_l1"):
        load_checkpoint(path, trainer_of(scene, short_config(lambda_l1=0.5), seed=3))
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        load_checkpoint(tmp_path / "gone.safetensors", trainer)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path, trainer)


def test_a_start_from_a_previous_frame_looks_like_it(scene: Scene) -> None:
    cameras, images, truth = scene
    config = short_config()
    filtered = apply_filter_3d(truth, compute_filter_3d(truth.means, cameras))
    start = start_from_gaussians(filtered, cameras, config)
    assert start.sh_degree == config.sh_degree
    again = apply_filter_3d(start, compute_filter_3d(start.means, cameras))
    torch.testing.assert_close(again.scales, filtered.scales, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(again.opacities, filtered.opacities, rtol=0, atol=0.01)
    trainer = Frame0Trainer(config, cameras, images, start, BLACK, 0)
    assert trainer.step(1) < 0.01


def test_votes_name_what_is_drawn_badly(scene: Scene) -> None:
    cameras, images, truth = scene
    wrong = truth.sh.clone()
    wrong[:5] += 3.0
    views = [(c, to_float(images[c.name])) for c in cameras]
    votes = error_votes(truth.replace(sh=wrong), views, BLACK, 0)
    assert votes[:5].float().mean() > 3
    assert votes[5:].float().mean() < votes[:5].float().mean()
    statistics = DensityStatistics(len(truth))
    statistics.grad += 1.0
    agreed = agreed_statistics(statistics, votes)
    assert torch.equal(agreed.grad > 0, votes >= 2)
    assert statistics.grad.min() == 1, "the statistics handed in must stay as they were"


def test_images_of_every_size_fit_their_cameras(scene: Scene) -> None:
    cameras, images, _ = scene
    views = TrainingViews(cameras, images)
    for factor in (1.0, 2.0, 3.0, 1.0):
        camera, image = views.at(1, factor)
        assert image.shape == (3, camera.height, camera.width)
        assert camera.width == round(56 / factor)
        assert camera.fx == pytest.approx(60 * camera.width / 56)


def test_world_cuts_delete_and_refuse_to_delete_everything(scene: Scene) -> None:
    config = short_config()
    config.density.min_z = 2.8
    assert float(trainer_of(scene, config).run().means[:, 2].min()) > 2.6
    config.density.min_z = 99.0
    with pytest.raises(ValueError, match="min_z"):
        trainer_of(scene, config).run()


def test_the_original_order_loses_the_gradients_it_lost(scene: Scene) -> None:
    config = short_config(original_order=True)
    config.density.grad_threshold, config.density.percent_dense = 0.0, 9.0  # all are cloned
    trainer = trainer_of(scene, config)
    for i in range(1, 20):
        trainer.step(i)
    before = trainer.optimizer.gaussians.means.detach().clone()
    trainer.step(20)  # densifies, so that survivors stay where they are
    after = trainer.optimizer.gaussians.means.detach()
    shared = (after[:, None] == before[None]).all(-1).any(1)
    assert shared.any()
    last = trainer.config.iterations
    kept = trainer.optimizer.gaussians.detach()
    trainer.step(last)
    assert equal(trainer.optimizer.gaussians.detach(), kept)


def test_what_hangs_before_a_lens_goes(scene: Scene) -> None:
    cameras, _, truth = scene
    distances = clear_distances(cameras, truth.means, 0.1)
    assert distances == pytest.approx([0.3] * 5, abs=0.05)
    # In a row: in view and near, beside the view, behind the camera, in view and far.
    means = torch.tensor([[-0.6, 0, 0.2], [-1.5, 0, 0.2], [-0.6, 0, -0.2], [-0.6, 0, 1.0]])
    assert veils(means, cameras, distances).tolist() == [True, False, False, False]
    assert not veils(truth.means, cameras, distances).any()


def test_a_held_out_view_is_kept_free_by_where_its_camera_stands(scene: Scene) -> None:
    cameras, images, _ = scene
    config = short_config()
    config.density.clear_share = 0.4
    training = [c for c in cameras if c.name != "c2"]
    config.init.depth_range = [0.3, 4.0]
    points = initial_points(config.init, training, images, Path(), 0)
    start = gaussians_from_points(points, config.sh_degree)
    result = Frame0Trainer(config, training, images, start, BLACK, 0, cameras).run()
    assert not veils(result.means, cameras, clear_distances(cameras, points.positions, 0.38)).any()
