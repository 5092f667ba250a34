"""Rows that differ from those of an earlier frame; docs/fvv.md, section 7.

A delta removes rows, moves some by blocks and residuals, changes the appearance of some, and
appends new ones. Harmonics of each degree follow in chunks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from igs.fvv.errors import FvvError, Limits
from igs.fvv.intra import (
    check_count,
    from_ycc,
    read_base,
    read_harmonics,
    to_ycc,
    write_base,
    write_harmonics,
)
from igs.fvv.motion import Blocks, carry_positions, carry_quats
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Rows


@dataclass
class BaseDelta:
    """A decoded base delta, ready to be applied.

    Attributes:
        removed: (n_before,) bool, None if nothing is removed.
        moved: (m,) int64, rows after the removal that move.
        position: (3, m) int32, where to.
        quat: (4, m) int16.
        changed: (c,) int64, rows after the removal of new appearance.
        log_scale: (3, c) int16; opacity (1, c); color (3, c).
        added: new rows, without harmonics.
        kept: rows after the removal.
        placed: (7, m) bool, components of position and quaternion with a residual.
        restyled: (7, c) bool, components of scale, opacity and colour that differ.
    """

    removed: np.ndarray | None
    moved: np.ndarray
    position: np.ndarray
    quat: np.ndarray
    changed: np.ndarray
    log_scale: np.ndarray
    opacity: np.ndarray
    color: np.ndarray
    added: Rows
    kept: int
    placed: np.ndarray
    restyled: np.ndarray

    @property
    def total(self) -> int:
        """Rows of the frame."""
        return self.kept + len(self.added)

    @property
    def same_rows(self) -> bool:
        """Whether row numbers are those of the frame referred to."""
        return self.removed is None and not len(self.added)


@dataclass
class BasePlan:
    """What an encoder decided; the other half of `BaseDelta`.

    Attributes:
        removed: (n_before,) bool.
        moved: (kept,) bool.
        blocks: of the moved rows.
        position: (3, m) int64 residual; quat (4, m) residual.
        changed: (kept,) bool.
        log_scale: (3, c) difference; opacity (1, c); color (3, c).
        added: new rows.
    """

    removed: np.ndarray
    moved: np.ndarray
    blocks: Blocks
    position: np.ndarray
    quat: np.ndarray
    changed: np.ndarray
    log_scale: np.ndarray
    opacity: np.ndarray
    color: np.ndarray
    added: Rows

    def write(self, writer: PlaneWriter, grid_quat: int) -> None:
        """Append to a payload."""
        writer.number(len(self.removed))
        writer.number(int(self.removed.sum()))
        writer.number(len(self.added))
        writer.bits(self.removed)
        writer.bits(self.moved)
        self.blocks.write(writer)
        for values in (*self.position, *self.quat):
            writer.ints(values)
        writer.bits(self.changed)
        for values in (*self.log_scale, *self.opacity, *to_ycc(self.color)):
            writer.ints(values)
        write_base(writer, self.added, grid_quat)


def read_delta(reader: PlaneReader, reference: Rows, grid_quat: int, limits: Limits) -> BaseDelta:
    """Decode a base delta against the frame it refers to.

    Raises:
        FvvError: a payload that does not fit that frame, or is damaged.
    """
    removed, kept, added = _read_counts(reader, len(reference), limits)
    moved = np.flatnonzero(reader.bits(kept))
    blocks = Blocks.read(reader, len(moved))
    # Row numbers before the removal, to read the reference without copying it.
    sources = None if removed is None else np.flatnonzero(~removed)
    at = moved if sources is None else sources[moved]
    residual = _ints(reader, 7, len(moved))
    position = carry_positions(reference.position[:, at], blocks) + residual[:3]
    quat = carry_quats(reference.quat[:, at], blocks, grid_quat) + residual[3:]
    changed = np.flatnonzero(reader.bits(kept))
    at = changed if sources is None else sources[changed]
    looks = _ints(reader, 7, len(changed)).astype(np.int16)
    looks[4:] = from_ycc(looks[4:])
    return BaseDelta(
        removed,
        moved,
        position.astype(np.int32),
        quat.astype(np.int16),
        changed,
        reference.log_scale[:, at] + looks[:3],
        reference.opacity[:, at] + looks[3:4],
        reference.color[:, at] + looks[4:],
        read_base(reader, added, grid_quat),
        kept,
        placed=residual != 0,
        restyled=looks != 0,
    )


def apply_delta(reference: Rows, delta: BaseDelta) -> Rows:
    """The frame's base rows; `reference` stays as it is. Harmonics are the caller's."""
    base = reference.without_harmonics()
    rows = base.map(np.copy) if delta.removed is None else base.select(~delta.removed)
    rows.position[:, delta.moved] = delta.position
    rows.quat[:, delta.moved] = delta.quat
    rows.log_scale[:, delta.changed] = delta.log_scale
    rows.opacity[:, delta.changed] = delta.opacity
    rows.color[:, delta.changed] = delta.color
    return Rows.concatenate(rows, delta.added) if len(delta.added) else rows


def write_harmonics_delta(
    writer: PlaneWriter, changed: np.ndarray, difference: np.ndarray, added: np.ndarray
) -> None:
    """Append changes of one SH degree.

    Args:
        writer: the payload.
        changed: (kept,) bool.
        difference: (components, c) of the changed rows.
        added: (components, a) of the new rows.
    """
    writer.number(len(changed))
    writer.number(added.shape[1])
    writer.bits(changed)
    for values in difference:
        writer.ints(values)
    write_harmonics(writer, added)


@dataclass
class HarmonicsDelta:
    """One SH degree of a frame.

    Attributes:
        sh: (components, total) int16, all rows.
        changed: (c,) int64, rows after the removal that changed.
        differs: (components, c) bool, which components of them did.
    """

    sh: np.ndarray
    changed: np.ndarray
    differs: np.ndarray


def read_harmonics_delta(
    reader: PlaneReader, degree: int, reference: np.ndarray, base: BaseDelta
) -> HarmonicsDelta:
    """Decode one SH degree against the frame it refers to.

    Raises:
        FvvError: a payload that does not fit the frame's base, or is damaged.
    """
    if (reader.number(), reader.number()) != (base.kept, len(base.added)):
        raise FvvError("payload: harmonics of another number of Gaussians than the base")
    changed = np.flatnonzero(reader.bits(base.kept))
    kept = reference.copy() if base.removed is None else reference[:, ~base.removed]
    difference = _ints(reader, len(kept), len(changed)).astype(np.int16)
    for values, more in zip(kept, difference, strict=True):
        values[changed] += more
    added = read_harmonics(reader, degree, len(base.added))
    reader.finish()
    sh = np.concatenate([kept, added], axis=1) if added.size else kept
    return HarmonicsDelta(sh, changed, difference != 0)


def _read_counts(
    reader: PlaneReader, before: int, limits: Limits
) -> tuple[np.ndarray | None, int, int]:
    stated, num_removed, added = reader.number(), reader.number(), reader.number()
    if stated != before:
        raise FvvError(f"payload: made for {stated} Gaussians, the frame before has {before}")
    removed = reader.bits(before)
    if int(removed.sum()) != num_removed:
        raise FvvError(f"payload: {int(removed.sum())} rows removed, {num_removed} stated")
    kept = before - num_removed
    check_count(kept + added, limits)
    return (removed if num_removed else None), kept, added


def _ints(reader: PlaneReader, components: int, count: int) -> np.ndarray:
    """(components, count) int32."""
    values = np.empty((components, count), np.int32)
    for i in range(components):
        values[i] = reader.ints(count)
    return values
