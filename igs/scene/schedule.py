"""Which frames are key frames, and which frames are predicted together from which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from igs.scene.errors import SceneError

if TYPE_CHECKING:
    from igs.scene.pairs import FramePair


@dataclass(frozen=True)
class Schedule:
    """Key frames every `interval` frames, candidates between them.

    Frame 0 is a key frame and is reconstructed on its own. Frames 1 .. w are predicted together
    from frame 0, frames w+1 .. 2w from frame w, and so on; the last frame of a full group is a key
    frame. A last group that is cut short by the end of the sequence has no key frame, as in the
    original, unless `refine_last` makes its last frame one.

    Attributes:
        interval: w, at least 1.
        num_frames: number of frames n, frame 0 included; None for a source without an end.
        refine_last: whether frame n - 1 is a key frame even where its group is partial.

    Raises:
        SceneError: an interval or a number of frames below 1.

    Source: spec `streaming.md`, sections 2.1 and 4; faults 9 and 11 of section 16.
    """

    interval: int
    num_frames: int | None = None
    refine_last: bool = False

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise SceneError(f"schedule: interval {self.interval} must be at least 1")
        if self.num_frames is not None and self.num_frames < 1:
            raise SceneError(f"schedule: number of frames {self.num_frames} must be at least 1")

    def is_key(self, index: int) -> bool:
        """Whether frame `index` is a key frame (frame 0 is one)."""
        self._check(index)
        last = self.num_frames is not None and index == self.num_frames - 1
        return index % self.interval == 0 or (self.refine_last and last)

    def key_of(self, index: int) -> int:
        """The key frame that frame `index` >= 1 is predicted from: ``w * floor((index - 1) / w)``.

        Raises:
            SceneError: frame 0, which is predicted from none, or a frame outside the sequence.
        """
        self._check(index)
        if index == 0:
            raise SceneError("schedule: frame 0 is predicted from no key frame")
        return self.interval * ((index - 1) // self.interval)

    def group(self, index: int) -> range:
        """The frames predicted in one batch with frame `index`; ``range(0, 1)`` for frame 0."""
        if index == 0:
            return range(1)
        key = self.key_of(index)
        end = key + self.interval + 1
        return range(key + 1, end if self.num_frames is None else min(end, self.num_frames))

    def groups(self) -> Iterator[range]:
        """All groups in order, without frame 0; endless where `num_frames` is None."""
        index = 1
        while self.num_frames is None or index < self.num_frames:
            group = self.group(index)
            yield group
            index = group.stop

    def _check(self, index: int) -> None:
        if index < 0 or (self.num_frames is not None and index >= self.num_frames):
            end = "" if self.num_frames is None else f" to {self.num_frames - 1}"
            raise SceneError(f"schedule: frame {index} is outside the sequence 0{end}")

    @classmethod
    def from_pairs(cls, pairs: Sequence[FramePair], *, refine_last: bool = False) -> Schedule:
        """Derive interval and length from the pairs of one scene, and check every pair.

        Args:
            pairs: the items of a pair file in order, frames 1 .. n - 1 as `next_frame`.
            refine_last: see the class.

        Raises:
            SceneError: no pairs, or one that no interval explains; the message names the pair.
        """
        if not pairs:
            raise SceneError("pairs: the list is empty; a schedule needs at least one pair")
        later = [i for i, pair in enumerate(pairs) if pair.cur_frame != pairs[0].cur_frame]
        interval = later[0] if later else len(pairs)
        schedule = cls(interval, len(pairs) + 1, refine_last)
        schedule.check_pairs(pairs)
        return schedule

    def check_pairs(self, pairs: Sequence[FramePair], *, interval_from: str = "the pairs") -> None:
        """Check that a pair file says the same as this schedule.

        Args:
            pairs: items in the order of their frames.
            interval_from: where this schedule's interval came from, for the message.

        Raises:
            SceneError: another number of frames, or a pair that contradicts the interval.
        """
        if self.num_frames is not None and len(pairs) != self.num_frames - 1:
            raise SceneError(
                f"pairs: {len(pairs)} items fit {len(pairs) + 1} frames, "
                f"but the sequence has {self.num_frames}"
            )
        for i, pair in enumerate(pairs):
            wanted = self.interval * (i // self.interval)
            if pair.next_frame != i + 1 or pair.cur_frame != wanted:
                raise SceneError(
                    f"pairs: item {i} goes from frame {pair.cur_frame} to {pair.next_frame}; "
                    f"interval {self.interval} (from {interval_from}) wants {wanted} to {i + 1}"
                )
