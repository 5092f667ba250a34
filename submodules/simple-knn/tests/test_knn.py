"""distCUDA2 against the fixtures, a brute-force oracle, and its properties."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import simple_knn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from simple_knn._C import distCUDA2

PROJECT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("IGS_SHARED", PROJECT.parent / "shared"))
FIXTURE = SHARED / "parity" / "rasterizer" / "distcuda2.npz"

# Few distinct values make duplicates, ties and collinear sets likely.
COARSE = st.integers(-3, 3).map(float)
FINE = st.floats(-1e4, 1e4, width=32)
CLOUDS = st.integers(0, 40).flatmap(
    lambda n: st.one_of(
        arrays(np.float32, (n, 3), elements=COARSE), arrays(np.float32, (n, 3), elements=FINE)
    )
)


def brute_force(points: np.ndarray) -> np.ndarray:
    """All distances, without the diagonal, in double."""
    difference = points[:, None] - points[None]
    squared = (difference.astype(np.float64) ** 2).sum(-1)
    np.fill_diagonal(squared, np.inf)
    wanted = max(min(3, len(points) - 1), 0)
    return np.sort(squared, axis=1)[:, :wanted].sum(1) / max(wanted, 1)


@pytest.mark.parity
@pytest.mark.skipif(not FIXTURE.is_file(), reason=f"no fixture at {FIXTURE}")
def test_fixture():
    with np.load(FIXTURE) as file:
        sets = dict(file)
    names = [key.removesuffix("_points") for key in sets if key.endswith("_points")]
    assert names
    for name in names:
        points = torch.from_numpy(sets[f"{name}_points"])
        as_is = np.atleast_1d(sets[f"{name}_mean_d2"])
        legacy = distCUDA2(points, legacy_small=True).numpy()
        np.testing.assert_allclose(legacy, as_is, rtol=1e-6, atol=1e-10, err_msg=name)
        if f"{name}_exact" in sets:
            result = distCUDA2(points).numpy()
            expected = sets[f"{name}_exact"]
            np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-10, err_msg=name)


@settings(deadline=None, max_examples=200)
@given(CLOUDS)
def test_equals_brute_force(points):
    result = distCUDA2(torch.from_numpy(points))
    assert result.dtype == torch.float32
    assert result.shape == (len(points),)
    np.testing.assert_allclose(result.numpy(), brute_force(points), rtol=1e-6, atol=1e-37)


@settings(deadline=None, max_examples=50)
@given(CLOUDS, st.randoms(use_true_random=False))
def test_order_of_points_does_not_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    straight = distCUDA2(torch.from_numpy(points))
    shuffled = distCUDA2(torch.from_numpy(points[order]))
    np.testing.assert_array_equal(shuffled.numpy(), straight.numpy()[order])


@settings(deadline=None, max_examples=50)
@given(CLOUDS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scales_with_the_square(points, factor):
    straight = distCUDA2(torch.from_numpy(points)).numpy()
    scaled = distCUDA2(torch.from_numpy(points * np.float32(factor))).numpy()
    np.testing.assert_allclose(scaled, straight * factor**2, rtol=1e-6, atol=1e-37)


def test_far_from_the_origin():
    """The differences keep their digits where |a|^2 + |b|^2 - 2ab would have none."""
    generator = np.random.default_rng(0)
    points = (generator.random((300, 3)) + 1e4).astype(np.float32)
    np.testing.assert_allclose(
        distCUDA2(torch.from_numpy(points)).numpy(), brute_force(points), rtol=1e-6
    )


def test_small_clouds():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert distCUDA2(points[:0]).shape == (0,)
    assert distCUDA2(points[:1]).tolist() == [0]
    assert distCUDA2(points[:2]).tolist() == [1, 1]
    assert distCUDA2(points[:3]).tolist() == [2.5, 3, 4.5]
    np.testing.assert_allclose(distCUDA2(points).numpy(), [14 / 3, 16 / 3, 22 / 3, 32 / 3])
    assert distCUDA2(points[:2], legacy_small=True).tolist() == [np.inf, np.inf]
    assert distCUDA2(points[:0], legacy_small=True).shape == (0,)
    large = torch.tensor([float(np.finfo(np.float32).max)]) / 3
    assert distCUDA2(points[:3], legacy_small=True).tolist() == large.repeat(3).tolist()


def test_duplicates_are_neighbours():
    points = torch.tensor([[0.0, 0, 0]] * 3 + [[2.0, 0, 0]] * 2)
    np.testing.assert_allclose(distCUDA2(points).numpy(), [4 / 3] * 3 + [8 / 3] * 2, rtol=1e-6)
    assert not distCUDA2(torch.ones(10, 3)).any()
    # The two zeros are one place.
    assert not distCUDA2(torch.tensor([[0.0, 1, 1], [-0.0, 1, 1]])).any()


def test_a_heap_of_equal_points_is_quick():
    points = torch.cat([torch.ones(200_000, 3), torch.zeros(1, 3)])
    start = time.perf_counter()
    result = distCUDA2(points)
    assert time.perf_counter() - start < 20
    assert not result[:-1].any()
    assert result[-1] == 3


def test_distances_beyond_float32():
    points = torch.tensor([[3e38, 0, 0], [-3e38, 0, 0], [0, 0, 0], [0, 1, 0], [0, 2, 0]])
    result = distCUDA2(points)
    assert result[:2].isinf().all()
    assert not result.isnan().any()


def test_input_is_left_alone():
    points = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    strided = points[:, ::2]
    result = simple_knn.distCUDA2(strided)
    assert not result.requires_grad
    np.testing.assert_allclose(
        result.numpy(), brute_force(strided.detach().contiguous().numpy()), rtol=1e-6
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_refuses_what_is_not_finite(bad):
    points = torch.zeros(9, 3)
    points[7, 1] = points[8, 0] = bad
    with pytest.raises(ValueError, match="point 7 is"):
        distCUDA2(points)


def test_refusals():
    with pytest.raises(ValueError, match=r"\(4, 2\), expected \(P, 3\)"):
        distCUDA2(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        distCUDA2(torch.zeros(3))
    with pytest.raises(TypeError, match="float64"):
        distCUDA2(torch.zeros(4, 3, dtype=torch.float64))
    with pytest.raises(TypeError, match="list"):
        distCUDA2([[0.0, 0.0, 0.0]])  # pyright: ignore[reportArgumentType]
