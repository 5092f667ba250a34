"""What waits for one viewer, and what is left out when the viewer cannot keep up.

The rules, in the order in which they bite (docs/serve.md, "Slow viewers"):

1. Half of the queue is full: one layer less, from the highest down, also in what waits.
2. Still, with the base alone: frames that no other frame needs are dropped.
3. The queue is full: all that waits is dropped, and the viewer waits for an intra frame.

After `calm_frames` frames in a row that found the queue empty, one rule is taken back. Layers come
back with an intra frame only, since deltas of a layer need that layer's reference. Nothing here
blocks, and no frame is ever cut: a message is whole chunks of one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from igs.config.serve import ViewerPolicy
from igs.serve.publisher import PublishedFrame

ALL, REFERENCES, WAITING = "all", "references", "waiting"


@dataclass
class ViewerCounts:
    """What became of the frames offered to one viewer.

    ``offered == sent + dropped_candidates + dropped_waiting + dropped_overflow + queued``, where
    those of the start that a late joiner is given count as offered.

    Attributes:
        offered: frames published while the viewer was there, and those it began with.
        sent: handed to the connection.
        dropped_candidates: left out by rule 2, or because the viewer asked for key frames only.
        dropped_waiting: passed by while waiting for an intra frame.
        dropped_overflow: thrown away by rule 3.
        fewer_layers: frames sent with fewer layers than there are.
        bytes: sent.
    """

    offered: int = 0
    sent: int = 0
    dropped_candidates: int = 0
    dropped_waiting: int = 0
    dropped_overflow: int = 0
    fewer_layers: int = 0
    bytes: int = 0

    @property
    def dropped(self) -> int:
        """Frames that were not sent."""
        return self.dropped_candidates + self.dropped_waiting + self.dropped_overflow

    def add(self, other: ViewerCounts) -> None:
        """Add another viewer's counts to these."""
        for key, value in asdict(other).items():
            setattr(self, key, getattr(self, key) + value)


class ViewerQueue:
    """The queue of one viewer.

    Args:
        policy: bounds.
        layers: layers of the stream, the base included.
        start: the newest intra frame and the references since, for who joins late; they do not
            count as falling behind. Empty: the viewer waits for an intra frame.
    """

    def __init__(
        self, policy: ViewerPolicy, layers: int, start: Sequence[PublishedFrame] = ()
    ) -> None:
        self.policy, self.counts = policy, ViewerCounts(offered=len(start))
        self._cap = self._most = layers
        self._layers = layers
        self._keys_only = False
        self._stage = ALL if start else WAITING
        self._queue: deque[tuple[PublishedFrame, int]] = deque((f, layers) for f in start)
        self._bytes = sum(frame.num_bytes(layers) for frame in start)
        self._catching_up = len(start)  # frames of the start that still wait
        self._calm = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def quality(self) -> dict[str, object]:
        """What the viewer gets now: layers, and which frames."""
        frames = REFERENCES if self._keys_only and self._stage == ALL else self._stage
        return {"layers": self._layers, "of": self._most, "frames": frames}

    def ask(self, *, layers: int | None = None, keys_only: bool | None = None) -> None:
        """The viewer's own wish: at most so many layers, or key frames only.

        Fewer layers hold at once, more from the next intra frame on.
        """
        if layers is not None:
            self._cap = min(max(layers, 1), self._most)
            if self._cap < self._layers:
                self._set_layers(self._cap)
        if keys_only is not None:
            self._keys_only = keys_only

    def push(self, frame: PublishedFrame) -> None:
        """Take in a published frame; never blocks."""
        self.counts.offered += 1
        self._calm = self._calm + 1 if not self._queue else 0
        if self._stage == WAITING:
            if not frame.intra or self._queue:
                self.counts.dropped_waiting += 1
                return
            self._stage, self._calm = REFERENCES if self.counts.dropped_overflow else ALL, 0
        self._recover(frame)
        if not frame.reference and (self._keys_only or self._stage == REFERENCES):
            self.counts.dropped_candidates += 1
            return
        self._queue.append((frame, self._layers))
        self._bytes += frame.num_bytes(self._layers)
        self._relieve()

    def pop(self) -> bytes | None:
        """The next message, None if nothing waits."""
        if not self._queue:
            return None
        frame, layers = self._queue.popleft()
        self._catching_up = max(self._catching_up - 1, 0)
        self._bytes -= frame.num_bytes(layers)
        message = frame.message(layers)
        self.counts.sent += 1
        self.counts.bytes += len(message)
        self.counts.fewer_layers += layers < len(frame.layers)
        return message

    def _recover(self, frame: PublishedFrame) -> None:
        if self._calm < self.policy.calm_frames:
            # Only the viewer's own wish, where nothing was taken away from it.
            return
        if self._stage == REFERENCES:
            self._stage, self._calm = ALL, 0
        elif self._layers < self._cap and frame.intra:
            self._layers, self._calm = self._layers + 1, 0

    def _relieve(self) -> None:
        policy = self.policy
        behind = len(self._queue) - self._catching_up
        # The start is part of the bytes, but not of falling behind: it gets room of its own.
        limit = policy.queue_bytes * (2 if self._catching_up else 1)
        if behind >= policy.queue_frames or self._bytes > limit:
            self.counts.dropped_overflow += len(self._queue)
            self._queue.clear()
            self._bytes, self._catching_up, self._layers = 0, 0, 1
            self._stage = WAITING
        elif behind >= policy.queue_frames // 2 or self._bytes > limit // 2:
            if self._layers > 1:
                self._set_layers(self._layers - 1)
            else:
                self._stage = REFERENCES
                self._drop_candidates()

    def _set_layers(self, layers: int) -> None:
        self._layers = layers
        self._queue = deque((frame, min(had, layers)) for frame, had in self._queue)
        self._count_bytes()

    def _drop_candidates(self) -> None:
        kept = deque(item for item in self._queue if item[0].reference)
        self.counts.dropped_candidates += len(self._queue) - len(kept)
        self._queue = kept
        self._count_bytes()

    def _count_bytes(self) -> None:
        self._bytes = sum(frame.num_bytes(layers) for frame, layers in self._queue)
