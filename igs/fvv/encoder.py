"""From Gaussians, frame after frame, to chunks.

The encoder keeps what a decoder has. A frame is coded against the newest reference frame: key
frames of a run are references, candidates are not and can be dropped by a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from igs.config.fvv import FvvConfig
from igs.fvv.chunks import CODECS, FRAME, INTRA, REFERENCE, Chunk, make_chunk
from igs.fvv.delta import (
    BaseDelta,
    BasePlan,
    apply_delta,
    read_delta,
    read_harmonics_delta,
    write_harmonics_delta,
)
from igs.fvv.errors import DEFAULT_LIMITS
from igs.fvv.fit import fit_blocks
from igs.fvv.header import StreamHeader
from igs.fvv.intra import morton_order, write_base, write_harmonics
from igs.fvv.match import match_rows
from igs.fvv.motion import carry_positions, carry_quats
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Grid, Rows, Targets, flip_to_match, to_steps
from igs.gaussians import Gaussians
from igs.scene import Camera

_SMALL = 0.2  # quantile of sizes that positions are measured by


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


def make_header(
    first: Gaussians,
    config: FvvConfig,
    *,
    cameras: Mapping[str, Camera] | None = None,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    extra: Mapping[str, object] | None = None,
) -> StreamHeader:
    """The header for a stream that begins with these Gaussians.

    Raises:
        ValueError: no Gaussians, or values that are not finite.
    """
    if not len(first):
        raise ValueError("the first frame has no Gaussians")
    means = first.means.detach().cpu().numpy().astype(np.float64)
    scales = np.sort(first.scales.detach().cpu().numpy().astype(np.float64), axis=1)
    if not (np.isfinite(means).all() and np.isfinite(scales).all()):
        raise ValueError("the first frame has values that are not finite")
    low, high = means.min(axis=0), means.max(axis=0)
    size = max(float(np.quantile(scales[:, 1], _SMALL)), float((high - low).max()) * 1e-6, 1e-12)
    grid = Grid(
        origin=_three((low + high) / 2),
        position=size * config.position,
        quat=config.quat,
        log_scale=config.log_scale,
        opacity=config.opacity,
        color=config.color,
        sh=(config.sh, 2 * config.sh, 2 * config.sh),
    )
    return StreamHeader(
        grid=grid,
        sh_degree=first.sh_degree,
        bounds=(_three(low), _three(high)),
        cameras=tuple((cameras or {}).values()),
        error_bounds=error_bounds(grid, config.hold),
        background=background,
        extra=dict(extra or {}),
    )


def error_bounds(grid: Grid, hold: float) -> dict[str, float]:
    """The largest error of each attribute, apart from float32 rounding of what is decoded.

    `position` in world units per axis; `rotation` radians; `log_scale` for values within -20..20,
    farther ones are clipped; `opacity` of 0..1; `color` of SH degree 0 of 0..1; `sh1`.. of the
    coefficients.
    """
    steps = 0.5 + hold
    # Each of four components is off by at most this much of a quaternion of length one.
    chord = 2 * steps / grid.quat
    bounds = {
        "position": steps * grid.position,
        "rotation": 2 * float(np.arcsin(min(chord, 1.0))),
        "log_scale": steps * grid.log_scale,
        "opacity": steps / grid.opacity + 1e-4,
        "color": steps * grid.color,
    }
    return {**bounds, **{f"sh{d}": steps * grid.sh[d - 1] for d in (1, 2, 3)}}


class Encoder:
    """Makes the chunks of one stream.

    Args:
        header: of the stream; its grid is used as it is.
        config: how to encode.
    """

    def __init__(self, header: StreamHeader, config: FvvConfig) -> None:
        self.header, self.config = header, config
        self._tolerance = 0.5 + config.hold
        self._rows: Rows | None = None
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
        due = frame.index - self._intra_index >= self.config.intra_interval
        intra = self._rows is None or (due and frame.is_key)
        chunks = self._intra(frame, targets) if intra else self._delta(frame, targets)
        self._last = frame.index
        return chunks

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
        ordered.quat = flip_to_match(ordered.quat, np.array([[1.0], [0], [0], [0]]))
        self._rows = ordered.rounded()
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
        payloads = [writer.finish()]
        for sh in rows.sh:
            writer = PlaneWriter()
            writer.number(len(rows))
            write_harmonics(writer, sh)
            payloads.append(writer.finish())
        return self._chunks(payloads, INTRA | REFERENCE, index, index, ticks)

    def _delta(self, frame: SourceFrame, targets: Targets) -> list[Chunk]:
        rows, grid = self._rows, self.header.grid
        assert rows is not None
        sources, added = self._follow(frame, targets)
        removed = sources < 0
        kept = rows.select(~removed) if removed.any() else rows
        goal, new_rows = targets.select(sources[~removed]), self._new(targets, added)
        plan = _plan(kept, goal, removed, new_rows, self._tolerance, grid)
        writer = PlaneWriter()
        plan.write(writer, grid.quat)
        payloads = [writer.finish()]
        # What a decoder makes of it, by the decoder's own code.
        base = read_delta(PlaneReader(payloads[0]), rows, grid.quat, DEFAULT_LIMITS)
        new = apply_delta(rows, base) if frame.is_key else None
        sources = np.concatenate([sources[~removed], added])
        harmonics = self._harmonics(rows, base, targets, sources, payloads)
        chunks = self._chunks(
            payloads,
            REFERENCE if frame.is_key else 0,
            frame.index,
            self._index,
            self._ticks(frame.seconds),
        )
        if new is not None:
            self._rows = new.with_harmonics(harmonics)
            self._adopt(frame, targets, sources)
        return chunks

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
        sources = match_rows(self._expected(frame.index), targets)[self._sources]
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
        rows.quat = flip_to_match(rows.quat, np.array([[1.0], [0], [0], [0]]))
        return rows.rounded()

    def _harmonics(
        self,
        rows: Rows,
        base: BaseDelta,
        targets: Targets,
        sources: np.ndarray,
        payloads: list[bytes],
    ) -> tuple[np.ndarray, ...]:
        """Append a payload for each SH degree; returns the frame's harmonics."""
        result = []
        for degree, old in enumerate(rows.sh, start=1):
            goal = targets.sh[degree - 1][:, sources]
            kept = old if base.removed is None else old[:, ~base.removed]
            changed, difference = _differences(kept, goal[:, : base.kept], self._tolerance)
            writer = PlaneWriter()
            added = np.clip(np.rint(goal[:, base.kept :]), -32767, 32767).astype(np.int16)
            write_harmonics_delta(writer, changed, difference, added)
            payloads.append(writer.finish())
            result.append(read_harmonics_delta(PlaneReader(payloads[-1]), degree, old, base)[0])
        return tuple(result)

    def _ticks(self, seconds: float) -> int:
        numerator, denominator = self.header.time_base
        return round(seconds * denominator / numerator)

    def _chunks(
        self, payloads: list[bytes], flags: int, index: int, refers_to: int, ticks: int
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
            for layer, payload in enumerate(payloads)
        ]


def _plan(
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
    changed, looks = _differences(
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


def _differences(
    old: np.ndarray, goal: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) rows that change, and (components, c) by how much."""
    left = _left(np.clip(goal, -32767, 32767) - old, tolerance)
    changed = _beyond(left, 0)
    return changed, left[:, changed]


def _check(targets: Targets, index: int) -> None:
    if not len(targets):
        raise ValueError(f"frame {index}: no Gaussians")
    arrays = (targets.position, targets.quat, targets.log_scale, targets.opacity, targets.color)
    if not all(np.isfinite(a).all() for a in (*arrays, *targets.sh)):
        raise ValueError(f"frame {index}: values that are not finite")


def _three(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
