"""Anchors: Gaussians in the box, farthest point sampling, neighbours and interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from simple_knn.cuda import PointKernels

DENSE_STEPS = 64  # steps of the sampling after which a tree query beats a sweep over all points
PAIRS_AT_ONCE = 1 << 26  # distances per block of the neighbour search off the CPU
MOST_ON_GPU = 32  # neighbours that the CUDA kernel keeps in registers


def _kernels() -> PointKernels:
    """The point kernels of CUDA tensors, compiled when they are first used.

    Raises:
        RuntimeError: the package that compiles them is not installed.
    """
    try:
        from simple_knn.cuda import default_kernels
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"CUDA tensors need the package {error.name}, which is not installed: "
            "pip install 'igs[cuda]', or run on the CPU"
        ) from error
    return default_kernels()


def inside_box(means: Tensor, box: Tensor) -> Tensor:
    """Rows of the points in an axis-aligned box, borders included, ascending.

    Args:
        means: (N, 3), world units.
        box: (2, 3), minimum and maximum corner.

    Returns:
        (n,) int64.

    Source: spec `agm_net.md`, section 5.
    """
    return ((means >= box[0]) & (means <= box[1])).all(dim=1).nonzero()[:, 0]


def first_point(points: Tensor, generator: torch.Generator | None = None) -> int:
    """Where sampling starts: the point nearest the centroid, or one drawn from a generator."""
    if generator is not None:
        device = generator.device
        return int(torch.randint(len(points), (), generator=generator, device=device))
    return int((points - points.mean(dim=0)).square().sum(dim=1).argmin())


def farthest_points(points: Tensor, count: int, first: int) -> Tensor:
    """Exact greedy farthest point sampling.

    Each next point is the one farthest from all chosen so far, the lowest row among equals;
    distances are compared in float64. No row is chosen twice, duplicates of chosen points come
    last. (fpsample's bucket routine is faster still, but it starts elsewhere than told, and its
    float32 distances decide near-ties differently.)

    Args:
        points: (n, 3) float32.
        count: how many to choose; all n if there are fewer.
        first: row to start from.

    Returns:
        (min(count, n),) int64, rows in the order chosen.

    Raises:
        ValueError: `first` is not a row.
        RuntimeError: CUDA tensors without the package that compiles the kernels.

    Source: spec `agm_net.md`, section 6.
    """
    n = len(points)
    if n and not 0 <= first < n:
        raise ValueError(f"first point {first} is not among the {n} points")
    count = min(count, n)
    if count == 0:
        return torch.empty(0, dtype=torch.int64, device=points.device)
    points = points.detach()
    if points.device.type == "cuda":
        return _kernels().farthest(points, count, first)
    if points.device.type != "cpu":
        return _farthest_on_device(points, count, first)
    return torch.from_numpy(_farthest_with_tree(points.numpy(), count, first))


def _farthest_with_tree(points: np.ndarray, count: int, first: int) -> np.ndarray:
    """Greedy sampling that looks only at points a new choice can bring nearer.

    The new choice is at distance r from the chosen set, and no other point is farther from it
    than r. So only points within r of the new choice can change, a set that shrinks as r does.
    """
    points = points.astype(np.float64)
    tree = KDTree(points)
    everything = slice(None)
    nearest = np.full(len(points), np.inf)
    chosen = np.empty(count, np.int64)
    current = first
    for step in range(count):
        reach = nearest[current]
        near: slice | np.ndarray = everything
        if step >= DENSE_STEPS:
            # A little farther than r, so that rounding in the tree leaves nothing out.
            found = tree.query_ball_point(points[current], np.sqrt(reach) * (1 + 1e-9))
            near = np.asarray(found, np.int64)
        x, y, z = (points[near] - points[current]).T
        nearest[near] = np.minimum(nearest[near], x * x + y * y + z * z)
        chosen[step] = current
        nearest[current] = -1.0
        current = int(nearest.argmax())
    return chosen


def _farthest_on_device(points: Tensor, count: int, first: int) -> Tensor:
    """The same by sweeps over all points, without leaving the device."""
    exact = torch.float32 if points.device.type == "mps" else torch.float64
    points = points.to(exact)
    nearest = torch.full((len(points),), torch.inf, dtype=exact, device=points.device)
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    current = torch.full((1,), first, dtype=torch.int64, device=points.device)
    for step in range(count):
        x, y, z = (points - points[current]).unbind(1)
        nearest = torch.minimum(nearest, x * x + y * y + z * z)
        chosen[step : step + 1] = current
        nearest[current] = -1.0
        current = nearest.argmax().view(1)
    return chosen


def nearest_anchors(points: Tensor, anchors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest anchors of every point, exactly.

    Args:
        points: (n, 3) float32.
        anchors: (M, 3) float32.
        count: neighbours K; all M if there are fewer.

    Returns:
        (n, K) int64 rows of the anchors, nearest first, and (n, K) float32 distances. Anchors at
        one distance come in the order of their rows; which of them makes it into the last place
        is not specified, but the same on every call.

    Source: spec `agm_net.md`, section 7.
    """
    count = min(count, len(anchors))
    if count == 0 or len(points) == 0:
        empty = torch.empty(len(points), count, device=points.device)
        return empty.long(), empty
    if points.device.type == "cpu":
        distance, index = _nearest_with_tree(points, anchors, count)
    elif points.device.type == "cuda" and count <= MOST_ON_GPU:
        distance, index = _kernels().nearest(points, anchors, count)
        return index, distance
    else:
        distance, index = _nearest_in_blocks(points, anchors, count)
    # Two stable sorts order by distance, then by row.
    index, order = index.sort(dim=1)
    distance, order = distance.gather(1, order).sort(dim=1, stable=True)
    return index.gather(1, order), distance.to(points.dtype)


def _nearest_with_tree(points: Tensor, anchors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    tree = KDTree(anchors.detach().numpy())
    distance, index = tree.query(points.detach().numpy(), k=count, workers=torch.get_num_threads())
    # A single neighbour comes without an axis of its own.
    distance, index = np.reshape(distance, (-1, count)), np.reshape(index, (-1, count))
    return torch.from_numpy(distance), torch.from_numpy(index.astype(np.int64))


def _nearest_in_blocks(points: Tensor, anchors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    rows = max(1, PAIRS_AT_ONCE // len(anchors))
    found = [
        # The shortcut through a matrix product is not exact for near points.
        torch.cdist(block, anchors, compute_mode="donot_use_mm_for_euclid_dist").topk(
            count, dim=1, largest=False
        )
        for block in points.detach().split(rows)
    ]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def neighbour_weights(distance: Tensor, distance_weight: float) -> Tensor:
    """(n, K) interpolation weights of neighbours at (n, K) distances; each row sums to one.

    Source: spec `agm_net.md`, section 7 (the paper's equation 6 leaves out the factor).
    """
    return F.softmax(-distance_weight * distance, dim=1)


def interpolate(features: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of anchor features.

    Args:
        features: (M, C) float32, at the anchors.
        neighbours: (n, K) int64, from `nearest_anchors`.
        weights: (n, K) float32.

    Returns:
        (n, C) float32, differentiable in `features`.
    """
    return F.embedding_bag(neighbours, features, mode="sum", per_sample_weights=weights)
