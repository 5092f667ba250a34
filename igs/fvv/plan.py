"""What an encoder decides to code of a frame, given the rows it goes on from."""

from __future__ import annotations

import numpy as np

from igs.fvv.delta import BasePlan
from igs.fvv.fit import fit_blocks
from igs.fvv.motion import carry_positions, carry_quats
from igs.fvv.rows import Grid, Rows, Targets, flip_to_match


def plan_delta(
    kept: Rows,
    goal: Targets,
    removed: np.ndarray,
    added: Rows,
    tolerance: float,
    grid: Grid,
) -> BasePlan:
    """Decide what of the kept rows is coded."""
    goal.quat = flip_to_match(goal.quat, kept.quat)
    moved = _beyond(goal.position - kept.position, tolerance)
    moved |= _beyond(goal.quat - kept.quat, tolerance)
    place, turn = kept.position[:, moved], kept.quat[:, moved]
    to_place, to_turn = goal.position[:, moved], goal.quat[:, moved]
    blocks = fit_blocks(place, turn, to_place, to_turn, tolerance)
    changed, looks = differences(
        np.concatenate([kept.log_scale, kept.opacity, kept.color]),
        np.concatenate([goal.log_scale, goal.opacity, goal.color]),
        tolerance,
    )
    return BasePlan(
        removed=removed,
        moved=moved,
        blocks=blocks,
        position=_left(to_place - carry_positions(place, blocks), tolerance),
        quat=_left(to_turn - carry_quats(turn, blocks, grid.quat), tolerance),
        changed=changed,
        log_scale=looks[:3],
        opacity=looks[3:4],
        color=looks[4:],
        added=added,
    )


def _beyond(difference: np.ndarray, tolerance: float) -> np.ndarray:
    """(n,) rows of which any component differs by more."""
    return np.asarray((np.abs(difference) > tolerance).any(axis=0))


def _left(difference: np.ndarray, tolerance: float) -> np.ndarray:
    """What has to be coded of a difference."""
    return np.where(np.abs(difference) <= tolerance, 0, np.rint(difference)).astype(np.int64)


def differences(
    old: np.ndarray, goal: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) rows that change, and (components, c) by how much."""
    left = _left(np.clip(goal, -32767, 32767) - old, tolerance)
    changed = _beyond(left, 0)
    return changed, left[:, changed]
