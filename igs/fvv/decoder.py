"""From chunks back to Gaussians."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from igs.fvv.chunks import FRAME, INTRA, REFERENCE, Chunk
from igs.fvv.delta import BaseDelta, apply_delta, read_delta, read_harmonics_delta
from igs.fvv.errors import DEFAULT_LIMITS, FvvError, Limits
from igs.fvv.header import StreamHeader
from igs.fvv.intra import check_count, read_base, read_harmonics
from igs.fvv.planes import PlaneReader
from igs.fvv.rows import Rows, sh_rows
from igs.fvv.values import Dequantizer, to_gaussians
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
        self._dequantizer = Dequantizer(header.grid, header.sh_degree)
        self._rows: Rows | None = None
        self._values: dict[str, np.ndarray] = {}
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
            rows, values, intact = self._intra(layers)
        elif self._rows is not None and header.refers_to == self._index:
            rows, values, intact = self._delta(layers, self._rows)
        else:
            raise FvvError(
                f"frame {header.frame}: refers to frame {header.refers_to}, "
                f"which is not the newest reference at hand ({self.reference})"
            )
        is_key = bool(header.flags & REFERENCE)
        if rows is not None:
            self._rows, self._index, self._intact = rows, header.frame, intact
            self._values = values
            values = {name: array.copy() for name, array in values.items()}
        numerator, denominator = self.header.time_base
        seconds = header.ticks * numerator / denominator
        return DecodedFrame(header.frame, seconds, is_key, to_gaussians(values), 1 + intact)

    def _intra(self, layers: Mapping[int, Chunk]) -> tuple[Rows, dict[str, np.ndarray], int]:
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
        rows = base.with_harmonics(harmonics)
        return rows, self._dequantizer.all(rows), intact

    def _delta(
        self, layers: Mapping[int, Chunk], reference: Rows
    ) -> tuple[Rows | None, dict[str, np.ndarray], int]:
        reader = PlaneReader(layers[0].open())
        base = read_delta(reader, reference, self.header.grid.quat, self.limits)
        reader.finish()
        values = self._carried(base)
        harmonics, intact = self._harmonics(layers, reference, base, values)
        if not layers[0].header.flags & REFERENCE:
            return None, values, intact
        new = apply_delta(reference, base)
        return new.with_harmonics(harmonics), values, intact

    def _carried(self, base: BaseDelta) -> dict[str, np.ndarray]:
        """Floats of the frame without changes of harmonics."""
        if base.same_rows:
            values = {name: array.copy() for name, array in self._values.items()}
        else:
            values = self._dequantizer.empty(base.total)
            for name, array in self._values.items():
                kept = array if base.removed is None else array[~base.removed]
                values[name][: base.kept] = kept
            new = slice(base.kept, None)
            self._dequantizer.place(values, base.added.position, base.added.quat, new)
            self._dequantizer.appearance(values, base.added, new)
        looks = Rows(base.position, base.quat, base.log_scale, base.opacity, base.color)
        self._dequantizer.place(values, base.position, base.quat, base.moved)
        self._dequantizer.appearance(values, looks, base.changed)
        return values

    def _harmonics(
        self,
        layers: Mapping[int, Chunk],
        reference: Rows,
        base: BaseDelta,
        values: dict[str, np.ndarray],
    ) -> tuple[list[np.ndarray], int]:
        result, intact = [], 0
        for degree, old in enumerate(reference.sh, start=1):
            if degree in layers and intact == degree - 1 and degree <= self._intact:
                reader = PlaneReader(layers[degree].open())
                sh, changed = read_harmonics_delta(reader, degree, old, base)
                touched = np.concatenate([changed, np.arange(base.kept, base.total)])
                self._dequantizer.harmonics(values, degree, sh[:, touched], touched)
                intact = degree
            else:
                # Stale coefficients would give wrong colours; none give those of the base.
                sh = np.zeros((sh_rows(degree), base.total), np.int16)
                values["sh"][:, degree**2 : (degree + 1) ** 2] = 0
            result.append(sh)
        return result, intact


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
