"""Which Gaussian of a new frame continues which of the frame before.

Files say nothing of it, and a refinement reorders. A wrong match costs bytes, not correctness: what
is matched is coded as a difference, the rest as removed and added.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from igs.fvv.rows import Targets

_NEIGHBOURS = 6
_NEAR = 8.0  # steps of position, quantiles of which tell whether rows kept their order
_REACH = 4.0  # distance by `_distances` up to which rows may be matched


def match_rows(old: Targets, new: Targets, unit: float = 1.0) -> np.ndarray:
    """For each old row the new row that continues it, -1 if none does; no new row twice.

    Args:
        old: N rows, in steps of one grid.
        new: M rows, the same.
        unit: what counts as one step for all that is said in steps here.
    """
    result = np.full(len(old), -1, np.int64)
    if not len(old) or not len(new):
        return result
    if len(old) == len(new) and _keeps_order(old, new, unit):
        return np.arange(len(old))
    _match_equal(old, new, result)
    left_old = np.flatnonzero(result < 0)
    left_new = np.setdiff1d(np.arange(len(new)), result[result >= 0])
    if len(left_old) and len(left_new):
        a, b = old.select(left_old), new.select(left_new)
        if len(a) == len(b) and _keeps_order(a, b, unit):
            result[left_old] = left_new
        else:
            found = _match_near(a, b, unit)
            result[left_old] = np.where(found >= 0, left_new[found], -1)
    return result


def _keeps_order(old: Targets, new: Targets, unit: float) -> bool:
    """Whether most rows stayed close to where they were, measured by their own size in steps."""
    moved = np.abs(old.position - new.position).max(axis=0)
    shuffled = np.abs(old.position - np.roll(new.position, len(moved) // 2, axis=1)).max(axis=0)
    recolored = np.abs(old.color - new.color).max(axis=0)
    mixed = np.abs(old.color - np.roll(new.color, len(moved) // 2, axis=1)).max(axis=0)
    near = np.quantile(moved, 0.9) <= max(_NEAR * unit, 0.25 * np.median(shuffled))
    return bool(near and np.median(recolored) <= max(2.0 * unit, 0.5 * np.median(mixed)))


def _match_equal(old: Targets, new: Targets, result: np.ndarray) -> None:
    """Rows of exactly the same position, scales and colour."""
    a, b = _keys(old), _keys(new)
    order = np.argsort(b, kind="stable")
    sorted_keys = b[order]
    at = np.minimum(np.searchsorted(sorted_keys, a), len(b) - 1)
    same = sorted_keys[at] == a
    _, first = np.unique(np.where(same, at, -1), return_index=True)
    unique = np.zeros(len(a), bool)
    unique[first] = True
    taken = same & unique
    result[taken] = order[at[taken]]


def _keys(rows: Targets) -> np.ndarray:
    """(N,) uint64, the same for rows of the same bits."""
    keys = np.zeros(len(rows), np.uint64)
    for values in (*rows.position, *rows.log_scale, *rows.color):
        bits = np.ascontiguousarray(values).view(np.uint64)
        keys = (keys ^ bits ^ (keys >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    return keys


def _match_near(old: Targets, new: Targets, unit: float) -> np.ndarray:
    """Nearest pairs first, each row once, within reach."""
    count = min(_NEIGHBOURS, len(new))
    tree = KDTree(new.position.T)
    _, index = tree.query(old.position.T, k=count)
    index = index.reshape(len(old), -1)
    distance = _distances(old, new, index, unit)
    rows, ranks = np.nonzero(distance <= _REACH)
    order = np.argsort(distance[rows, ranks], kind="stable")
    rows, columns = rows[order], index[rows, ranks][order]
    result = np.full(len(old), -1, np.int64)
    taken = np.zeros(len(new), bool)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if result[row] < 0 and not taken[column]:
            result[row], taken[column] = column, True
    return result


def _distances(old: Targets, new: Targets, index: np.ndarray, unit: float) -> np.ndarray:
    """(N, k) how unlike each old row is to k new ones: in place, by its own size, shape, colour."""
    total = np.zeros(index.shape)
    typical = np.linalg.norm(old.position[:, :, None] - new.position[:, index], axis=0)
    usual = max(2 * float(np.median(typical[:, -1])), 1e-9)
    total += (typical / usual) ** 2
    for name, scale in (("log_scale", 8.0), ("color", 16.0)):
        a, b = getattr(old, name), getattr(new, name)
        for mine, theirs in zip(a, b, strict=True):
            total += ((mine[:, None] - theirs[index]) / (scale * unit)) ** 2
    return np.sqrt(total)
