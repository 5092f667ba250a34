"""The refinement layer: finer steps for all attributes; docs/fvv.md, section 8.

An integer q of the other layers is refined by a residue r: the value is that of ``q + r / factor``
steps. Residues are kept in groups that change together: place (position, quaternion), looks
(scales, opacity, colour), and one for each SH degree. A residue stays from frame to frame until it
is coded anew; where the other layers coded a change of its component, it begins at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from igs.fvv.delta import BaseDelta, HarmonicsDelta
from igs.fvv.errors import FvvError
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Rows, Targets, sh_rows

Residues = list[np.ndarray]  # (components, N) int16 of each group


def grouped(rows: Rows | Targets) -> list[np.ndarray]:
    """Attributes by group, (components, N) each."""
    place = np.concatenate([rows.position, rows.quat])
    return [place, np.concatenate([rows.log_scale, rows.opacity, rows.color]), *rows.sh]


def group_sizes(degree: int) -> list[int]:
    """Components of each group."""
    return [7, 7, *(sh_rows(d) for d in range(1, degree + 1))]


def predict(before: Residues, base: BaseDelta, harmonics: Sequence[HarmonicsDelta]) -> Residues:
    """Residues of the kept rows as they are without a change coded here."""
    coded = [(base.moved, base.placed), (base.changed, base.restyled)]
    coded += [(degree.changed, degree.differs) for degree in harmonics]
    result = []
    for residue, (rows, differs) in zip(before, coded, strict=True):
        kept = residue.copy() if base.removed is None else residue[:, ~base.removed]
        kept[:, rows] *= ~differs
        result.append(kept)
    return result


def wanted_residues(targets: Targets, rows: Rows, factor: int) -> list[np.ndarray]:
    """What residues should be, float64 within int16; `rows` are those of the other layers."""
    pairs = zip(grouped(targets), grouped(rows), strict=True)
    return [np.clip((goal - there) * factor, -32767, 32767) for goal, there in pairs]


def rounded(residues: list[np.ndarray]) -> Residues:
    """As integers."""
    return [np.rint(r).astype(np.int16) for r in residues]


def write_intra(writer: PlaneWriter, residues: Residues) -> None:
    """Append the residues of a frame that needs no other."""
    writer.number(residues[0].shape[1])
    _write(writer, residues)


def read_intra(reader: PlaneReader, degree: int, count: int) -> Residues:
    """The inverse of `write_intra`.

    Raises:
        FvvError: residues of another number of rows, or damage.
    """
    if reader.number() != count:
        raise FvvError("payload: refinement of another number of Gaussians than the base")
    residues = _read(reader, degree, count)
    reader.finish()
    return residues


@dataclass
class RefinementDelta:
    """The refinement of a frame.

    Attributes:
        residues: of all rows.
        changed: of each group, the rows after the removal that changed here.
    """

    residues: Residues
    changed: list[np.ndarray]


def write_delta(
    writer: PlaneWriter,
    predicted: Residues,
    wanted: list[np.ndarray],
    tolerances: Sequence[np.ndarray],
) -> None:
    """Append what differs from the prediction by more than a tolerance.

    Args:
        writer: the payload.
        predicted: of the K kept rows.
        wanted: of kept and added rows, float64.
        tolerances: of each group, (components, at least K), in steps of the refinement.
    """
    kept = predicted[0].shape[1]
    writer.number(kept)
    writer.number(wanted[0].shape[1] - kept)
    for before, goal, loose in zip(predicted, wanted, tolerances, strict=True):
        left = goal[:, :kept] - before
        left = np.where(np.abs(left) <= loose[:, :kept], 0, np.rint(left)).astype(np.int64)
        changed = np.asarray(left.any(axis=0))
        writer.bits(changed)
        for values in left[:, changed]:
            writer.ints(values)
    _write(writer, rounded([goal[:, kept:] for goal in wanted]))


def read_delta(
    reader: PlaneReader, predicted: Residues, degree: int, added: int
) -> RefinementDelta:
    """Decode the refinement of a frame that refers to another.

    Args:
        reader: the payload.
        predicted: of the kept rows; changed in place.
        degree: SH degree of the stream.
        added: how many rows are new.

    Raises:
        FvvError: a payload that does not fit the frame's base, or is damaged.
    """
    kept = predicted[0].shape[1]
    if (reader.number(), reader.number()) != (kept, added):
        raise FvvError("payload: refinement of another number of Gaussians than the base")
    changes = []
    for residue in predicted:
        changed = np.flatnonzero(reader.bits(kept))
        for values in residue:
            values[changed] += reader.ints(len(changed)).astype(np.int16)
        changes.append(changed)
    new = _read(reader, degree, added)
    reader.finish()
    if added:
        pairs = zip(predicted, new, strict=True)
        predicted = [np.concatenate(pair, axis=1) for pair in pairs]
    return RefinementDelta(predicted, changes)


def _write(writer: PlaneWriter, residues: Residues) -> None:
    for group in residues:
        for values in group:
            writer.ints(values)


def _read(reader: PlaneReader, degree: int, count: int) -> Residues:
    result = []
    for components in group_sizes(degree):
        group = np.empty((components, count), np.int16)
        for i in range(components):
            group[i] = reader.ints(count)
        result.append(group)
    return result
