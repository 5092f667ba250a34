"""Finding blocks and their motion: the encoder's half of `motion`.

Moved rows lie along a curve through space, so that runs of them are local. Runs of up to 1024 rows
are halved as long as two maps of their own and what remains cost fewer bits than one map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from igs.fvv.motion import ROTATION_UNIT, SUBSTEPS, UNIT, Blocks

_LEAST, _MOST = 32, 1024
# Bits that a map costs, about: nothing, a translation, a translation with a matrix; a rotation.
_COST_STILL, _COST_TRANSLATION, _COST_MATRIX, _COST_ROTATION = 4.0, 36.0, 160.0, 40.0
_BITS_ZERO = 0.3
_RIDGE = 1e-6


@dataclass
class _Level:
    """Maps of all blocks of one size."""

    translation: np.ndarray
    matrix: np.ndarray
    rotation: np.ndarray
    cost: np.ndarray


def fit_blocks(
    position: np.ndarray,
    quat: np.ndarray,
    target_position: np.ndarray,
    target_quat: np.ndarray,
    loose_position: np.ndarray,
    loose_quat: np.ndarray,
) -> Blocks:
    """Blocks and maps for n moved rows.

    Args:
        position: (3, n) int32 of the reference; quat: (4, n) int16.
        position, target_position: where rows are, and shall be (float64, steps); (3, n).
        quat, target_quat: the same of quaternions, of the sign nearer to the reference; (4, n).
        loose_position, loose_quat: (n,) remaining differences up to this many steps are not coded.
    """
    count = position.shape[1]
    if count == 0:
        empty = np.zeros((0,), np.int64)
        return Blocks(empty, *(np.zeros((k, 0), np.int64) for k in (3, 9, 3)))
    padded = -(-count // _MOST) * _MOST
    weight = np.zeros(padded)
    weight[:count] = 1
    start, goal, before, after = (
        np.pad(a.astype(np.float64), ((0, 0), (0, padded - count)), mode="edge").T
        for a in (position, target_position, quat, target_quat)
    )
    loose = np.stack([np.pad(a, (0, padded - count)) for a in (loose_position, loose_quat)])
    sizes = [_LEAST << k for k in range((_MOST // _LEAST).bit_length())]
    levels = [_fit_level(start, goal, before, after, weight, size, loose) for size in sizes]
    return _chosen(levels, sizes, count)


def _fit_level(
    start: np.ndarray,
    target: np.ndarray,
    quat: np.ndarray,
    target_quat: np.ndarray,
    weight: np.ndarray,
    size: int,
    loose: np.ndarray,
) -> _Level:
    blocks = len(start) // size
    w = weight.reshape(blocks, size)
    p, goal = start.reshape(blocks, size, 3), target.reshape(blocks, size, 3)
    number = np.maximum(w.sum(axis=1), 1)
    center = np.floor((p * w[..., None]).sum(axis=1) / number[:, None])
    offset, shift = p - center[:, None], goal - p
    place, turn = loose.reshape(2, blocks, size, 1)
    translation, matrix, cost = _best_map(offset, shift, w, number, place)
    q = quat.reshape(blocks, size, 4)
    rotation, turn_cost = _best_turn(q, target_quat.reshape(blocks, size, 4), w, turn)
    return _Level(translation, matrix, rotation, cost + turn_cost)


def _best_map(
    offset: np.ndarray, shift: np.ndarray, w: np.ndarray, number: np.ndarray, tolerance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Translation (B, 3) and matrix (B, 9) as integers, cost (B,): the best of three maps."""
    blocks = len(offset)
    columns = np.concatenate([np.ones_like(offset[..., :1]), offset], axis=-1)
    weighted = columns * w[..., None]
    normal = np.einsum("bni,bnj->bij", weighted, columns)
    spread = np.trace(normal[:, 1:, 1:], axis1=1, axis2=2)
    normal[:, range(1, 4), range(1, 4)] += (_RIDGE * spread + 1e-9)[:, None]
    normal[:, 0, 0] += 1e-9
    solved = np.linalg.solve(normal, np.einsum("bni,bnj->bij", weighted, shift))
    mean = (shift * w[..., None]).sum(axis=1) / number[:, None]
    zero, no_matrix = np.zeros((blocks, 3)), np.zeros((blocks, 9))
    affine = np.clip(np.rint(solved[:, 1:].transpose(0, 2, 1).reshape(-1, 9) * UNIT), -32767, 32767)
    maps = [
        (zero, no_matrix, _COST_STILL),
        (np.rint(mean * SUBSTEPS), no_matrix, _COST_TRANSLATION),
        (np.rint(solved[:, 0] * SUBSTEPS), affine, _COST_MATRIX),
    ]
    costs = []
    for translation, matrix, price in maps:
        linear = np.einsum("bni,bji->bnj", offset, matrix.reshape(-1, 3, 3) / UNIT)
        left = shift - translation[:, None] / SUBSTEPS - linear
        costs.append(price + (_bits(left, tolerance) * w).sum(axis=1))
    best = np.argmin(costs, axis=0)
    rows = np.arange(blocks)
    return (
        np.stack([m[0] for m in maps])[best, rows],
        np.stack([m[1] for m in maps])[best, rows],
        np.min(costs, axis=0),
    )


