"""What an encoder decides to code of a frame, given the rows it goes on from."""

from __future__ import annotations

import numpy as np

from igs.fvv.delta import BasePlan
from igs.fvv.fit import fit_blocks
from igs.fvv.motion import carry_positions, carry_quats
from igs.fvv.rows import Grid, Rows, Targets, flip_to_match

_HALVINGS = 40


def tolerances(sensitivity: np.ndarray, even: float, most: float) -> np.ndarray:
    """How far off each value may be held, in steps, at the loss of one tolerance for all.

    Args:
        sensitivity: (attributes, N).
        even: the tolerance for all that makes the same loss, at least 0.5.
        most: what no value may exceed, at least `even`.

    Returns:
        (attributes, N) float64 within 0.5 .. `most`.
    """
    root = np.sqrt(np.maximum(sensitivity, 1e-300))
    goal = even**2 * sensitivity.sum()
    low, high = 0.5 * root.min(), most * root.max()
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        made = (sensitivity * np.clip(middle / root, 0.5, most) ** 2).sum()
        low, high = (middle, high) if made <= goal else (low, middle)
    return np.clip(low / root, 0.5, most)


def plan_delta(
    kept: Rows,
    goal: Targets,
    removed: np.ndarray,
    added: Rows,
    tolerance: float,
    factor: int,
    grid: Grid,
) -> BasePlan:
    """Decide what of the kept rows is coded.

    Args:
        kept: rows of the reference.
        goal: what they should be.
        removed: (n_before,) bool, rows of the reference that were not kept.
        added: rows that are new.
        tolerance: for all, if `goal` has no slack of its own.
        factor: steps of that slack in one of the grid.
        grid: of the stream.
    """
    goal.quat = flip_to_match(goal.quat, kept.quat)
    loose = goal.tolerance(tolerance, factor, 0, 0, 0, 1, 1, 1, 1)
    moved = _beyond(goal.position - kept.position, loose[:3])
    moved |= _beyond(goal.quat - kept.quat, loose[3:])
    place, turn = kept.position[:, moved], kept.quat[:, moved]
    to_place, to_turn = goal.position[:, moved], goal.quat[:, moved]
    loose = loose[:, moved]
    blocks = fit_blocks(place, turn, to_place, to_turn, loose[0], loose[3])
    changed, looks = differences(
        np.concatenate([kept.log_scale, kept.opacity, kept.color]),
        np.concatenate([goal.log_scale, goal.opacity, goal.color]),
        goal.tolerance(tolerance, factor, 2, 2, 2, 3, 4, 4, 4),
    )
    return BasePlan(
        removed=removed,
        moved=moved,
        blocks=blocks,
        position=_left(to_place - carry_positions(place, blocks), loose[:3]),
        quat=_left(to_turn - carry_quats(turn, blocks, grid.quat), loose[3:]),
        changed=changed,
        log_scale=looks[:3],
        opacity=looks[3:4],
        color=looks[4:],
        added=added,
    )


def _beyond(difference: np.ndarray, tolerance: np.ndarray | float) -> np.ndarray:
    """(n,) rows of which any component differs by more."""
    return np.asarray((np.abs(difference) > tolerance).any(axis=0))


def _left(difference: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """What has to be coded of a difference."""
    return np.where(np.abs(difference) <= tolerance, 0, np.rint(difference)).astype(np.int64)


def differences(
    old: np.ndarray, goal: np.ndarray, tolerance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) rows that change, and (components, c) by how much."""
    left = _left(np.clip(goal, -32767, 32767) - old, tolerance)
    changed = _beyond(left, 0)
    return changed, left[:, changed]
