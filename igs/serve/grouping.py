"""Pictures of several cameras, as they arrive, to whole time steps.

A step is anchored at the earliest picture that waits. It takes the first waiting picture of every
camera within the tolerance, and is whole when no camera that is there is missing. A step that is
not whole is dropped as soon as it is known that it never will be: every missing camera has already
delivered a later picture, or the step has waited long enough. Every picture that comes in is
counted, and leaves under exactly one heading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class CameraCounts:
    """What became of the pictures of one camera.

    ``received == used + skipped + incomplete + late + damaged + overflow + waiting``.

    Attributes:
        received: decoded.
        used: handed to the engine.
        skipped: of whole steps that the engine had no time for.
        incomplete: of steps that another camera was missing in, or with too few cameras.
        late: came after their step was closed, or out of order.
        damaged: decoded with errors.
        overflow: pushed out while waiting for other cameras.
        lost: never came, by the gaps between time stamps; not part of `received`.
        outages: how often the camera went away.
    """

    received: int = 0
    used: int = 0
    skipped: int = 0
    incomplete: int = 0
    late: int = 0
    damaged: int = 0
    overflow: int = 0
    lost: int = 0
    outages: int = 0

    def gone(self) -> int:
        """Pictures that left under some heading."""
        values = asdict(self)
        return sum(values[key] for key in _HEADINGS)


_HEADINGS = ("used", "skipped", "incomplete", "late", "damaged", "overflow")


@dataclass
class StepCounts:
    """What became of time steps; ``whole == delivered + skipped + (1 if one is held)``."""

    whole: int = 0
    delivered: int = 0
    skipped: int = 0
    incomplete: int = 0


@dataclass(frozen=True)
class Picture(Generic[T]):
    """One picture: its time on the common clock, when it arrived, and itself."""

    time: float
    arrived: float
    content: T


@dataclass(frozen=True)
class Step(Generic[T]):
    """Pictures of one moment, of the cameras that have one; `time` is the earliest."""

    time: float
    pictures: dict[str, Picture[T]] = field(default_factory=dict)


class StepGrouper(Generic[T]):
    """Groups pictures by time. Not safe for threads; its user locks.

    Args:
        names: the cameras.
        tolerance: seconds by which the pictures of a step may differ.
        wait: seconds after its first picture arrived that a step waits for others.
        depth: pictures of one camera that wait at most.
        min_cameras: a step with fewer is dropped even if all others are away.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        tolerance: float,
        wait: float,
        depth: int = 32,
        min_cameras: int = 1,
    ) -> None:
        self.counts = {name: CameraCounts() for name in names}
        self.steps = StepCounts()
        self._tolerance, self._wait = tolerance, wait
        self._depth, self._min_cameras = depth, min_cameras
        self._pending: dict[str, deque[Picture[T]]] = {name: deque() for name in self.counts}
        self._closed = float("-inf")  # time of the last step that was closed

    def waiting(self, name: str) -> int:
        """Pictures of a camera that are not in a step yet."""
        return len(self._pending[name])

    def add(self, name: str, picture: Picture[T]) -> None:
        """Take in one picture.

        Raises:
            KeyError: an unknown camera.
        """
        counts, pending = self.counts[name], self._pending[name]
        counts.received += 1
        before = pending[-1].time if pending else float("-inf")
        if picture.time <= max(self._closed + self._tolerance, before):
            counts.late += 1
            return
        pending.append(picture)
        if len(pending) > self._depth:
            pending.popleft()
            counts.overflow += 1

    def collect(self, now: float, away: Collection[str] = ()) -> Iterator[Step[T]]:
        """Close all steps that can be; yields the whole ones in order.

        Args:
            now: on the clock of `Picture.arrived`.
            away: cameras that no step waits for.
        """
        while (anchor := self._anchor()) is not None:
            members = {
                name: queue[0]
                for name, queue in self._pending.items()
                if queue and queue[0].time - anchor.time <= self._tolerance
            }
            missing = [n for n in self._pending if n not in members and n not in away]
            open_ends = [n for n in missing if not self._pending[n]]
            arrived = min(picture.arrived for picture in members.values())
            if open_ends and now - arrived < self._wait:
                return
            for name in members:
                self._pending[name].popleft()
            self._closed = anchor.time
            if missing or len(members) < self._min_cameras:
                self._drop(members)
                continue
            self.steps.whole += 1
            yield Step(anchor.time, members)

    def _anchor(self) -> Picture[T] | None:
        first = [queue[0] for queue in self._pending.values() if queue]
        return min(first, key=lambda picture: picture.time) if first else None

    def _drop(self, members: Iterable[str]) -> None:
        self.steps.incomplete += 1
        for name in members:
            self.counts[name].incomplete += 1


class ArrivalClock:
    """Maps the time stamps of one stream to the local clock, free of jitter.

    The network only ever delays: the smallest difference between arrival and time stamp over the
    last seconds is the stream's offset. A jump of the time stamps begins anew.

    Args:
        window: seconds that the offset is taken from; also bounds what drift does.
        jump: seconds of disagreement that count as a jump.
    """

    def __init__(self, window: float = 10.0, jump: float = 2.0) -> None:
        self._window, self._jump = window, jump
        self._offsets: deque[tuple[float, float]] = deque()  # arrival, offset; offsets ascend

    def __call__(self, stamp: float | None, arrived: float) -> float:
        """Time on the local clock of a picture with a time stamp (None: when it arrived)."""
        if stamp is None:
            return arrived
        offset = arrived - stamp
        if self._offsets and abs(offset - self._offsets[0][1]) > self._jump:
            self._offsets.clear()
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((arrived, offset))
        while self._offsets[0][0] < arrived - self._window:
            self._offsets.popleft()
        return stamp + self._offsets[0][1]
