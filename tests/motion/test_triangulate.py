"""Motion from flow in several views: geometry, patches, and what anchors agree on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from igs.gaussians import Gaussians
from igs.motion import AGMConfig, AGMNet, warp
from igs.motion.anchors import nearest_anchors, neighbour_weights
from igs.motion.consensus import (
    REACH,
    Known,
    RigidConsensus,
    RigidLift,
    Sighting,
    in_own_frame,
    spread_rigidly,
)
from igs.motion.motion import quaternion_product
from igs.motion.patches import cut_patches, follow
from igs.motion.triangulate import KeyGeometry, SeenMotion, Triangulation, flow_of, solve3

SIZE = 64


def texture(seed: int, size: int = 2 * SIZE) -> torch.Tensor:
    """(3, size, size) smooth noise, 0..1."""
    coarse = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")[0].clamp(0, 1)


@pytest.fixture
def cameras() -> tuple[torch.Tensor, torch.Tensor]:
    """Three cameras around the origin, four units away, and their fields of view."""
    poses = []
    for angle in (-0.5, 0.0, 0.6):
        turn = torch.tensor(angle)
        pose = torch.eye(4)
        pose[0, 0] = pose[2, 2] = turn.cos()
        pose[0, 2], pose[2, 0] = turn.sin(), -turn.sin()
        pose[2, 3] = 4.0
        poses.append(pose)
    return torch.stack(poses), torch.full((3, 2), 0.8)


@pytest.fixture
def geometry(cameras, generator) -> KeyGeometry:
    points = torch.rand(60, 3, generator=generator) - 0.5
    quats = torch.randn(60, 4, generator=generator)
    return KeyGeometry.of_key(
        points,
        quats,
        torch.rand(60, 3, generator=generator),
        torch.arange(0, 60, 2),
        cameras[0],
        cameras[1],
        torch.full((3, SIZE, SIZE), 9.0),
        torch.full((3, 3, SIZE, SIZE), 0.5),
    )


def test_solve3_solves(generator):
    roots = torch.randn(50, 3, 3, generator=generator)
    matrices = roots @ roots.transpose(1, 2) + 0.1 * torch.eye(3)
    right = torch.randn(50, 3, generator=generator)
    assert_close(solve3(matrices, right), torch.linalg.solve(matrices, right), atol=1e-3, rtol=1e-3)


def test_true_flow_gives_the_true_motion(geometry, generator):
    moved = 0.1 * torch.randn(30, 3, generator=generator)
    flow = flow_of(geometry, moved)
    features = torch.zeros(3, 30, 4)
    # Grey images give patches nothing to follow: the given flow must come through.
    seen = Triangulation(4)(geometry, [flow], features, torch.full((3, 3, SIZE, SIZE), 0.5))
    assert_close(seen.flow, flow)
    assert_close(seen.translation, moved, atol=0.06, rtol=0.1)
    assert (seen.translation - moved).norm(dim=1).median() < 0.02
    assert (seen.error < 0.7).all()
    assert (seen.support > 0.5).all()


def test_one_wrong_view_is_outvoted(geometry):
    moved = torch.tensor([0.05, 0.0, 0.02]).expand(30, 3)
    flow = flow_of(geometry, moved)
    flow[1] += 25
    seen = Triangulation(4)(
        geometry, [flow], torch.zeros(3, 30, 4), torch.full((3, 3, SIZE, SIZE), 0.5)
    )
    assert_close(seen.translation, moved, atol=0.03, rtol=0)


def test_hidden_anchors_are_not_seen(cameras, generator):
    points = torch.rand(20, 3, generator=generator) - 0.5
    wall = torch.full((3, SIZE, SIZE), 2.0)  # in front of everything
    hidden = KeyGeometry.of_key(
        points,
        torch.ones(20, 4),
        torch.rand(20, 3, generator=generator),
        torch.arange(20),
        cameras[0],
        cameras[1],
        wall,
        torch.rand(3, 3, SIZE, SIZE),
    )
    assert hidden.visible.max() < 1e-6
    nothing = torch.full((3, 20, 2), 5.0)
    seen = Triangulation(4)(hidden, [nothing], torch.zeros(3, 20, 4), torch.rand(3, 3, SIZE, SIZE))
    assert seen.translation.abs().max() < 1e-3


@pytest.mark.parametrize("shift", [(0.6, -0.4), (2.0, 1.0), (-5.0, 3.0)])
def test_patches_follow_a_shifted_picture(shift):
    big = texture(1)
    key = big[None, :, 20 : 20 + SIZE, 20 : 20 + SIZE]
    x, y = shift
    rows, columns = torch.meshgrid(
        torch.arange(SIZE) + 20.5, torch.arange(SIZE) + 20.5, indexing="ij"
    )
    grid = torch.stack([columns - x, rows - y], dim=-1)[None] / SIZE - 1
    other = torch.nn.functional.grid_sample(big[None], grid, align_corners=False)
    pixels = torch.tensor([[[24.5, 30.2], [40.1, 22.7], [33.3, 41.9]]])
    depth, z, visible = torch.ones(1, SIZE, SIZE), torch.ones(1, 3), torch.ones(1, 3)
    patches = cut_patches(key, depth, pixels, z, visible)
    found, left = follow(patches, other, [torch.zeros(1, 3, 2)])
    assert_close(found, torch.tensor([x, y]).expand(1, 3, 2), atol=0.15, rtol=0)
    assert (left < 0.03).all()


def test_following_never_ends_worse_than_it_began():
    images = torch.rand(2, 1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    pixels = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(3)) * SIZE
    ones = torch.ones(1, 40)
    patches = cut_patches(images[0], torch.ones(1, SIZE, SIZE), pixels, ones, ones)
    still = torch.zeros(1, 40, 2)
    _, before = follow([patches[-1]], images[0], [still])
    assert_close(before, torch.full((1, 40), 1e-6), atol=1e-5, rtol=0)
    _, alone = follow(patches, images[1], [still])
    _, helped = follow(patches, images[1], [still, still + 3])
    assert (helped <= alone).all()


def test_a_rigid_motion_is_recovered_from_noisy_anchors(generator):
    anchors = torch.rand(200, 3, generator=generator) - 0.5
    turn, shift = torch.tensor([0.02, -0.05, 0.04]), torch.tensor([0.03, 0.0, -0.02])
    true = torch.linalg.cross(turn.expand(200, 3), anchors) + shift
    noisy = true + 0.01 * torch.randn(200, 3, generator=generator)
    seen = SeenMotion(noisy, torch.zeros(1, 200, 2), torch.zeros(1, 200), torch.ones(200))
    consensus = RigidConsensus(4)
    with torch.no_grad():
        consensus.log_reach.fill_(0.0)
        moved, turned = consensus(anchors, torch.zeros(200, 3), seen, torch.zeros(200, 4), 0)
    assert (moved - true).norm(dim=1).mean() < 0.3 * (noisy - true).norm(dim=1).mean()
    assert_close(turned, turn.expand(200, 3), atol=0.01, rtol=0)


def test_anchors_that_saw_nothing_follow_those_that_did(generator):
    anchors = 0.02 * torch.rand(50, 3, generator=generator)
    blind = torch.arange(50) % 2 == 0
    moved = torch.tensor([0.1, 0.0, 0.0]).repeat(50, 1)
    moved[blind] = 0
    support = torch.where(blind, 0.0, 1.0)
    seen = SeenMotion(moved, torch.zeros(1, 50, 2), torch.zeros(1, 50), support)
    grey = torch.zeros(50, 3)
    agreed, _ = RigidConsensus(4)(anchors, grey, seen, torch.zeros(50, 4), len(REACH) - 1)
    assert_close(agreed[:, 0], torch.full((50,), 0.1), atol=0.002, rtol=0)


def test_contradicting_motions_lose_their_say(generator):
    """Two parts side by side, one at rest: each ends nearer to its own motion."""
    anchors = torch.rand(300, 3, generator=generator) * torch.tensor([0.1, 0.06, 0.0])
    moved = (anchors[:, :1] > 0.05) * torch.tensor([0.0, 0.0, 0.1])
    seen = SeenMotion(moved, torch.zeros(1, 300, 2), torch.zeros(1, 300), torch.ones(300))
    consensus, known = RigidConsensus(4), (anchors, torch.zeros(300, 3), seen, torch.zeros(300, 4))
    with torch.no_grad():
        doubting = (consensus(*known, 1)[0] - moved).norm(dim=1)
        consensus.log_doubt.fill_(9.0)
        trusting = (consensus(*known, 1)[0] - moved).norm(dim=1)
    assert doubting.mean() < 0.5 * trusting.mean()


def test_colours_tell_parts_apart(generator):
    """An anchor that saw nothing goes with those that look like it, not with the nearest."""
    anchors = torch.zeros(41, 3)
    anchors[1:, 0] = torch.linspace(0.005, 0.045, 40)
    red = torch.arange(41) % 2 == 0
    colors = torch.stack([red, ~red, ~red], dim=1).float()
    moved = red[:, None] * torch.tensor([0.0, 0.1, 0.0])
    moved[0] = 0
    support = torch.ones(41).index_fill(0, torch.tensor([0]), 0)
    seen = SeenMotion(moved, torch.zeros(1, 41, 2), torch.zeros(1, 41), support)
    with torch.no_grad():
        agreed, _ = RigidConsensus(4)(anchors, colors, seen, torch.zeros(41, 4), 0)
    assert_close(agreed[0], torch.tensor([0.0, 0.1, 0.0]), atol=0.01, rtol=0)


def test_what_a_motion_predicts_for_another_anchor(generator):
    anchors, seen, moved, turn = torch.randn(4, 20, 3, generator=generator)
    at = torch.arange(5)
    reach = anchors[None] - anchors[at, None]
    there = moved[at, None] + torch.linalg.cross(turn[at, None].expand(5, 20, 3), reach)
    misfit = Known(anchors, seen).squared_misfit(moved[at], turn[at], at)
    assert_close(misfit, (there - seen).square().sum(dim=-1), atol=1e-4, rtol=1e-4)


def test_gaussians_turn_with_their_anchors(geometry):
    """A turn of all anchors about the origin moves and turns every Gaussian the same way."""
    turn = torch.tensor([0.0, 0.0, 0.01])
    moved = torch.linalg.cross(turn.expand(30, 3), geometry.anchors)
    neighbours, distance = nearest_anchors(geometry.points, geometry.anchors, 4)
    weights = neighbour_weights(distance, 10.0)
    got, rotation = spread_rigidly(geometry, neighbours, weights, moved, turn.expand(30, 3))
    assert_close(got, torch.linalg.cross(turn.expand(60, 3), geometry.points), atol=1e-5, rtol=0)
    own = in_own_frame(rotation, geometry.quats)
    world = torch.cat([(turn.norm() / 2).cos()[None], turn / turn.norm() * (turn.norm() / 2).sin()])
    after = quaternion_product(geometry.quats, own)
    assert_close(after, quaternion_product(world.expand(60, 4), geometry.quats), atol=1e-5, rtol=0)


def test_untrained_lift_has_gradients_everywhere(geometry, generator):
    lift = RigidLift(4)
    torch.nn.init.normal_(lift.consensus.query.weight, generator=generator)
    features = torch.randn(3, 30, 4, generator=generator)
    images = texture(5, SIZE).expand(3, -1, -1, -1)
    seen = lift.triangulation(geometry, [torch.ones(3, 30, 2)], features, images)
    neighbours, distance = nearest_anchors(geometry.points, geometry.anchors, 4)
    at_anchors = lift.observation(geometry.anchors, seen)
    translation, rotation = lift(
        geometry,
        Sighting(seen, features, images),
        at_anchors,
        (neighbours, neighbour_weights(distance, 10.0)),
    )
    (translation.square().sum() + (rotation[:, 1:] - 0.01).square().sum()).backward()
    # The last layer of the confidence starts at nil, so that what is before it waits a step.
    waiting = {"triangulation.confidence.0.weight", "triangulation.confidence.0.bias"}
    for name, parameter in lift.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name in waiting, name


def test_whole_network_finds_a_shifted_scene(cameras):
    """Untrained: a textured plane moved sideways is found from its images alone."""
    torch.manual_seed(0)
    sizes = replace(AGMConfig.small(), network_size=SIZE, anchors=200)
    network = AGMNet(sizes).eval()
    # A random flow network has random opinions; these are tested elsewhere.
    network.flow.match = lambda first, second: torch.zeros(len(first), 2, SIZE, SIZE)  # type: ignore[method-assign]
    generator = torch.Generator().manual_seed(1)
    plane = torch.cat([torch.rand(3000, 2, generator=generator) * 2 - 1, torch.zeros(3000, 1)], 1)
    poses, fov = cameras
    gaussians = Gaussians(
        means=plane,
        log_scales=torch.full((3000, 3), -4.0),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(3000, 1),
        opacity_logits=torch.zeros(3000),
        sh=torch.zeros(3000, 1, 3),
    )
    shift = torch.tensor([0.1, -0.05])
    images, moved, depth = _plane_seen(poses, fov, shift)
    box = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    key = network.encode_key(gaussians, images, depth, poses, fov, box)
    motion = network.predict(key, moved[None])[0]
    inner = (plane[motion.index].abs() < 0.7).all(dim=1)
    wanted = torch.tensor([0.1, -0.05, 0.0]).expand(int(inner.sum()), 3)
    error = (motion.translation[inner] - wanted).norm(dim=1)
    assert error.median() < 0.02
    assert len(warp(gaussians, motion)) == 3000


def _plane_seen(
    poses: torch.Tensor, fov: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The plane z = 0 with a texture: views before and after it moves, and their depth."""
    painted, focal = texture(7, 128), SIZE / 2 / torch.tan(fov[0, 0] / 2)
    rows, columns = torch.meshgrid(
        torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij"
    )
    rays = torch.stack([(columns - SIZE / 2) / focal, (rows - SIZE / 2) / focal], dim=-1)
    rays = torch.cat([rays, torch.ones(SIZE, SIZE, 1)], dim=-1)
    before, after, depth = [], [], []
    for pose in poses:
        center, world = -pose[:3, :3].T @ pose[:3, 3], rays @ pose[:3, :3]
        z = -center[2] / world[..., 2]
        hit = (center + z[..., None] * world)[..., :2]
        for place, views in ((hit, before), (hit - shift, after)):
            sampled = torch.nn.functional.grid_sample(
                painted[None], (place / 2)[None], align_corners=False
            )
            views.append(sampled[0])
        depth.append(z)
    return torch.stack(before), torch.stack(after), torch.stack(depth)