def _best_turn(
    quat: np.ndarray, target: np.ndarray, w: np.ndarray, tolerance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (B, 3) as integers and the cost (B,) of turning by it, or of not turning."""
    turn = _product(target, quat * np.array([1.0, -1, -1, -1]))
    turn *= np.where(turn[..., :1] < 0, -1.0, 1.0)
    total = (turn * w[..., None]).sum(axis=1)
    total /= np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)
    rotation = np.rint(total[:, 1:] * ROTATION_UNIT)
    scale = np.linalg.norm(target, axis=-1, keepdims=True)
    carried = _product(np.broadcast_to(total[:, None], quat.shape), quat)
    carried *= scale / np.maximum(np.linalg.norm(carried, axis=-1, keepdims=True), 1e-12)
    still = _COST_STILL + (_bits(target - quat, tolerance) * w).sum(axis=1)
    turned = _COST_ROTATION + (_bits(target - carried, tolerance) * w).sum(axis=1)
    rotation[still <= turned] = 0
    return rotation, np.minimum(still, turned)


def _bits(left: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """About how many bits the last axis' differences cost."""
    size = np.abs(left)
    coded = 2.0 + 2.0 * np.log2(np.maximum(size, 0.5) + 0.5)
    return np.where(size <= tolerance, _BITS_ZERO, coded).sum(axis=-1)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of (..., 4), w first."""
    w1, x1, y1, z1 = np.moveaxis(a, -1, 0)
    w2, x2, y2, z2 = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        axis=-1,
    )


def _chosen(levels: list[_Level], sizes: list[int], count: int) -> Blocks:
    """Halve from the largest blocks down, where the halves are cheaper."""
    best = levels[0].cost
    splits = [np.zeros(len(best), bool)]
    for level in levels[1:]:
        halves = best.reshape(-1, 2).sum(axis=1)
        splits.append(halves < level.cost)
        best = np.minimum(halves, level.cost)
    wanted = np.ones(len(levels[-1].cost), bool)
    firsts, parts = [], []
    for level, size, split in zip(levels[::-1], sizes[::-1], splits[::-1], strict=True):
        taken = np.flatnonzero(wanted & ~split)
        taken = taken[taken * size < count]
        firsts.append(taken * size)
        parts.append([a[taken] for a in (level.translation, level.matrix, level.rotation)])
        wanted = np.repeat(wanted & split, 2)
    first = np.concatenate(firsts)
    order = np.argsort(first)
    tables = [np.concatenate(t)[order].T.astype(np.int64) for t in zip(*parts, strict=True)]
    return Blocks(np.diff(first[order], append=count), *tables)
