"""Gaussians on a grid of integers, and what the integers mean; docs/fvv.md, section 5.

All coding between frames is done on these integers, exactly, so that encoder and decoder never
drift apart. Loss happens in one place: when a value is put on the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from igs.gaussians import SH_C0, Gaussians

MAX_DEGREE = 3
MOST_REFINED = 64  # steps of the refinement layer in one of the grid
POSITION_LIMIT = (1 << 30) - 1
SCALE_LIMIT = 20.0  # of |log_scale|
_INT16 = (1 << 15) - 1
_LARGEST_STEP, _LARGEST_ORIGIN = 1e6, 1e12


@dataclass(frozen=True)
class Grid:
    """What one step of each integer is worth.

    Attributes:
        origin: (3,) world position of the integer (0, 0, 0).
        position: world units a step.
        quat: steps from 0 to 1 of a quaternion's component; at most 32767.
        log_scale: natural logarithm a step.
        opacity: steps from opacity 0 to 1; at most 32767.
        color: change of colour (of 0..1) a step, in every direction of view.
        sh: the coefficient's change a step, for degrees 1, 2 and 3.
    """

    origin: tuple[float, float, float]
    position: float
    quat: int
    log_scale: float
    opacity: int
    color: float
    sh: tuple[float, float, float]

    def __post_init__(self) -> None:
        steps = (self.position, self.log_scale, self.color, *self.sh)
        numbers = np.array([*self.origin, *steps], np.float64)
        if len(self.origin) != 3 or len(self.sh) != 3 or not np.isfinite(numbers).all():
            raise ValueError("grid: three finite numbers for origin and for sh are needed")
        if max(steps) > _LARGEST_STEP or np.abs(numbers).max() > _LARGEST_ORIGIN:
            raise ValueError("grid: steps up to 1e6 and an origin up to 1e12 are possible")
        if min(steps) <= 0 or not 1 <= self.quat <= _INT16 or not 1 <= self.opacity <= _INT16:
            raise ValueError("grid: steps must be above 0, quat and opacity within 1..32767")


@dataclass
class Rows:
    """N Gaussians as integers, one contiguous array per component.

    Attributes:
        position: (3, N) int32.
        quat: (4, N) int16, w x y z.
        log_scale: (3, N) int16.
        opacity: (1, N) int16.
        color: (3, N) int16, red green blue of SH degree 0.
        sh: per degree 1 .. D, (3 * (2 d + 1), N) int16, coefficient by coefficient, RGB inside.
    """

    position: np.ndarray
    quat: np.ndarray
    log_scale: np.ndarray
    opacity: np.ndarray
    color: np.ndarray
    sh: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return self.position.shape[1]

    @property
    def degree(self) -> int:
        """SH degree."""
        return len(self.sh)

    def arrays(self) -> dict[str, np.ndarray]:
        """The base attributes by name, not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sh"}

    def without_harmonics(self) -> Rows:
        """The base attributes alone, shared."""
        return Rows(self.position, self.quat, self.log_scale, self.opacity, self.color)

    def with_harmonics(self, sh: Sequence[np.ndarray]) -> Rows:
        """The base attributes, shared, with these harmonics."""
        base = (self.position, self.quat, self.log_scale, self.opacity, self.color)
        return Rows(*base, sh=tuple(sh))

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Rows:
        """Apply one function to every array."""
        base = {name: function(array) for name, array in self.arrays().items()}
        return Rows(**base, sh=tuple(function(array) for array in self.sh))

    def select(self, index: np.ndarray) -> Rows:
        """Rows by index or mask."""
        return self.map(lambda a: np.ascontiguousarray(a[:, index]))

    @staticmethod
    def concatenate(first: Rows, second: Rows) -> Rows:
        """One after the other."""
        a, b = first.arrays(), second.arrays()
        base = {name: np.concatenate([a[name], b[name]], axis=1) for name in a}
        sh = [np.concatenate(p, axis=1) for p in zip(first.sh, second.sh, strict=True)]
        return Rows(**base, sh=tuple(sh))

    def equals(self, other: Rows) -> bool:
        """Whether all integers are the same."""
        mine, theirs = [*self.arrays().values(), *self.sh], [*other.arrays().values(), *other.sh]
        return len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))


