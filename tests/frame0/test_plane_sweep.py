"""First points from images alone: they must lie on the surfaces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from igs.frame0 import SweepSettings, plane_sweep
from igs.frame0.plane_sweep import rig_depth_range
from igs.scene import Camera

WIDTH, HEIGHT, DEPTH = 96, 64, 2.0


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A pattern without repetition on the plane z = DEPTH, (..., 3) in 0..1."""
    rng = np.random.default_rng(3)
    value = np.zeros((*x.shape, 3))
    for _ in range(24):
        fx, fy = rng.uniform(-25, 25, 2)
        value += np.cos(fx * x + fy * y + rng.uniform(0, 6))[..., None] * rng.uniform(0, 1, 3)
    return (value - value.min()) / (value.max() - value.min())


def rig() -> tuple[list[Camera], dict[str, np.ndarray]]:
    """Four cameras that turn toward the plane's centre, and exact images of it."""
    cameras, images = [], {}
    for i, x in enumerate((-0.3, -0.1, 0.1, 0.3)):
        turn = np.arctan2(x, DEPTH)
        rotation = np.array(
            [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        )
        pose = np.eye(4)
        pose[:3, :3] = rotation
        pose[:3, 3] = -rotation @ np.array([x, 0, 0])
        camera = Camera(f"c{i}", WIDTH, HEIGHT, 90.0, 90.0, WIDTH / 2, HEIGHT / 2, pose)
        v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        local = np.stack([(u - camera.cx) / 90.0, (v - camera.cy) / 90.0, np.ones_like(u)], -1)
        ray = local @ rotation
        point = camera.center + ray * (DEPTH / ray[..., 2:])
        images[camera.name] = (texture(point[..., 0], point[..., 1]) * 255).astype(np.uint8)
        cameras.append(camera)
    return cameras, images


def test_points_lie_on_the_surface_and_carry_its_colour() -> None:
    cameras, images = rig()
    cloud = plane_sweep(cameras, images, (1.0, 4.0), SweepSettings(width=WIDTH, num_depths=64))
    assert len(cloud) > 4000
    error = (cloud.positions[:, 2] - DEPTH).abs()
    assert float(error.median()) < 0.02
    assert float((error < 0.1).float().mean()) > 0.97
    wanted = texture(cloud.positions[:, 0].numpy(), cloud.positions[:, 1].numpy())
    low, high = np.quantile(np.abs(cloud.colors.numpy() - wanted), [0.5, 0.9])
    assert low < 0.1
    assert high < 0.25


def test_the_same_images_give_the_same_points() -> None:
    cameras, images = rig()
    first, second = (plane_sweep(cameras, images, (1.0, 4.0)) for _ in range(2))
    assert torch.equal(first.positions, second.positions)


def test_views_that_agree_on_nothing_give_no_points() -> None:
    cameras, images = rig()
    rng = np.random.default_rng(0)
    noise = {name: rng.integers(0, 255, i.shape, dtype=np.uint8) for name, i in images.items()}
    cloud = plane_sweep(cameras, noise, (1.0, 4.0), SweepSettings(width=WIDTH))
    assert len(cloud) < 0.02 * 4 * WIDTH * HEIGHT


def test_holes_are_filled_on_the_surface_around_them() -> None:
    cameras, images = rig()
    for camera in cameras:  # a patch of the plane without texture, as every camera sees it
        v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        local = np.stack([(u - camera.cx) / 90.0, (v - camera.cy) / 90.0, np.ones_like(u)], -1)
        ray = local @ camera.world_to_camera[:3, :3]
        x, y, _ = np.moveaxis(camera.center + ray * (DEPTH / ray[..., 2:]), -1, 0)
        images[camera.name][(abs(x) < 0.3) & (abs(y) < 0.3)] = 120
    settings = SweepSettings(width=WIDTH, num_depths=64)
    plain = plane_sweep(cameras, images, (1.0, 4.0), settings)
    filled = plane_sweep(cameras, images, (1.0, 4.0), replace(settings, fill_stride=2))
    added = filled.positions[len(plain) :]
    assert torch.equal(filled.positions[: len(plain)], plain.positions)
    inside = added[(added[:, :2].abs() < 0.15).all(1)]
    assert len(inside) > 100
    assert float((inside[:, 2] - DEPTH).abs().max()) < 0.15
    grey = filled.colors[len(plain) :][(added[:, :2].abs() < 0.15).all(1)]
    torch.testing.assert_close(grey, torch.full_like(grey, 120 / 255), atol=0.01, rtol=0)


def test_the_rigs_depth_range_holds_what_it_looks_at() -> None:
    near, far = rig_depth_range(rig()[0])
    assert near < DEPTH < far


def test_bad_settings_are_named() -> None:
    cameras, images = rig()
    with pytest.raises(ValueError, match="at least 2 cameras"):
        plane_sweep(cameras[:1], images)
    with pytest.raises(ValueError, match=r"4.0..1.0"):
        plane_sweep(cameras, images, (4.0, 1.0))
