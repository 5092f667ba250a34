"""From integers back to Gaussians, all rows or only those that changed."""

from __future__ import annotations

import numpy as np
import torch

from igs.fvv.rows import SH_C0, Grid, Rows, sh_rows
from igs.gaussians import Gaussians

_LEAST_OPACITY = 1e-4  # logits of 0 and 1 are infinite


class Dequantizer:
    """Turns rows of one grid into float32; tables are made once.

    Args:
        grid: what a step is worth.
        degree: SH degree of what comes out.
    """

    def __init__(self, grid: Grid, degree: int) -> None:
        self.grid, self.degree = grid, degree
        opacity = np.clip(np.arange(grid.opacity + 1) / grid.opacity, _LEAST_OPACITY, None)
        opacity = np.minimum(opacity, 1 - _LEAST_OPACITY)
        self._logits = np.log(opacity / (1 - opacity)).astype(np.float32)
        self._origin = np.array(grid.origin, np.float64)

    def empty(self, count: int) -> dict[str, np.ndarray]:
        """Float32 arrays for `count` rows, fields and layouts of `Gaussians`."""
        k = (self.degree + 1) ** 2
        return {
            "means": np.empty((count, 3), np.float32),
            "log_scales": np.empty((count, 3), np.float32),
            "quats": np.empty((count, 4), np.float32),
            "opacity_logits": np.empty(count, np.float32),
            "sh": np.zeros((count, k, 3), np.float32),
        }

    def all(self, rows: Rows) -> dict[str, np.ndarray]:
        """Every row."""
        values = self.empty(len(rows))
        self.place(values, rows.position, rows.quat)
        self.appearance(values, rows)
        for d in range(1, min(self.degree, rows.degree) + 1):
            self.harmonics(values, d, rows.sh[d - 1])
        return values

    def place(
        self,
        values: dict[str, np.ndarray],
        position: np.ndarray,
        quat: np.ndarray,
        index: np.ndarray | slice = slice(None),
    ) -> None:
        """Fill means and quaternions of some rows."""
        means = position.T * self.grid.position + self._origin
        values["means"][index] = means.astype(np.float32)
        turned = quat.T.astype(np.float32)
        turned[~quat.any(axis=0), 0] = 1  # no encoder writes such rows, a hostile one may
        values["quats"][index] = turned / np.float32(self.grid.quat)

    def appearance(
        self, values: dict[str, np.ndarray], rows: Rows, index: np.ndarray | slice = slice(None)
    ) -> None:
        """Fill scales, opacities and SH degree 0 of some rows."""
        grid = self.grid
        values["log_scales"][index] = rows.log_scale.T * np.float32(grid.log_scale)
        values["opacity_logits"][index] = self._logits[np.clip(rows.opacity[0], 0, grid.opacity)]
        values["sh"][index, 0] = rows.color.T * np.float32(grid.color / SH_C0)

    def harmonics(
        self,
        values: dict[str, np.ndarray],
        degree: int,
        sh: np.ndarray,
        index: np.ndarray | slice = slice(None),
    ) -> None:
        """Fill one SH degree of some rows."""
        step = np.float32(self.grid.sh[degree - 1])
        block = (sh.T * step).reshape(-1, sh_rows(degree) // 3, 3)
        values["sh"][index, degree**2 : (degree + 1) ** 2] = block


def to_gaussians(values: dict[str, np.ndarray]) -> Gaussians:
    """Gaussians that share the arrays."""
    return Gaussians(**{name: torch.from_numpy(array) for name, array in values.items()})
