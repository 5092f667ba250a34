"""The CUDA kernels for points: emulated on the CPU, and on the GPU where there is one."""

from __future__ import annotations

import getpass
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simple_knn import distCUDA2

pytest.importorskip("nvrtc_kernels", reason="needs the package igs-nvrtc-kernels")


@cache
def emulated(backwards: bool = False) -> Any:
    from nvrtc_kernels import emulator
    from simple_knn.cuda import PointKernels

    if emulator.compiler() is None:
        pytest.skip("needs a C++ compiler to emulate the kernels")
    folder = Path(tempfile.gettempdir()) / f"igs-emulated-kernels-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return PointKernels(emulator.EmulatorLauncher(folder, backwards))


def points(count: int, seed: int = 0) -> torch.Tensor:
    """A cloud with clusters and a tenth of duplicates."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(count, 3, generator=generator)
    cloud[: count // 3] *= 0.05
    tenth = count // 10
    cloud[count - tenth :] = cloud[:tenth]
    return cloud


def greedy(cloud: np.ndarray, count: int, first: int) -> list[int]:
    """Farthest point sampling as it is defined."""
    cloud = cloud.astype(np.float64)
    nearest = np.full(len(cloud), np.inf)
    chosen = []
    current = first
    for _ in range(count):
        x, y, z = (cloud - cloud[current]).T
        nearest = np.minimum(nearest, x * x + y * y + z * z)
        nearest[current] = -1.0
        chosen.append(current)
        current = int(nearest.argmax())
    return chosen


@pytest.mark.parametrize("count", [4, 5, 255, 257, 1500])
def test_mean_square_distance(count: int) -> None:
    cloud = points(count)
    want = distCUDA2(cloud)
    got = emulated().mean_square_distance(cloud)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-12)


def test_far_from_the_origin() -> None:
    cloud = points(300) * 1e-3 + 1000.0
    torch.testing.assert_close(
        emulated().mean_square_distance(cloud), distCUDA2(cloud), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize(("count", "wanted", "first"), [(1, 1, 0), (7, 7, 3), (1100, 60, 5)])
def test_farthest(count: int, wanted: int, first: int) -> None:
    cloud = points(count, 1)
    got = emulated().farthest(cloud, wanted, first)
    assert got.tolist() == greedy(cloud.numpy(), wanted, first)


def test_equal_points_come_last_and_once() -> None:
    cloud = torch.zeros(6, 3)
    cloud[3] = 1.0
    assert emulated().farthest(cloud, 6, 1).tolist() == [1, 3, 0, 2, 4, 5]


@pytest.mark.parametrize(("others", "count"), [(1, 1), (8, 8), (700, 8), (40, 3)])
def test_nearest(others: int, count: int) -> None:
    cloud, anchors = points(130, 2), points(others, 3)
    distance, index = emulated().nearest(cloud, anchors, count)
    exact = (cloud[:, None].double() - anchors[None].double()).norm(dim=2)
    want = exact.sort(dim=1).values[:, :count]
    torch.testing.assert_close(distance.double(), want, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(exact.gather(1, index), distance.double(), rtol=1e-6, atol=1e-7)
    assert all(len(set(row)) == count for row in index.tolist())


def test_equal_distances_come_by_row() -> None:
    anchors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    _, index = emulated().nearest(torch.zeros(1, 3), anchors, 3)
    assert index.tolist() == [[0, 1, 2]]


def test_the_order_of_threads_does_not_matter() -> None:
    cloud = points(600, 4)
    a, b = emulated(), emulated(True)
    assert torch.equal(a.mean_square_distance(cloud), b.mean_square_distance(cloud))
    assert torch.equal(a.farthest(cloud, 20, 0), b.farthest(cloud, 20, 0))
    assert torch.equal(a.nearest(cloud, cloud[:50], 8)[1], b.nearest(cloud, cloud[:50], 8)[1])


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="count must be 1 to 2, got 3"):
        emulated().nearest(torch.zeros(4, 3), torch.zeros(2, 3), 3)
    with pytest.raises(ValueError, match="cannot choose 5 of 4 points from row 0"):
        emulated().farthest(torch.zeros(4, 3), 5, 0)


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a CUDA build of torch")
    from simple_knn.cuda import default_kernels

    cloud = points(50_000, 5)
    there = cloud.to("cuda")
    torch.testing.assert_close(distCUDA2(there).cpu(), distCUDA2(cloud), rtol=1e-6, atol=1e-12)
    chosen = default_kernels().farthest(there, 500, 7)
    assert chosen.tolist() == greedy(cloud.numpy(), 500, 7)
    distance, index = default_kernels().nearest(there, there[:8192], 8)
    exact = (there[:100, None] - there[index[:100]]).norm(dim=2)
    torch.testing.assert_close(distance[:100], exact, rtol=1e-5, atol=1e-6)
