"""Frame-0 optimisation: it fits, it repeats, and it names bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.config.frame0 import Frame0Config, InitConfig
from igs.frame0 import Frame0Trainer, gaussians_from_points, initial_points
from igs.frame0.views import training_extent
from igs.gaussians import SH_C0, Gaussians, PointCloud, write_points
from igs.metrics import psnr
from igs.render import render
from igs.render.images import to_float, to_uint8
from igs.scene import Camera, colmap_binary, colmap_text
from igs.scene.colmap_records import ColmapPoints

BLACK = torch.zeros(3)


def scene() -> tuple[list[Camera], dict[str, np.ndarray], Gaussians]:
    generator = torch.Generator().manual_seed(1)
    n = 120
    truth = Gaussians(
        means=torch.randn(n, 3, generator=generator) * 0.4 + torch.tensor([0, 0, 3.0]),
        log_scales=torch.full((n, 3), -2.2),
        quats=torch.randn(n, 4, generator=generator),
        opacity_logits=torch.full((n,), 2.0),
        sh=torch.randn(n, 1, 3, generator=generator),
    )
    cameras, images = [], {}
    for i in range(5):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * (i - 2)
        camera = Camera(f"c{i}", 56, 40, 60.0, 60.0, 28.0, 20.0, pose)
        with torch.no_grad():
            images[camera.name] = to_uint8(render(truth, camera).color)
        cameras.append(camera)
    return cameras, images, truth


def short(**changes) -> Frame0Config:
    config = replace(Frame0Config(), iterations=200, sh_degree=1, sh_interval=50, decay_steps=200)
    config.density.start, config.density.interval, config.density.until = 40, 40, 150
    config.init = InitConfig(mode="random", max_points=200, depth_range=[2.0, 4.0])
    return replace(config, **changes)


def train(config: Frame0Config, seed: int = 0) -> tuple[Gaussians, list[float]]:
    cameras, images, _ = scene()
    training = [c for c in cameras if c.name != "c2"]
    points = initial_points(config.init, training, images, Path(), seed)
    start = gaussians_from_points(points, config.sh_degree)
    losses: list[float] = []
    trainer = Frame0Trainer(config, training, images, start, BLACK, seed)
    return trainer.run(lambda i, n, loss: losses.append(loss)), losses


def test_optimisation_fits_a_view_it_has_not_seen() -> None:
    cameras, images, _ = scene()
    gaussians, losses = train(short())
    with torch.no_grad():
        image = render(gaussians, cameras[2]).color
    assert np.mean(losses[-20:]) < 0.4 * np.mean(losses[:20])
    target = to_float(images["c2"])
    assert psnr(image, target) > psnr(torch.zeros_like(target), target) + 5


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    config = short(iterations=60)
    first, second, other = train(config)[0], train(config)[0], train(config, seed=1)[0]
    assert all(
        torch.equal(a, b)
        for a, b in zip(*(g.tensors().values() for g in (first, second)), strict=True)
    )
    assert len(other) != len(first) or not torch.equal(other.means, first.means)


def test_densification_respects_its_cap() -> None:
    config = short()
    config.density.grad_threshold = 0.0
    config.density.max_num = 250
    assert len(train(config)[0]) <= 250


def test_points_become_gaussians_as_wide_as_their_neighbours_are_far() -> None:
    grid = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    colors = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    gaussians = gaussians_from_points(PointCloud(grid, colors), 2)
    assert gaussians.sh_degree == 2
    torch.testing.assert_close(gaussians.scales, torch.ones(64, 3))
    torch.testing.assert_close(gaussians.opacities, torch.full((64,), 0.1))
    torch.testing.assert_close(gaussians.sh[:, 0] * SH_C0 + 0.5, colors)
    assert not gaussians.sh[:, 1:].any()


def test_points_can_come_from_files(tmp_path: Path) -> None:
    cloud = PointCloud(torch.rand(30, 3), torch.rand(30, 3))
    write_points(tmp_path / "a.ply", cloud)
    write_points(tmp_path / "b.ply", cloud)
    cameras, images, _ = scene()
    files = ["a.ply", "b.ply"]
    config = InitConfig(mode="points", files=files, max_points=40, depth_range=[2.0, 4.0])
    read = initial_points(config, cameras, images, tmp_path, 0)
    assert len(read) == 40


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_points_can_come_from_colmap(tmp_path: Path, suffix: str) -> None:
    write = (colmap_binary if suffix == ".bin" else colmap_text).write_points
    xyz, rgb = np.arange(9.0).reshape(3, 3), np.full((3, 3), [0, 51, 255])
    write(tmp_path / f"points3D{suffix}", ColmapPoints.of(xyz, rgb))
    # Cameras whose axes never meet have no depth range, and none is needed.
    cameras, images, _ = scene()
    config = InitConfig(mode="points", files=[f"points3D{suffix}"])
    read = initial_points(config, cameras, images, tmp_path, 0)
    torch.testing.assert_close(read.positions, torch.arange(9.0).reshape(3, 3))
    torch.testing.assert_close(read.colors, torch.tensor([[0.0, 0.2, 1.0]]).repeat(3, 1))


def test_one_camera_takes_its_extent_from_the_points() -> None:
    cameras, images, truth = scene()
    extent = training_extent(cameras[2:3], truth.means)
    assert 2.0 < extent < 4.0
    assert training_extent(cameras, truth.means) == pytest.approx(0.66)
    trainer = Frame0Trainer(short(), cameras[2:3], images, truth, BLACK, 0)
    assert np.isfinite(trainer.step(1))


def test_random_points_lie_in_view_at_the_depths_asked_for() -> None:
    cameras, images, _ = scene()
    config = InitConfig(mode="random", max_points=300, depth_range=[2.0, 4.0])
    points = initial_points(config, cameras, images, Path(), 0).positions
    assert len(points) == 300
    assert float(points[:, 2].min()) >= 2.0
    assert float(points[:, 2].max()) <= 4.0


def test_bad_input_is_named() -> None:
    cameras, images, truth = scene()
    with pytest.raises(ValueError, match="no training cameras"):
        Frame0Trainer(short(), [], images, truth, BLACK, 0)
    with pytest.raises(ValueError, match="no image of camera 'c1'"):
        Frame0Trainer(short(), cameras, {"c0": images["c0"]}, truth, BLACK, 0)
    with pytest.raises(ValueError, match=r"camera 'c0' has shape \(20, 56, 3\)"):
        Frame0Trainer(short(), cameras, {**images, "c0": images["c0"][:20]}, truth, BLACK, 0)
    empty = PointCloud(torch.zeros(0, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="no initial points"):
        gaussians_from_points(empty, 1)
