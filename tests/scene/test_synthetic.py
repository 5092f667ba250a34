"""Scenes in motion: closed forms against finite differences, and what scenes are made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import polar

from igs.scene import write_image
from igs.scene.synthetic import PART_KINDS, RIG_KINDS, SyntheticScene, SyntheticSceneConfig
from igs.scene.synthetic import quaternions as quat
from igs.scene.synthetic.motion import (
    STILL,
    Bending,
    Breathing,
    Skeleton,
    Twisting,
    Wave,
    Waving,
    X,
)
from igs.scene.synthetic.shapes import Block, Capsule, Ellipsoid, Sheet

SMALL = SyntheticSceneConfig(num_gaussians=(1500, 2500))


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(quat.product(left.numpy(), right.numpy()))


def same_rotation(first: torch.Tensor, second: torch.Tensor) -> bool:
    dots = (first * second).sum(dim=-1).abs()
    return bool((dots > 1 - 1e-5).all())


DEFORMATIONS = {
    "bending": Bending(Wave(0.1, 0.6, 0.3, 0.2)),
    "twisting": Twisting(Wave(0.0, 0.9, 0.3, 0.4)),
    "waving": Waving(0.2, 3.0, Wave(0.5, rate=0.4)),
    "breathing": Breathing((Wave(1, 0.3, 0.4), Wave(1, 0.1, 0.4, 1.0), Wave(1, 0.2, 0.2, 2.0))),
}


@pytest.mark.parametrize("name", DEFORMATIONS)
@pytest.mark.parametrize("time", [0.0, 3.7])
def test_the_local_rotation_is_the_polar_factor_of_the_gradient(name: str, time: float):
    deformation = DEFORMATIONS[name]
    points = np.random.default_rng(5).uniform(-0.7, 0.7, (40, 3))
    step = 1e-5
    columns = [
        (deformation.at(points + step * a, time)[0] - deformation.at(points - step * a, time)[0])
        / (2 * step)
        for a in np.eye(3)
    ]
    gradients = np.stack(columns, axis=-1)
    expected = np.stack([polar(gradient)[0] for gradient in gradients])
    turns = deformation.at(points, time)[1]
    np.testing.assert_allclose(quat.to_matrices(turns), expected, atol=1e-6)
    assert name == "breathing" or np.abs(expected - np.eye(3)).max() > 0.05


def test_a_straight_bar_stays_straight():
    points = np.random.default_rng(0).normal(size=(10, 3))
    moved, turns = Bending(STILL).at(points, 4.0)
    np.testing.assert_allclose(moved, points)
    np.testing.assert_allclose(turns, np.tile(quat.IDENTITY, (10, 1)))


def test_a_hinged_arm_follows_its_parent():
    quarter = Wave(np.pi / 2)
    rest = np.tile(quat.IDENTITY, (2, 1))
    axes = np.array([[0.0, 0, 1], [0.0, 0, 1]])
    arm = Skeleton(
        (Wave(rate=1.0), STILL, STILL),
        np.array([X, 2 * X]),
        rest,
        axes,
        (quarter, quarter),
        (-1, 0),
    )
    turns, origins = arm.at(3.0)
    np.testing.assert_allclose(origins, [[3, 0, 0], [3, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(quat.rotate(turns[1], X), [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    "shape",
    [
        Sheet(1.0, 3.0),
        Block(np.array([1.0, 0.2, 2.0])),
        Ellipsoid(np.array([1.0, 0.5, 0.25])),
        Capsule(0.2, 1.5),
    ],
    ids=lambda shape: type(shape).__name__,
)
def test_surfaces_are_covered(shape):
    surface = shape.sample(1000, np.random.default_rng(1))
    assert 900 < len(surface.points) < 1100
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-9)
    covered = (surface.spacing**2).sum()
    assert covered == pytest.approx(shape.area, rel=0.1)
    # Nowhere is the nearest neighbour much farther than the spacing says.
    apart = np.linalg.norm(surface.points[:, None] - surface.points[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (apart.min(axis=1) < 2 * surface.spacing).all()


@pytest.mark.parametrize("kind", PART_KINDS)
def test_motion_agrees_with_where_the_gaussians_are(kind: str):
    config = dataclasses.replace(
        SMALL, part_kinds=(kind,), still_share=0.0, still_scenes=0.0, speed=(0.02, 0.1)
    )
    scene = SyntheticScene.draw(config, 3)
    before, after = scene.at(4.0), scene.at(6.5)
    translation, rotation = scene.motion(4.0, 6.5)
    size = float(np.linalg.norm(scene.box.size))
    assert translation.norm(dim=1).max() > 0.005 * size
    torch.testing.assert_close(before.means + translation, after.means, atol=1e-5 * size, rtol=1e-5)
    assert same_rotation(product(before.quats, rotation), after.quats)
    assert not translation[~scene.moving].any()
    assert (rotation[:, 0] >= 0).all()
    torch.testing.assert_close(rotation.norm(dim=1), torch.ones(len(scene)))


def test_motion_there_and_back_is_none():
    scene = SyntheticScene.draw(SMALL, 11)
    there, turn = scene.motion(2.0, 9.0)
    back, turn_back = scene.motion(9.0, 2.0)
    torch.testing.assert_close(there, -back)
    identity = torch.tensor([1.0, 0, 0, 0]).expand_as(turn)
    assert same_rotation(product(turn, turn_back), identity)


def test_a_seed_is_a_scene():
    first, again = SyntheticScene.draw(SMALL, 8).at(1.0), SyntheticScene.draw(SMALL, 8).at(1.0)
    for name, tensor in vars(first).items():
        assert torch.equal(tensor, getattr(again, name)), name
    other = SyntheticScene.draw(SMALL, 9)
    assert other.box != SyntheticScene.draw(SMALL, 8).box


@pytest.mark.parametrize("kind", RIG_KINDS)
def test_rigs_look_at_the_box(kind: str):
    config = dataclasses.replace(SMALL, rig_kinds=(kind,))
    for seed in range(6):
        scene = SyntheticScene.draw(config, seed)
        assert scene.rig_kind == kind
        assert 8 <= len(scene.cameras) <= 24
        assert len({camera.name for camera in scene.cameras}) == len(scene.cameras)
        for camera in scene.cameras:
            x, y, z = (camera.world_to_camera @ [*scene.box.center, 1])[:3]
            assert z > 0
            assert abs(x / z) < 2 * camera.width / camera.fx
            assert abs(y / z) < 2 * camera.height / camera.fy


def test_a_ring_goes_round_and_an_arc_does_not():
    def widest(kind: str) -> float:
        scene = SyntheticScene.draw(dataclasses.replace(SMALL, rig_kinds=(kind,)), 1)
        forward = np.stack([camera.world_to_camera[2, :3] for camera in scene.cameras])
        return float((forward @ forward.T).min())

    assert widest("ring") < -0.3 < 0.0 < widest("arc")


def test_ranges_are_kept():
    for seed in range(12):
        scene = SyntheticScene.draw(SMALL, seed)
        low, high = SMALL.num_gaussians
        assert 0.9 * low <= len(scene) <= 1.2 * high
        assert 2 <= len(scene.parts) <= 9
        moving = sum(len(part) for part in scene.parts[1:]) / len(scene)
        assert 0.15 < moving < 0.6
        state = scene.at(float(seed))
        assert all(torch.isfinite(tensor).all() for tensor in vars(state).values())
        camera = scene.cameras[0]
        longest = max(camera.width, camera.height)
        assert 320 <= longest <= 640
        assert 34 < np.degrees(max(camera.fov)) < 87


def test_speed_is_a_share_of_the_region():
    config = dataclasses.replace(
        SMALL, speed=(0.05, 0.05), still_share=0.0, part_kinds=("rigid",), still_scenes=0.0
    )
    for seed in range(5):
        scene = SyntheticScene.draw(config, seed)
        unit = scene.world.scale * 2 * np.sqrt(3)  # upper bound of the region's diagonal
        steps = [scene.motion(t, t + 1)[0].norm(dim=1).max() / unit for t in np.arange(0.0, 30, 3)]
        assert max(steps) < 0.12
        assert max(steps) > 0.003


def test_still_scenes_are_still():
    scene = SyntheticScene.draw(dataclasses.replace(SMALL, still_scenes=1.0), 2)
    translation, rotation = scene.motion(0.0, 10.0)
    assert not scene.moving.any()
    assert not translation.any()
    torch.testing.assert_close(rotation[:, 0], torch.ones(len(scene)))


def test_some_parts_leave():
    def farthest(share: float) -> float:
        config = dataclasses.replace(
            SMALL, leaving_share=share, speed=(0.05, 0.1), part_kinds=("rigid",), still_share=0.0
        )
        config = dataclasses.replace(config, still_scenes=0.0)
        return max(
            float(np.abs(part.at(t)[0]).max())
            for seed in range(4)
            for part in SyntheticScene.draw(config, seed).parts[1:]
            for t in (0.0, 59.0)
        )

    assert farthest(0.0) < 3 < farthest(1.0)


def test_a_reconstruction_is_a_little_off_and_moves_alike():
    scene = SyntheticScene.draw(SMALL, 4)
    other = scene.reconstructed(1)
    off = (scene.at(0.0).means - other.at(0.0).means).norm(dim=1)
    largest = scene.at(0.0).log_scales.exp().amax(dim=1)
    assert 0 < (off / largest).mean() < 1
    translation, rotation = other.motion(0.0, 5.0)
    after = other.at(5.0)
    torch.testing.assert_close(
        other.at(0.0).means + translation, after.means, atol=1e-4 * scene.world.scale, rtol=1e-5
    )
    assert same_rotation(product(other.at(0.0).quats, rotation), after.quats)


def test_photographs_become_textures(tmp_path):
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 255
    write_image(tmp_path / "red.png", red)
    config = dataclasses.replace(SMALL, photos=str(tmp_path), photo_share=1.0)
    albedo = np.concatenate([part.albedo for part in SyntheticScene.draw(config, 0).parts])
    np.testing.assert_allclose(albedo, np.broadcast_to([1.0, 0, 0], albedo.shape))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_parts": (3, 2)}, "num_parts"),
        ({"still_share": 1.5}, "still_share"),
        ({"rig_kinds": ("dome",)}, "rig_kinds"),
        ({"speed": (0.0, 0.1)}, "speed"),
        ({"photos": "/no/such/folder"}, "photos"),
    ],
)
def test_bad_settings_are_named(change, named):
    with pytest.raises(ValueError, match=named):
        SyntheticSceneConfig(**change)
