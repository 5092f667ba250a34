"""Behaviour of the whole network apart from the fixtures."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from gmflow import FeatureExtractor, GMFlowConfig
from torch.testing import assert_close

from igs.gaussians import Gaussians
from igs.motion import AGMConfig, AGMNet, KeyState, Motion, warp
from igs.motion.key_state import World

NEAR = {"atol": 2e-5, "rtol": 1e-4}


def same(a: Motion, b: Motion, **tolerance) -> None:
    assert torch.equal(a.index, b.index)
    assert_close(a.translation, b.translation, **tolerance)
    assert_close(a.rotation, b.rotation, **tolerance)


def test_parameter_counts():
    network = AGMNet()
    count = {
        name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()
    }
    assert count["flow"] == 4_199_456
    assert sum(count.values()) - count["flow"] == 17_698_567
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trainable == 17_698_567
    assert sum(p.numel() for p in network.maps.block.parameters()) == 525_056


def test_untrained_network_moves_nothing_and_turns_by_two_degrees(scene, views, candidates):
    torch.manual_seed(0)
    sizes = replace(AGMConfig.small(), network_size=32, anchors=20, triangulate=False)
    network = AGMNet(sizes).eval()
    for motion in network.predict(network.encode_key(scene, **views), candidates):
        assert not motion.translation.any()
        angle = 2 * torch.acos(motion.rotation[:, 0]).rad2deg()
        assert_close(angle, torch.full_like(angle, 1.98), atol=0.02, rtol=0)


def test_motion_has_the_gaussians_in_the_box(tiny, scene, views, candidates):
    key = tiny.encode_key(scene, **views)
    low, high = views["box"]
    inside = [i for i, p in enumerate(scene.means) if (p >= low).all() and (p <= high).all()]
    assert 0 < len(inside) < len(scene)
    motions = tiny.predict(key, candidates)
    assert len(motions) == len(candidates)
    for motion in motions:
        assert motion.index.tolist() == inside
        assert motion.translation.any()
        assert_close(motion.rotation.norm(dim=1), torch.ones(len(inside)))
    assert not torch.equal(motions[0].translation, motions[1].translation)


def test_candidates_one_by_one_equal_the_batch(tiny, scene, views, candidates):
    key = tiny.encode_key(scene, **views)
    for b, motion in enumerate(tiny.predict(key, candidates)):
        same(tiny.predict(key, candidates[b : b + 1])[0], motion, **NEAR)
    assert tiny.predict(key, candidates[:0]) == []


def test_same_input_same_bits(make_tiny, scene, views, candidates):
    runs = []
    for _ in range(2):
        network = make_tiny()
        runs.append(network.predict(network.encode_key(scene, **views), candidates))
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a.translation, b.translation)
        assert torch.equal(a.rotation, b.rotation)


def test_key_state_depends_on_the_seed_only_through_the_first_anchor(tiny, scene, views):
    def anchors(**how) -> list[int]:
        return tiny.encode_key(scene, **views, **how).anchors.tolist()

    def seeded(seed: int) -> list[int]:
        return anchors(generator=torch.Generator().manual_seed(seed))

    assert anchors() == anchors()
    assert seeded(1) == seeded(1) != seeded(2)
    assert seeded(1) == anchors(first_anchor=seeded(1)[0])
    assert anchors(first_anchor=7, anchors=5) == anchors(first_anchor=7)[:5]


@pytest.mark.parametrize("count", [0, 1, 3, 39])
def test_fewer_gaussians_than_anchors_or_neighbours(tiny, scene, views, candidates, count):
    inside = tiny.encode_key(scene, **views).inside
    outside = torch.ones(len(scene), dtype=torch.bool)
    outside[inside] = False
    few = scene.select(torch.cat([outside.nonzero()[:, 0], inside[:count]]))
    key = tiny.encode_key(few, **views)
    assert len(key.anchors) == len(key.inside) == count
    assert key.neighbours.shape == (count, min(count, tiny.config.neighbours))
    for motion in tiny.predict(key, candidates):
        assert len(motion) == count
        assert torch.isfinite(motion.translation).all()
        moved = warp(few, motion)
        assert torch.equal(moved.means[: int(outside.sum())], few.means[: int(outside.sum())])


def test_scene_without_gaussians(tiny, scene, views, candidates):
    empty = scene.select(torch.empty(0, dtype=torch.int64))
    assert [len(m) for m in tiny.predict(tiny.encode_key(empty, **views), candidates)] == [0, 0]


def test_batch_of_different_keys_equals_each_alone(tiny, scene, views, candidates):
    """Keys with unequal numbers of Gaussians and anchors, other cameras and lenses."""
    keys = [
        tiny.encode_key(scene, **views),
        tiny.encode_key(
            scene.select(torch.arange(0, len(scene), 4)),
            **{**views, "fov": views["fov"] * 0.8, "images": views["images"].flip(0)},
        ),
    ]
    assert len(keys[0].anchors) != len(keys[1].anchors)
    with torch.no_grad():
        together = tiny(keys, candidates)
    for b in range(2):
        same(together[b], tiny.predict(keys[b], candidates[b : b + 1])[0], **NEAR)


def test_every_view_has_its_own_lens(tiny, scene, views, candidates):
    """Order of the views must not matter, which it would if one lens served all."""
    order = torch.tensor([2, 0, 1])
    turned = {k: v if k == "box" else v[order] for k, v in views.items()}
    want = tiny.predict(tiny.encode_key(scene, **views), candidates)
    got = tiny.predict(tiny.encode_key(scene, **turned), candidates[:, order])
    for a, b in zip(want, got, strict=True):
        same(a, b, **NEAR)
    wide = {**views, "fov": views["fov"] + torch.tensor([[0.0], [0.3], [0.0]])}
    grid = tiny.encode_key(scene, **wide).grid
    before = tiny.encode_key(scene, **views).grid
    assert torch.equal(grid[0], before[0])
    assert torch.equal(grid[2], before[2])
    assert not torch.equal(grid[1], before[1])


def test_points_behind_a_camera_are_outside(tiny, scene, views):
    turned = views["world_to_camera"].clone()
    turned[1, :3, :3] = torch.diag(torch.tensor([-1.0, 1, -1]))
    key = tiny.encode_key(scene, **{**views, "world_to_camera": turned})
    assert (key.grid[1] > 1).all()
    assert (key.grid[0].abs() <= 1).any()
    maps = torch.ones(3, 64, *key.shift.shape[1:3])
    lifted = tiny._lift(key, maps)[0]
    assert lifted.max() <= 2 / 3 + 1e-6  # the view behind gives zeros and counts


def test_visible_mean_counts_only_views_that_see(make_tiny, scene, views):
    network = make_tiny(visible_mean=True)
    views["world_to_camera"][1, 0, 3] = 100.0  # looks past everything
    key = network.encode_key(scene, **views)
    ones = torch.ones(3, 64, *key.shift.shape[1:3])
    seen = (key.grid.abs() < 0.85).all(dim=-1).any(dim=0)
    assert seen.any()
    lifted = network._lift(key, ones)[0]
    assert_close(lifted[seen], torch.ones_like(lifted[seen]))
    assert lifted.max() <= 1 + 1e-6

    views["world_to_camera"][:, 0, 3] = 100.0
    blind = network.encode_key(scene, **views)
    assert not network._lift(blind, ones)[0].any()


def similar(scene: Gaussians, views: dict, scale: float, offset: torch.Tensor):
    """The same scene and cameras in a world of another unit and origin."""
    poses = views["world_to_camera"].clone()
    poses[:, :3, 3] = scale * poses[:, :3, 3] - poses[:, :3, :3] @ offset
    moved = scene.replace(means=scene.means * scale + offset)
    box = views["box"] * scale + offset
    return moved, {**views, "world_to_camera": poses, "depth": views["depth"] * scale, "box": box}


def test_normalised_world_has_no_unit_and_no_origin(make_tiny, scene, views, candidates):
    scale, offset = 0.125, torch.tensor([1.5, -2.0, 0.5])
    other, other_views = similar(scene, views, scale, offset)
    for normalise in (True, False):
        network = make_tiny(normalise_world=normalise, distance_weight=10.0)
        want = network.predict(network.encode_key(scene, **views), candidates)[0]
        got = network.predict(network.encode_key(other, **other_views), candidates)[0]
        gap = (got.translation - scale * want.translation).abs().max()
        assert (gap < 1e-4) if normalise else (gap > 1e-2)


def test_world_of_a_box_without_extent_is_refused():
    with pytest.raises(ValueError, match="no extent"):
        World.of_box(torch.ones(2, 3))


def test_gradients_reach_images_and_every_trained_weight(tiny, scene, views, candidates):
    tiny.train()
    assert not tiny.flow.training
    candidates.requires_grad_()
    key = tiny.encode_key(scene, **views)
    moved = [warp(scene, m) for m in tiny([key, key], candidates)]
    torch.stack([(g.means**2).sum() + (g.quats**3).sum() for g in moved]).sum().backward()
    silent = [
        name
        for name, p in tiny.named_parameters()
        if (p.grad is None or not p.grad.any()) and not name.startswith("flow.")
    ]
    assert silent == []
    assert all(p.grad is None for p in tiny.flow.parameters())
    assert candidates.grad is not None
    assert candidates.grad.any()


def test_evaluation_records_no_graph(tiny, scene, views, candidates):
    key = tiny.encode_key(scene, **views)
    assert not any(
        t.requires_grad for t in (key.features, key.shift, key.scale, key.weights, key.grid)
    )
    tiny.train()
    assert tiny.encode_key(scene, **views).shift.requires_grad
    assert not tiny.predict(key, candidates)[0].translation.requires_grad


def test_geometry_stays_in_float32_under_autocast(tiny, scene, views, candidates):
    want_key = tiny.encode_key(scene, **views)
    want = tiny.predict(want_key, candidates)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        key = tiny.encode_key(scene, **views)
        got = tiny.predict(key, candidates)[0]
    for name in ("inside", "anchors", "neighbours", "weights", "grid", "shift", "scale"):
        assert torch.equal(getattr(key, name), getattr(want_key, name)), name
    assert got.translation.dtype == got.rotation.dtype == torch.float32
    error = (got.translation - want.translation).abs().mean()
    assert error < 0.1 * want.translation.abs().mean()


def test_key_state_moves_between_devices(tiny, scene, views):
    key = tiny.encode_key(scene, **views).to("meta")
    others = ("unit", "geometry")
    tensors = [getattr(key, f.name) for f in fields(KeyState) if f.name not in others]
    assert {t.device.type for t in tensors} == {"meta"}
    assert key.device.type == "meta"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", torch.ones(2, 8, 8), r"depth has shape \(2, 8, 8\).*V = 3"),
        ("fov", torch.ones(2), r"fov has shape \(2,\), must be \(V, 2\)"),
        ("world_to_camera", torch.ones(3, 3, 4), "world_to_camera"),
        ("images", torch.ones(3, 1, 32, 32), "images has shape"),
        ("images", torch.ones(3, 3, 30, 32), "multiples of 16, got 30 x 32"),
        ("depth", torch.full((3, 8, 8), torch.inf), "depth must be finite"),
        ("images", torch.full((3, 3, 32, 32), torch.nan), "images must be finite"),
        ("box", torch.ones(3, 2), r"box has shape \(3, 2\)"),
    ],
)
def test_bad_key_frames_name_the_input(tiny, scene, views, name, value, message):
    with pytest.raises(ValueError, match=message):
        tiny.encode_key(scene, **{**views, name: value})


def test_bad_candidates_name_the_input(tiny, scene, views, candidates):
    key = tiny.encode_key(scene, **views)
    with pytest.raises(ValueError, match="show 2 views of 32 x 32 pixels, the key frame 3"):
        tiny.predict(key, candidates[:, :2])
    with pytest.raises(ValueError, match="next_images must be"):
        tiny.predict(key, candidates[:, 0])
    with pytest.raises(ValueError, match="1 key states for 2 candidate frames"):
        tiny([key], candidates)


def test_flow_features_of_another_size_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        AGMNet(AGMConfig.small(), FeatureExtractor(GMFlowConfig(blocks=1)))
