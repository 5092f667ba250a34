"""From Gaussians, frame after frame, to chunks.

The encoder keeps what a decoder has. A frame is coded against the newest reference frame: key
frames of a run are references, candidates are not and can be dropped by a server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from igs.config.fvv import FvvConfig
from igs.fvv import refine
from igs.fvv.chunks import CODECS, FRAME, INTRA, REFERENCE, REFINEMENT, Chunk, make_chunk
from igs.fvv.delta import (
    BaseDelta,
    HarmonicsDelta,
    apply_delta,
    read_delta,
    read_harmonics_delta,
    write_harmonics_delta,
)
from igs.fvv.errors import DEFAULT_LIMITS
from igs.fvv.header import StreamHeader
from igs.fvv.intra import morton_order, write_base, write_harmonics
from igs.fvv.match import match_rows
from igs.fvv.plan import differences, plan_delta, tolerances
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Rows, Targets, flip_to_match, to_steps
from igs.gaussians import Gaussians

if TYPE_CHECKING:
    from igs.fvv.weights import Weigher

_FORWARD = np.array([[1.0], [0], [0], [0]])  # sign of quaternions that follow no other


@dataclass(frozen=True)
class SourceFrame:
    """One frame to encode.

    Attributes:
        index: of the time step; ascending, gaps allowed.
        seconds: since the beginning.
        gaussians: all of them.
        is_key: whether later frames may be coded against this one.
        same_rows: whether row i is the same Gaussian as row i of the newest key frame pushed; if
            not known, the encoder looks for it.
    """

    index: int
    seconds: float
    gaussians: Gaussians
    is_key: bool = True
    same_rows: bool = False


class Encoder:
    """Makes the chunks of one stream.

    Args:
        header: of the stream; its grid is used as it is.
        config: how to encode.
        weigh: how much values matter in renders, see `weights.Weigher`: those that matter less are
            held longer, up to `config.hold_most`. Without either, all are treated alike.
    """

    def __init__(
        self, header: StreamHeader, config: FvvConfig, weigh: Weigher | None = None
    ) -> None:
        self.header, self.config = header, config
        self._refine, self._weigh = header.refine, weigh
        # Of the refinement in its own steps, and of the base, which must not need more.
        self._tolerance = 0.5 + config.hold
        self._base_tolerance = 0.5 + config.hold / header.refine
        self._rows: Rows | None = None
        self._residues: refine.Residues = []
        self._sources = np.zeros(0, np.int64)  # of each row, in the Gaussians of that frame
        self._targets: Targets | None = None  # of that frame, in the order it came in
        # Newest frame of the same rows and its index: motion goes on from there.
        self._latest: tuple[int, Targets] | None = None
        self._index, self._intra_index, self._last = 0, 0, -1

    def push(self, frame: SourceFrame) -> list[Chunk]:
        """The chunks of one frame, base layer first.

        Raises:
            ValueError: an index that does not ascend, no Gaussians, or values that are not finite.
        """
        if frame.index <= self._last:
            raise ValueError(f"frame {frame.index}: comes after frame {self._last}")
        targets = to_steps(frame.gaussians, self.header.grid, self.header.sh_degree)
        _check(targets, frame.index)
        targets.slack = self._slack(frame)
        due = frame.index - self._intra_index >= self.config.intra_interval
        intra = self._rows is None or (due and frame.is_key)
        chunks = self._intra(frame, targets) if intra else self._delta(frame, targets)
        self._last = frame.index
        return chunks

    def _slack(self, frame: SourceFrame) -> np.ndarray | None:
        """How far off each value of a frame may be held."""
        most = self.config.hold_most
        if self._weigh is None or most is None:
            return None
        if frame.same_rows and self._targets is not None:
            return self._targets.slack
        sensitivity = self._weigh(frame.gaussians, self.header.grid)
        return tolerances(sensitivity, self._tolerance, 0.5 + most)

    def snapshot(self) -> list[Chunk]:
        """The newest reference frame as intra chunks, for who joins a live stream late.

        Raises:
            ValueError: nothing was pushed yet.
        """
        if self._rows is None:
            raise ValueError("snapshot: no frame was encoded yet")
        return self._intra_chunks(self._rows, self._index, self._ticks(self._seconds))

    def _intra(self, frame: SourceFrame, targets: Targets) -> list[Chunk]:
        order = morton_order(targets.rounded().position)
        ordered = targets.select(order)
        ordered.quat = flip_to_match(ordered.quat, _FORWARD)
        self._rows = ordered.rounded()
        wanted = refine.wanted_residues(ordered, self._rows, self._refine)
        self._residues = refine.rounded(wanted)
        self._intra_index = frame.index
        self._adopt(frame, targets, order)
        return self._intra_chunks(self._rows, frame.index, self._ticks(frame.seconds))

    def _adopt(self, frame: SourceFrame, targets: Targets, sources: np.ndarray) -> None:
        self._index, self._seconds = frame.index, frame.seconds
        self._sources, self._targets, self._latest = sources, targets, None

    def _intra_chunks(self, rows: Rows, index: int, ticks: int) -> list[Chunk]:
        writer = PlaneWriter()
        writer.number(len(rows))
        write_base(writer, rows, self.header.grid.quat)
        payloads = {0: writer.finish()}
        for degree, sh in enumerate(rows.sh, start=1):
            writer = PlaneWriter()
            writer.number(len(rows))
            write_harmonics(writer, sh)
            payloads[degree] = writer.finish()
        if self._refine > 1:
            writer = PlaneWriter()
            refine.write_intra(writer, self._residues)
            payloads[REFINEMENT] = writer.finish()
        return self._chunks(payloads, INTRA | REFERENCE, index, index, ticks)

    def _delta(self, frame: SourceFrame, targets: Targets) -> list[Chunk]:
        rows, grid = self._rows, self.header.grid
        assert rows is not None
        sources, added = self._follow(frame, targets)
        removed = sources < 0
        kept = rows.select(~removed) if removed.any() else rows
        goal, new_rows = targets.select(sources[~removed]), self._new(targets, added)
        plan = plan_delta(kept, goal, removed, new_rows, self._base_tolerance, self._refine, grid)
        writer = PlaneWriter()
        plan.write(writer, grid.quat)
        payloads = {0: writer.finish()}
        # What a decoder makes of it, by the decoder's own code.
        base = read_delta(PlaneReader(payloads[0]), rows, grid.quat, DEFAULT_LIMITS)
        sources = np.concatenate([sources[~removed], added])
        harmonics = self._harmonics(rows, base, targets, sources, payloads)
        if frame.is_key or self._refine > 1:
            new = apply_delta(rows, base).with_harmonics([h.sh for h in harmonics])
            residues = self._finer(new, targets.select(sources), base, harmonics, payloads)
            if frame.is_key:
                self._rows, self._residues = new, residues
        flags, reference = REFERENCE if frame.is_key else 0, self._index
        if frame.is_key:
            self._adopt(frame, targets, sources)
        return self._chunks(payloads, flags, frame.index, reference, self._ticks(frame.seconds))

    def _finer(
        self,
        rows: Rows,
        targets: Targets,
        base: BaseDelta,
        harmonics: list[HarmonicsDelta],
        payloads: dict[int, bytes],
    ) -> refine.Residues:
        """Add the refinement's payload, if there is one; returns the frame's residues."""
        if self._refine == 1:
            return []
        targets.quat = flip_to_match(targets.quat, rows.quat)
        predicted = refine.predict(self._residues, base, harmonics)
        wanted = refine.wanted_residues(targets, rows, self._refine)
        writer = PlaneWriter()
        groups = [[0] * 3 + [1] * 4, [2] * 3 + [3] + [4] * 3]
        groups += [[4 + d] * len(sh) for d, sh in enumerate(rows.sh, start=1)]
        loose = [targets.tolerance(self._tolerance, 1, *group) for group in groups]
        refine.write_delta(writer, predicted, wanted, loose)
        payloads[REFINEMENT] = writer.finish()
        reader = PlaneReader(payloads[REFINEMENT])
        return refine.read_delta(reader, predicted, rows.degree, len(base.added)).residues

    def _follow(self, frame: SourceFrame, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
        """Where each row is in the new Gaussians (-1: gone), and which of them are new."""
        count = len(targets)
        assert self._targets is not None
        if frame.same_rows:
            if count != len(self._targets):
                raise ValueError(
                    f"frame {frame.index}: {count} Gaussians where the rows of frame "
                    f"{self._index} are said to go on, which has {len(self._targets)}"
                )
            self._latest = (frame.index, targets)
            return self._sources, np.zeros(0, np.int64)
        sources = match_rows(self._expected(frame.index), targets, 1 / self._refine)
        sources = sources[self._sources]
        return sources, np.setdiff1d(np.arange(count), sources[sources >= 0])

    def _expected(self, index: int) -> Targets:
        """The rows of the reference where they should be at a time, if motion goes on."""
        assert self._targets is not None
        if self._latest is None:
            return self._targets
        at, latest = self._latest
        speed = (latest.position - self._targets.position) / (at - self._index)
        return replace(latest, position=latest.position + speed * (index - at))

    def _new(self, targets: Targets, added: np.ndarray) -> Rows:
        """Rows to append; `added` is put into their order."""
        rows = targets.select(added)
        order = morton_order(rows.rounded().position) if len(added) else added
        added[:] = added[order]
        rows = targets.select(added)
        rows.quat = flip_to_match(rows.quat, _FORWARD)
        return rows.rounded()

    def _harmonics(
        self,
        rows: Rows,
        base: BaseDelta,
        targets: Targets,
        sources: np.ndarray,
        payloads: dict[int, bytes],
    ) -> list[HarmonicsDelta]:
        """Add a payload for each SH degree; returns the frame's harmonics."""
        result = []
        for degree, old in enumerate(rows.sh, start=1):
            goal = targets.sh[degree - 1][:, sources]
            kept = old if base.removed is None else old[:, ~base.removed]
            loose = targets.select(sources[: base.kept]).tolerance(
                self._base_tolerance, self._refine, *[4 + degree] * len(goal)
            )
            changed, difference = differences(kept, goal[:, : base.kept], loose)
            writer = PlaneWriter()
            added = np.clip(np.rint(goal[:, base.kept :]), -32767, 32767).astype(np.int16)
            write_harmonics_delta(writer, changed, difference, added)
            payloads[degree] = writer.finish()
            reader = PlaneReader(payloads[degree])
            result.append(read_harmonics_delta(reader, degree, old, base))
        return result

    def _ticks(self, seconds: float) -> int:
        numerator, denominator = self.header.time_base
        return round(seconds * denominator / numerator)

    def _chunks(
        self, payloads: dict[int, bytes], flags: int, index: int, refers_to: int, ticks: int
    ) -> list[Chunk]:
        return [
            make_chunk(
                payload,
                kind=FRAME,
                codec=CODECS[self.config.codec],
                level=self.config.level,
                layer=layer,
                flags=flags,
                frame=index,
                refers_to=refers_to,
                ticks=ticks,
            )
            for layer, payload in sorted(payloads.items())
        ]


def _check(targets: Targets, index: int) -> None:
    if not len(targets):
        raise ValueError(f"frame {index}: no Gaussians")
    arrays = (targets.position, targets.quat, targets.log_scale, targets.opacity, targets.color)
    if not all(np.isfinite(a).all() for a in (*arrays, *targets.sh)):
        raise ValueError(f"frame {index}: values that are not finite")
