"""From chunks back to Gaussians."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from igs.fvv import refine
from igs.fvv.chunks import FRAME, INTRA, REFERENCE, REFINEMENT, Chunk
from igs.fvv.delta import (
    BaseDelta,
    HarmonicsDelta,
    apply_delta,
    read_delta,
    read_harmonics_delta,
)
from igs.fvv.errors import DEFAULT_LIMITS, FvvError, Limits
from igs.fvv.header import StreamHeader
from igs.fvv.intra import check_count, read_base, read_harmonics
from igs.fvv.planes import PlaneReader
from igs.fvv.rows import Rows, sh_rows
from igs.fvv.values import Dequantizer, Values, to_gaussians
from igs.gaussians import Gaussians


@dataclass(frozen=True)
class DecodedFrame:
    """One frame as decoded.

    Attributes:
        index: of the time step.
        seconds: since the beginning.
        is_key: whether later frames may refer to it.
        gaussians: on the CPU; shares nothing with other frames.
        layers: how many layers were there and intact, the base included.
    """

    index: int
    seconds: float
    is_key: bool
    gaussians: Gaussians
    layers: int


class Decoder:
    """State of one stream: the newest reference frame, as integers and as floats.

    Args:
        header: of the stream.
        limits: what is accepted at most.
    """

    def __init__(self, header: StreamHeader, limits: Limits = DEFAULT_LIMITS) -> None:
        self.header, self.limits = header, limits
        self._dequantizer = Dequantizer(header.grid, header.sh_degree, header.refine)
        self._rows: Rows | None = None
        self._residues: refine.Residues | None = None  # of those rows, if they are intact
        self._values: Values = {}
        self._index = -1
        self._intact = 0  # degrees whose harmonics are those of the encoder

    @property
    def reference(self) -> int | None:
        """Index of the newest reference frame, None before the first."""
        return None if self._rows is None else self._index

    def can_decode(self, chunk: Chunk) -> bool:
        """Whether the frame that this chunk begins is intra or refers to the frame at hand."""
        header = chunk.header
        return bool(header.flags & INTRA) or header.refers_to == self.reference

    def decode(self, chunks: Iterable[Chunk]) -> DecodedFrame:
        """Decode one frame.

        Args:
            chunks: all at hand of this frame; the base must be among them, layers may be missing
                from the highest down.

        Raises:
            FvvError: damage, or a frame that refers to another than the newest reference frame;
                the decoder then stays as it was.
        """
        layers = _by_layer(chunks)
        header = layers[0].header
        if header.flags & INTRA:
            made = self._intra(layers)
        elif self._rows is not None and header.refers_to == self._index:
            made = self._delta(layers, self._rows)
        else:
            raise FvvError(
                f"frame {header.frame}: refers to frame {header.refers_to}, "
                f"which is not the newest reference at hand ({self.reference})"
            )
        is_key, values = bool(header.flags & REFERENCE), made.values
        if is_key:
            self._rows, self._residues, self._values = made.rows, made.residues, values
            self._index, self._intact = header.frame, made.intact
            values = {name: array.copy() for name, array in values.items()}
        numerator, denominator = self.header.time_base
        seconds = header.ticks * numerator / denominator
        num_layers = 1 + made.intact + (made.residues is not None)
        return DecodedFrame(header.frame, seconds, is_key, to_gaussians(values), num_layers)

    def _intra(self, layers: Mapping[int, Chunk]) -> _Made:
        reader = PlaneReader(layers[0].open())
        count = check_count(reader.number(), self.limits)
        base = read_base(reader, count, self.header.grid.quat)
        reader.finish()
        harmonics, intact = [], 0
        for degree in range(1, self.header.sh_degree + 1):
            if degree in layers and intact == degree - 1:
                reader = PlaneReader(layers[degree].open())
                if reader.number() != count:
                    raise FvvError(
                        "payload: harmonics of another number of Gaussians than the base"
                    )
                harmonics.append(read_harmonics(reader, degree, count))
                reader.finish()
                intact = degree
            else:
                harmonics.append(np.zeros((sh_rows(degree), count), np.int16))
        rows, residues = base.with_harmonics(harmonics), None
        if self._has_refinement(layers, intact):
            reader = PlaneReader(layers[REFINEMENT].open())
            residues = refine.read_intra(reader, self.header.sh_degree, count)
        return _Made(rows, residues, self._dequantizer.all(rows, residues), intact)

    def _has_refinement(self, layers: Mapping[int, Chunk], intact: int) -> bool:
        whole = intact == self.header.sh_degree
        return self.header.refine > 1 and whole and REFINEMENT in layers

    def _delta(self, layers: Mapping[int, Chunk], reference: Rows) -> _Made:
        reader = PlaneReader(layers[0].open())
        base = read_delta(reader, reference, self.header.grid.quat, self.limits)
        reader.finish()
        harmonics = self._harmonics(layers, reference, base)
        sh = [
            # Stale coefficients would give wrong colours; none give those of the base.
            np.zeros((sh_rows(d), base.total), np.int16) if h is None else h.sh
            for d, h in enumerate(harmonics, start=1)
        ]
        rows = apply_delta(reference, base).with_harmonics(sh)
        there = [h for h in harmonics if h is not None]
        finer = None
        if self._residues is not None and self._has_refinement(layers, len(there)):
            predicted = refine.predict(self._residues, base, there)
            reader = PlaneReader(layers[REFINEMENT].open())
            added = len(base.added)
            finer = refine.read_delta(reader, predicted, self.header.sh_degree, added)
        values = self._filled(rows, base, harmonics, finer)
        return _Made(rows, None if finer is None else finer.residues, values, len(there))

    def _harmonics(
        self, layers: Mapping[int, Chunk], reference: Rows, base: BaseDelta
    ) -> list[HarmonicsDelta | None]:
        """Of each SH degree; None where it is missing, or useless since one was."""
        result: list[HarmonicsDelta | None] = []
        for degree, old in enumerate(reference.sh, start=1):
            if degree in layers and None not in result and degree <= self._intact:
                reader = PlaneReader(layers[degree].open())
                result.append(read_harmonics_delta(reader, degree, old, base))
            else:
                result.append(None)
        return result

    def _filled(
        self,
        rows: Rows,
        base: BaseDelta,
        harmonics: Sequence[HarmonicsDelta | None],
        finer: refine.RefinementDelta | None,
    ) -> Values:
        """Floats of the frame: those of the reference, and what differs made anew."""
        if finer is None and self._residues is not None:
            return self._dequantizer.all(rows)  # the refinement is lost
        values = self._carried(base)
        changes = [base.moved, base.changed, *(None if h is None else h.changed for h in harmonics)]
        for group, changed in enumerate(changes):
            if changed is None:
                values["sh"][:, (group - 1) ** 2 : group**2] = 0
                continue
            touched = np.zeros(base.total, bool)
            touched[changed] = True
            touched[base.kept :] = True
            if finer is not None:
                touched[finer.changed[group]] = True
            residues = None if finer is None else finer.residues
            self._dequantizer.fill(values, group, rows, residues, np.flatnonzero(touched))
        return values

    def _carried(self, base: BaseDelta) -> Values:
        """Floats of the reference for the rows that stay, and room for those that are added."""
        if base.same_rows:
            return {name: array.copy() for name, array in self._values.items()}
        values = self._dequantizer.empty(base.total)
        for name, array in self._values.items():
            values[name][: base.kept] = array if base.removed is None else array[~base.removed]
        return values


@dataclass(frozen=True)
class _Made:
    """A frame, before it is handed out.

    Attributes:
        rows: integers of the base and of SH degrees, zeros for degrees that are missing.
        residues: of the refinement, None if it is missing.
        values: floats.
        intact: SH degrees that are there.
    """

    rows: Rows
    residues: refine.Residues | None
    values: Values
    intact: int


def _by_layer(chunks: Iterable[Chunk]) -> dict[int, Chunk]:
    layers: dict[int, Chunk] = {}
    for chunk in chunks:
        if chunk.header.kind == FRAME:
            layers.setdefault(chunk.header.layer, chunk)
    if 0 not in layers:
        raise FvvError("frame: its base layer is missing")
    base = layers[0].header
    for layer, chunk in layers.items():
        header = chunk.header
        if (header.frame, header.refers_to, header.flags) != (
            base.frame,
            base.refers_to,
            base.flags,
        ):
            raise FvvError(f"frame {base.frame}: layer {layer} belongs to another frame")
    return layers