_BASE = tuple(f.name for f in fields(Rows) if f.name != "sh")


@dataclass
class Targets:
    """The same values before rounding, in steps of the grid: float64 arrays shaped like `Rows`.

    Attributes:
        slack: (5 + SH degree, N) how far off values may be held, rows as in
            `weights.ATTRIBUTES`; None if that is one number for all.
    """

    position: np.ndarray
    quat: np.ndarray
    log_scale: np.ndarray
    opacity: np.ndarray
    color: np.ndarray
    sh: tuple[np.ndarray, ...]
    slack: np.ndarray | None = None

    def __len__(self) -> int:
        return self.position.shape[1]

    def select(self, index: np.ndarray) -> Targets:
        """Rows by index or mask."""
        base = {name: getattr(self, name)[:, index] for name in _BASE}
        slack = None if self.slack is None else self.slack[:, index]
        return Targets(**base, sh=tuple(a[:, index] for a in self.sh), slack=slack)

    def tolerance(self, even: float, factor: int, *attributes: int) -> np.ndarray:
        """(components, N) how far off values may be held, in steps of `factor` of the slack's.

        Args:
            even: for all, where there is no slack.
            factor: steps of the slack in one of those wanted.
            attributes: rows of the slack, one for each component wanted.
        """
        if self.slack is None:
            return np.full((len(attributes), len(self)), even)
        return 0.5 + (self.slack[list(attributes)] - 0.5) / factor

    def rounded(self) -> Rows:
        """On the grid."""
        base = {name: to_int(getattr(self, name), name) for name in _BASE}
        return Rows(**base, sh=tuple(to_int(a, "sh") for a in self.sh))


def to_int(values: np.ndarray, name: str) -> np.ndarray:
    """Round to the integer type of an attribute, clipped to its range."""
    limit = POSITION_LIMIT if name == "position" else _INT16
    kind = np.int32 if name == "position" else np.int16
    return np.clip(np.rint(values), -limit, limit).astype(kind)


def sh_rows(degree: int) -> int:
    """Components of one SH degree: 9, 15, 21."""
    return 3 * (2 * degree + 1)


def to_steps(gaussians: Gaussians, grid: Grid, degree: int) -> Targets:
    """Gaussians in steps of a grid, not yet rounded.

    Args:
        gaussians: N Gaussians on any device.
        grid: what a step is worth.
        degree: SH degree wanted; coefficients that the Gaussians lack are 0, others left out.
    """
    values = {k: v.detach().cpu().numpy().astype(np.float64) for k, v in _activated(gaussians)}
    log_scales = np.clip(values["log_scales"], -SCALE_LIMIT, SCALE_LIMIT)
    sh = values["sh"]
    return Targets(
        position=(values["means"] - grid.origin).T / grid.position,
        quat=np.ascontiguousarray(values["quats"].T) * grid.quat,
        log_scale=log_scales.T / grid.log_scale,
        opacity=values["opacities"][None] * grid.opacity,
        color=sh[:, 0].T * (SH_C0 / grid.color),
        sh=tuple(_sh_degree(sh, d) / grid.sh[d - 1] for d in range(1, degree + 1)),
    )


def _activated(gaussians: Gaussians) -> list[tuple[str, torch.Tensor]]:
    return [
        ("means", gaussians.means),
        ("quats", gaussians.unit_quats),
        ("log_scales", gaussians.log_scales),
        ("opacities", gaussians.opacities),
        ("sh", gaussians.sh),
    ]


def _sh_degree(sh: np.ndarray, degree: int) -> np.ndarray:
    """(3 (2d+1), N) of one degree; zeros where there are none."""
    low, high = degree**2, (degree + 1) ** 2
    if sh.shape[1] < high:
        return np.zeros((sh_rows(degree), len(sh)))
    return sh[:, low:high].reshape(len(sh), -1).T


def flip_to_match(quat: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The sign of each quaternion (4, N) that lies nearer to a reference (4, N)."""
    return quat * np.where((quat * reference).sum(axis=0) < 0, -1.0, 1.0)
