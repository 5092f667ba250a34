"""From integers back to Gaussians, all rows or only those that changed."""

from __future__ import annotations

import numpy as np
import torch

from igs.fvv.refine import Residues
from igs.fvv.rows import Grid, Rows, sh_rows
from igs.gaussians import SH_C0, Gaussians

_LEAST_OPACITY = 1e-4  # logits of 0 and 1 are infinite

Values = dict[str, np.ndarray]  # fields of `Gaussians`, float32


class Dequantizer:
    """Turns rows of one grid into float32; tables are made once.

    Args:
        grid: what a step is worth.
        degree: SH degree of what comes out.
        factor: steps of the refinement in one of the grid; 1 without.
    """

    def __init__(self, grid: Grid, degree: int, factor: int = 1) -> None:
        self.grid, self.degree, self.factor = grid, degree, factor
        self._most = grid.opacity * factor
        opacity = np.clip(np.arange(self._most + 1) / self._most, _LEAST_OPACITY, None)
        opacity = np.minimum(opacity, 1 - _LEAST_OPACITY)
        self._logits = np.log(opacity / (1 - opacity)).astype(np.float32)
        self._origin = np.array(grid.origin, np.float64)

    def empty(self, count: int) -> Values:
        """Float32 arrays for `count` rows, fields and layouts of `Gaussians`."""
        k = (self.degree + 1) ** 2
        return {
            "means": np.empty((count, 3), np.float32),
            "log_scales": np.empty((count, 3), np.float32),
            "quats": np.empty((count, 4), np.float32),
            "opacity_logits": np.empty(count, np.float32),
            "sh": np.zeros((count, k, 3), np.float32),
        }

    def all(self, rows: Rows, residues: Residues | None = None) -> Values:
        """Every row.

        Args:
            rows: integers of the base and of SH degrees.
            residues: of the refinement; None where it is not there.
        """
        values = self.empty(len(rows))
        for group in range(2 + min(self.degree, rows.degree)):
            self.fill(values, group, rows, residues)
        return values

    def fill(
        self,
        values: Values,
        group: int,
        rows: Rows,
        residues: Residues | None = None,
        index: np.ndarray | None = None,
    ) -> None:
        """Fill one group of attributes of some rows.

        Args:
            values: written to.
            group: 0 place, 1 looks, 1 + d SH degree d; see `refine`.
            rows: integers of all rows.
            residues: of all rows, by group.
            index: (n,) rows to fill; None for all.
        """
        residue = None if residues is None else residues[group]
        if group == 0:
            position = self._finer(rows.position, residue, slice(3), index)
            quat = self._finer(rows.quat, residue, slice(3, 7), index)
            self.place(values, position, quat, index)
        elif group == 1:
            scale = self._finer(rows.log_scale, residue, slice(3), index)
            opacity = self._finer(rows.opacity, residue, slice(3, 4), index)
            color = self._finer(rows.color, residue, slice(4, 7), index)
            self.style(values, scale, opacity, color, index)
        else:
            sh = self._finer(rows.sh[group - 2], residue, slice(None), index)
            self.harmonics(values, group - 1, sh, index)

    def place(
        self, values: Values, position: np.ndarray, quat: np.ndarray, index: np.ndarray | None
    ) -> None:
        """Fill means and quaternions of some rows; both in steps of the refinement."""
        at = slice(None) if index is None else index
        means = position.T * (self.grid.position / self.factor) + self._origin
        values["means"][at] = means.astype(np.float32)
        turned = quat.T.astype(np.float32)
        turned[~quat.any(axis=0), 0] = 1  # no encoder writes such rows, a hostile one may
        values["quats"][at] = turned / np.float32(self.grid.quat * self.factor)

    def style(
        self,
        values: Values,
        log_scale: np.ndarray,
        opacity: np.ndarray,
        color: np.ndarray,
        index: np.ndarray | None,
    ) -> None:
        """Fill scales, opacities and SH degree 0 of some rows, in steps of the refinement."""
        grid, at = self.grid, slice(None) if index is None else index
        values["log_scales"][at] = log_scale.T * np.float32(grid.log_scale / self.factor)
        values["opacity_logits"][at] = self._logits[np.clip(opacity[0], 0, self._most)]
        values["sh"][at, 0] = color.T * np.float32(grid.color / SH_C0 / self.factor)

    def harmonics(
        self, values: Values, degree: int, sh: np.ndarray, index: np.ndarray | None
    ) -> None:
        """Fill one SH degree of some rows, in steps of the refinement."""
        at = slice(None) if index is None else index
        step = np.float32(self.grid.sh[degree - 1] / self.factor)
        block = (sh.T * step).reshape(-1, sh_rows(degree) // 3, 3)
        values["sh"][at, degree**2 : (degree + 1) ** 2] = block

    def _finer(
        self,
        integers: np.ndarray,
        residue: np.ndarray | None,
        part: slice,
        index: np.ndarray | None,
    ) -> np.ndarray:
        """Integers in steps of the refinement."""
        if index is not None:
            integers = integers[:, index]
        if self.factor == 1:
            return integers
        kind = np.int64 if integers.dtype == np.int32 else np.int32
        finer = integers.astype(kind) * self.factor
        if residue is not None:
            finer += residue[part] if index is None else residue[part, index]
        return finer


def to_gaussians(values: Values) -> Gaussians:
    """Gaussians that share the arrays."""
    return Gaussians(**{name: torch.from_numpy(array) for name, array in values.items()})
