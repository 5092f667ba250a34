"""Exact nearest neighbours by a k-d tree over the distinct points.

Equal points are merged before the search and counted afterwards: a k-d tree cannot split them,
so that a heap of duplicates would otherwise be searched one by one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

NEIGHBOURS = 3


def distCUDA2(points: torch.Tensor, *, legacy_small: bool = False) -> torch.Tensor:  # noqa: N802 - the original's name
    """Mean squared distance of every point to its three nearest other points.

    Others are told apart by index: a duplicate counts as a neighbour at distance 0. Distances
    come from float32 coordinate differences. Fewer than four points average over the neighbours
    that exist; a single point gives 0, no points an empty result. There is no gradient.

    Args:
        points: (P, 3) float32, any unit and device. CUDA tensors are searched on their GPU
            (extra ``cuda``); all others on the CPU, on as many threads as torch uses.
        legacy_small: with fewer than four points take FLT_MAX for every missing neighbour, as
            the original does: +inf for one or two points, about 1.13e38 for three.

    Returns:
        (P,) float32, squared unit of `points`, on their device. Values beyond float32 are +inf.

    Raises:
        TypeError: if `points` is not a float32 tensor.
        ValueError: if its shape is not (P, 3) or a coordinate is NaN or infinite; the message
            names the first such point.
        RuntimeError: CUDA tensors without the package that compiles the kernels.

    Source: spec `rasterizer.md`, section 11.
    """
    _check_form(points)
    if points.device.type == "cuda" and len(points) > NEIGHBOURS:
        return _on_gpu(points)
    array = _checked(points)
    sums, used = _neighbour_sums(array, torch.get_num_threads())
    with np.errstate(over="ignore"):
        if legacy_small and used < NEIGHBOURS:
            total = sums.astype(np.float32)
            for _ in range(NEIGHBOURS - used):
                total = total + np.finfo(np.float32).max
            means = total / np.float32(NEIGHBOURS)
        else:
            means = (sums / max(used, 1)).astype(np.float32)
    return torch.from_numpy(means).to(points.device)


def _on_gpu(points: torch.Tensor) -> torch.Tensor:
    try:
        from simple_knn.cuda import default_kernels
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"CUDA tensors need the package {error.name}, which is not installed: "
            "pip install 'igs[cuda]', or pass CPU tensors"
        ) from error
    points = points.detach().contiguous()
    if not bool(torch.isfinite(points).all()):
        _checked(points)  # names the first
    return default_kernels().mean_square_distance(points)


def _check_form(points: torch.Tensor) -> None:
    if not isinstance(points, torch.Tensor) or points.dtype != torch.float32:
        given = points.dtype if isinstance(points, torch.Tensor) else type(points).__name__
        raise TypeError(f"points is {given}, expected a torch.float32 tensor")
    if points.dim() != 2 or points.shape[1] != 3:
        raise ValueError(f"points has shape {tuple(points.shape)}, expected (P, 3)")


def _checked(points: torch.Tensor) -> NDArray[np.float32]:
    array = points.detach().cpu().contiguous().numpy()
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise ValueError(f"point {bad[0]} is {array[bad[0]].tolist()}, coordinates must be finite")
    return array


def _neighbour_sums(points: NDArray[np.float32], threads: int) -> tuple[NDArray[np.float64], int]:
    """Summed squared distances to the nearest others, (P,), and how many others those are."""
    wanted = min(NEIGHBOURS, len(points) - 1)
    if wanted <= 0:
        return np.zeros(len(points)), 0
    distinct, inverse, counts = _merge_equal(points)
    reach = min(wanted + 1, len(distinct))
    tree = KDTree(distinct)
    _, found = tree.query(distinct, k=reach, workers=threads)
    index = np.asarray(found, dtype=np.intp).reshape(len(distinct), reach)
    squared = _squared_distances(distinct, index)
    others = counts[index] - (index == np.arange(len(distinct))[:, None])
    order = np.argsort(squared, axis=1, kind="stable")
    squared = np.take_along_axis(squared, order, 1)
    seen = np.minimum(np.cumsum(np.take_along_axis(others, order, 1), axis=1), wanted)
    taken = np.diff(seen, axis=1, prepend=0)
    # A distance that overflowed to infinity must not turn into NaN where it is not taken.
    sums = np.where(taken > 0, squared, 0.0) * taken
    return sums.sum(axis=1)[inverse], wanted


def _merge_equal(
    points: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Distinct points, the place of every point among them, and how often each occurs."""
    order = np.lexsort(points.T)
    ordered = points[order]
    starts = np.ones(len(points), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(points), np.intp)
    inverse[order] = np.cumsum(starts) - 1
    return ordered[starts], inverse, np.bincount(inverse)


def _squared_distances(points: NDArray[np.float32], index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Squared distances (P, k) to the points of the given indices (P, k).

    Differences are float32, as in the original; squares and sums are not rounded further.
    """
    total = np.zeros(index.shape)
    with np.errstate(over="ignore"):
        for axis in range(3):
            column = points[:, axis]
            total += (column[index] - column[:, None]).astype(np.float64) ** 2
    return total
