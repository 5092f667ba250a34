"""The fixtures of the original AGM-Net, each within its stated tolerance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from igs.gaussians import Gaussians
from igs.motion import Motion, anchors, warp
from igs.motion.condition import camera_rays, condition_maps, pluecker
from igs.motion.lift import mean_over_views, project, sample, sampling_grid

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("no_grad")]


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


def near(got, want, atol, rtol=0.0):
    assert_close(got, want, atol=atol, rtol=rtol)


def gaussians(xyz: torch.Tensor, rotation: torch.Tensor) -> Gaussians:
    n = len(xyz)
    return Gaussians(xyz, torch.zeros(n, 3), rotation, torch.zeros(n), torch.zeros(n, 1, 3))


def test_motion_maps(filled, arrays):
    a = arrays("motion")
    motion = filled.maps.relate(a["feature0"], a["feature1"])
    near(motion, a["motion"], 2e-4, 1e-4)
    near(filled.maps.enlarge(a["motion"]), a["upsampled"], 2e-4, 1e-4)
    near(filled.maps(a["feature0"], a["feature1"]), a["upsampled"], 2e-4, 1e-4)


def test_condition(filled, arrays):
    a = arrays("modln")
    height, width = a["feature"].shape[-2:]
    w2c = torch.linalg.inv(a["c2w"])
    rays = camera_rays(w2c, a["fov"].expand(len(w2c), 2), height, width)
    near(rays, a["rays"][0], 1e-5)
    near(pluecker(rays), a["plucker"][0], 1e-5)
    condition = condition_maps(rays, a["depth"][0])
    near(condition, a["cond"], 1e-4, 1e-5)
    out = filled.condition(a["feature"], *filled.condition.modulation(condition))
    near(out, a["out"], 2e-4, 1e-4)


def test_projection(arrays):
    a = arrays("projection")
    points = a["points"][0]
    assert torch.equal(a["points"], points.expand_as(a["points"]))
    height, width = a["features"].shape[-2:]
    uv, depth = project(points, torch.linalg.inv(a["c2w"]), a["intrinsics"])
    near(uv, a["uv"], 1e-3)
    grid = sampling_grid(uv, depth, height, width)
    sampled = sample(a["features"], grid)
    near(sampled, a["sampled"], 1e-4)
    near(mean_over_views(sampled), a["mean"], 1e-4)


def test_anchor_transformer(filled, arrays):
    a = arrays("transformer1d")
    out = filled.transformer(a["x"].transpose(1, 2)).transpose(1, 2)
    near(out, a["out"], 1e-4, 1e-4)


@pytest.mark.parametrize("search", ["tree", "blocks"])
def test_neighbours(filled, arrays, monkeypatch, search):
    if search == "blocks":
        monkeypatch.setattr(anchors, "_nearest_with_tree", anchors._nearest_in_blocks)
    a = arrays("knn")
    count = a["neighbor"].shape[1]
    index, distance = anchors.nearest_anchors(a["points"], a["anchors"], count)
    assert torch.equal(index, a["neighbor"])
    near(distance, a["distance"], 1e-5)
    weights = anchors.neighbour_weights(distance, filled.config.distance_weight)
    near(weights, a["weight"], 1e-4)
    near(anchors.interpolate(a["anchor_feature"], index, weights), a["interpolated"], 1e-4)


@pytest.mark.parametrize("routine", ["farthest_points", "_farthest_on_device"])
def test_farthest_points(arrays, routine):
    a = arrays("fps")
    want = a["index"]
    assert torch.equal(getattr(anchors, routine)(a["points"], len(want), int(want[0])), want)


def test_decoder(filled, arrays):
    a = arrays("decoder")
    near(filled.decoder.hidden(a["feature"]), a["hidden"], 1e-5, 1e-4)
    translation, rotation = filled.decoder(a["feature"])
    near(translation, a["d_xyz"], 1e-5, 1e-4)
    near(rotation, a["d_rotation"], 1e-5, 1e-4)
    motion = Motion(a["inside_index"], translation, F.normalize(rotation, dim=1))
    moved = warp(gaussians(a["xyz"], a["rotation"]), motion)
    near(moved.means, a["new_xyz"], 1e-4)
    near(moved.quats, a["new_rotation"], 1e-4)


@pytest.mark.parametrize("suffix", ["", "_x255"])
def test_whole_network(filled, arrays, suffix):
    a = arrays("agm_full")
    scale = 255 if suffix else 1
    views = len(a["c2w"])
    scene = gaussians(a["xyz"], a["rotation"])
    key = filled.encode_key(
        scene,
        a["cur_images"] * scale,
        a["depth"][0],
        torch.linalg.inv(a["c2w"]),
        a["fov"].expand(views, 2),
        a["bbox"],
        anchor_rows=a["anchor_local_index"],
    )
    assert torch.equal(key.inside, a["inside_index"])
    assert torch.equal(key.inside[key.anchors], a["anchor_index"])

    images = a["next_images"] * scale
    keys = [key] * len(images)
    maps, _ = filled._maps(keys, images)
    at_anchors = [
        filled._lift(key, part)[0] for key, part in zip(keys, maps.split(views), strict=True)
    ]
    if not suffix:
        near(maps[:, ::8], a["map_cond_every8"], 3e-3)
        near(torch.stack(at_anchors), a["anchor_feature"], 1e-3)
    moved = filled._relate_anchors(at_anchors)
    near(torch.stack(list(moved)), a[f"anchor_motion{suffix}"], 1e-3)

    for b, motion in enumerate(filled.predict(key, images)):
        after = warp(scene, motion)
        near(motion.translation, a[f"d_xyz{suffix}"][b], 3e-4)
        want = a[f"d_rotation{suffix}"][b]
        near(motion.rotation, F.normalize(want, dim=1), 3e-4)
        features = anchors.interpolate(moved[b], key.neighbours, key.weights)
        near(filled.decoder(features)[1], want, 3e-4)
        near(after.means, a[f"new_xyz{suffix}"][b], 3e-4)
        near(after.quats, a[f"new_rotation{suffix}"][b], 3e-4)


def test_dividing_once_equals_the_brighter_images(filled, arrays, monkeypatch):
    """`double_normalise: false` is what the x255 arrays record."""
    a = arrays("agm_full")
    monkeypatch.setattr(filled, "config", replace(filled.config, double_normalise=False))
    key = filled.encode_key(
        gaussians(a["xyz"], a["rotation"]),
        a["cur_images"],
        a["depth"][0],
        torch.linalg.inv(a["c2w"]),
        a["fov"].expand(len(a["c2w"]), 2),
        a["bbox"],
        anchor_rows=a["anchor_local_index"],
    )
    for b, motion in enumerate(filled.predict(key, a["next_images"])):
        near(motion.translation, a["d_xyz_x255"][b], 3e-4)
