"""Box, farthest points, neighbours and interpolation against brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from igs.motion import anchors

ROUTINES = ["farthest_points", "_farthest_on_device"]
SEARCHES = ["_nearest_with_tree", "_nearest_in_blocks"]


def slow_farthest(points: torch.Tensor, count: int, first: int) -> list[int]:
    """The definition, step by step: the lowest row among those farthest from the chosen."""
    p = points.double().numpy()
    chosen = [first]
    while len(chosen) < count:
        to_chosen = ((p[:, None] - p[None, chosen]) ** 2).sum(-1).min(axis=1)
        to_chosen[chosen] = -1
        chosen.append(int(to_chosen.argmax()))
    return chosen


def test_box_includes_its_border_and_no_nan():
    box = torch.tensor([[0.0, 0, 0], [1, 2, 3]])
    rows = [[0, 0, 0], [1, 2, 3], [1, 2, 3.001], [-0.001, 1, 1], [0.5, 1, 1], [float("nan"), 1, 1]]
    assert anchors.inside_box(torch.tensor(rows), box).tolist() == [0, 1, 4]


@pytest.mark.parametrize("routine", ROUTINES)
def test_farthest_points_equal_the_definition(routine, generator):
    # More steps than the tree routine sweeps over everything.
    points = torch.randn(400, 3, generator=generator) * torch.tensor([4.0, 1, 0.1])
    got = getattr(anchors, routine)(points, 200, 17)
    assert got.dtype == torch.int64
    assert got.tolist() == slow_farthest(points, 200, 17)


@pytest.mark.parametrize("routine", ROUTINES)
def test_farthest_points_on_a_grid_full_of_ties(routine):
    axis = torch.arange(5.0)
    points = torch.cartesian_prod(axis, axis, axis)
    got = getattr(anchors, routine)(points, 100, 62)
    assert got.tolist() == slow_farthest(points, 100, 62)


@pytest.mark.parametrize("routine", ROUTINES)
def test_duplicates_come_last_and_no_row_twice(routine):
    points = torch.randn(100, 3).repeat(2, 1)
    got = getattr(anchors, routine)(points, 200, 150)
    assert got[0] == 150
    assert len(set((got[:100] % 100).tolist())) == 100
    assert sorted(got.tolist()) == list(range(200))


def test_farthest_points_at_the_edges():
    points = torch.randn(5, 3)
    assert len(anchors.farthest_points(points, 9, 2)) == 5
    assert anchors.farthest_points(points, 1, 2).tolist() == [2]
    assert anchors.farthest_points(points[:0], 9, 0).shape == (0,)
    with pytest.raises(ValueError, match="first point 5 is not among the 5 points"):
        anchors.farthest_points(points, 3, 5)


def test_first_point_is_nearest_the_centroid_or_drawn():
    points = torch.tensor([[0.0, 0, 0], [4, 0, 0], [2.5, 0, 0], [0, 0, 0]])
    assert anchors.first_point(points) == 2
    cloud = torch.randn(1000, 3)
    draws = [anchors.first_point(cloud, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(("count", "wanted"), [(8, 8), (1, 1), (20, 12)])
def test_neighbours_equal_brute_force(search, count, wanted, generator, monkeypatch):
    monkeypatch.setattr(anchors, "_nearest_with_tree", getattr(anchors, search))
    monkeypatch.setattr(anchors, "PAIRS_AT_ONCE", 100)  # several blocks
    points = torch.randn(50, 3, generator=generator)
    chosen = torch.randn(12, 3, generator=generator)
    index, distance = anchors.nearest_anchors(points, chosen, count)
    exact = (points.double()[:, None] - chosen.double()).norm(dim=-1)
    assert index.shape == distance.shape == (50, wanted)
    assert_close(distance, exact.sort(dim=1).values[:, :wanted].float())
    assert_close(exact.gather(1, index).float(), distance)


@pytest.mark.parametrize("search", SEARCHES)
def test_ties_among_neighbours_come_in_row_order(search, monkeypatch):
    monkeypatch.setattr(anchors, "_nearest_with_tree", getattr(anchors, search))
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    points = torch.tensor([[0.0, 0, 0], [1, 1, 1]])
    index, distance = anchors.nearest_anchors(points, corners, 8)
    assert index[0].tolist() == list(range(8))
    assert index[1].tolist() == [7, 3, 5, 6, 1, 2, 4, 0]
    assert_close(distance[0], torch.full((8,), 3**0.5))
    again, _ = anchors.nearest_anchors(points, corners, 3)
    assert torch.equal(again, anchors.nearest_anchors(points, corners, 3)[0])


def test_neighbours_of_nothing():
    points = torch.randn(4, 3)
    assert anchors.nearest_anchors(points, points[:0], 8)[0].shape == (4, 0)
    index, distance = anchors.nearest_anchors(points[:0], points, 8)
    assert index.shape == distance.shape == (0, 4)


@given(weight=st.floats(0.1, 200), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_weights_sum_to_one_and_fall_with_distance(weight, seed):
    distance = torch.rand(6, 8, generator=torch.Generator().manual_seed(seed)).sort(dim=1).values
    weights = anchors.neighbour_weights(distance, weight)
    assert_close(weights.sum(dim=1), torch.ones(6))
    assert (weights.diff(dim=1) <= 1e-6).all()


def test_interpolation_is_the_weighted_sum_and_differentiable():
    features = torch.randn(7, 5, requires_grad=True)
    neighbours, weights = torch.randint(7, (9, 3)), torch.rand(9, 3)
    got = anchors.interpolate(features, neighbours, weights)
    want = (features[neighbours] * weights[..., None]).sum(dim=1)
    assert_close(got, want)
    up = torch.randn_like(got)
    grads = [torch.autograd.grad(value, features, up)[0] for value in (got, want)]
    assert_close(*grads)
