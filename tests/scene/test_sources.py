"""Part of a source, a source played forth and back, and the prefetching thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from igs.scene import (
    FrameSource,
    LoopedSource,
    MultiViewFrame,
    Rig,
    SceneError,
    SubsetSource,
    limit,
)
from igs.scene.prefetch import prefetched


class CountingSource:
    """Frames that carry their number, and a record of what was asked for."""

    def __init__(self, rig: Rig, num_frames: int | None) -> None:
        self.cameras = rig.cameras
        self.num_frames = num_frames
        self.fps = 10.0
        self.made = 0
        self.closed = 0

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        index = start
        try:
            while self.num_frames is None or index < self.num_frames:
                self.made += 1
                images = {name: np.full((2, 2, 3), index, np.uint8) for name in self.cameras}
                yield MultiViewFrame(index, index / self.fps, images)
                index += 1
        finally:
            self.closed += 1


def _contents(frames) -> list[int]:
    return [int(next(iter(frame.images.values()))[0, 0, 0]) for frame in frames]


def test_subset(rig):
    source = CountingSource(rig, 10)
    part = SubsetSource(source, 4, views=["cam3", 1])
    assert isinstance(part, FrameSource)
    assert (part.num_frames, part.fps, list(part.cameras)) == (4, 10.0, ["cam3", "cam1"])
    frames = list(part.frames(1))
    assert [frame.index for frame in frames] == [1, 2, 3]
    assert list(frames[0].images) == ["cam3", "cam1"]
    assert source.made == 3  # nothing beyond the end is decoded
    assert source.closed == 1
    with pytest.raises(SceneError, match="11 are wanted, the source has 10"):
        SubsetSource(source, 11)
    with pytest.raises(SceneError, match="no camera is called 'cam8'"):
        SubsetSource(source, views=["cam8"])


def test_limit(rig):
    endless = CountingSource(rig, None)
    assert limit(endless, None) is endless
    assert _contents(limit(endless, 3).frames()) == [0, 1, 2]


@pytest.mark.parametrize("block", [1, 2, 3, 8])
@pytest.mark.parametrize("length", [2, 3, 5, 9])
def test_loop_plays_forth_and_back(rig, block, length):
    looped = limit(LoopedSource(CountingSource(rig, length), None, block), 40)
    period = list(range(length)) + list(range(length - 2, 0, -1))
    wanted = [period[i % len(period)] for i in range(40)]
    for start in (0, 1, length - 1, length, 2 * length - 3, 39, 40):
        frames = list(looped.frames(start))
        assert [frame.index for frame in frames] == list(range(start, 40))
        assert [frame.time for frame in frames] == [i / 10 for i in range(start, 40)]
        assert _contents(frames) == wanted[start:]


def test_loop_prefetches_in_one_thread(rig):
    looped = LoopedSource(CountingSource(rig, 5), 6, prefetch=2)
    assert looped.num_frames == 30
    threads = set()
    for _ in looped.frames():
        threads |= {t for t in threading.enumerate() if t.name == "igs-prefetch"}
    assert len(threads) == 1
    plain = LoopedSource(CountingSource(rig, 5), 6)
    assert len(_contents(plain.frames())) == 30
    assert _contents(looped.frames()) == _contents(plain.frames())


def test_loop_refuses_what_it_cannot_turn_around(rig):
    with pytest.raises(SceneError, match="finite"):
        LoopedSource(CountingSource(rig, None), 10)
    with pytest.raises(SceneError, match="two frames"):
        LoopedSource(CountingSource(rig, 1), 10)
    with pytest.raises(SceneError, match="times 0"):
        LoopedSource(CountingSource(rig, 5), 0)


def test_prefetch_stays_within_its_depth():
    made = []

    def numbers() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    items = prefetched(numbers, 2)
    assert next(items) == 0
    time.sleep(0.3)
    assert len(made) <= 4  # one used, two that wait, one in the making
    assert list(items) == list(range(1, 20))


def test_prefetch_hands_over_errors_after_the_items_before_them():
    def failing() -> Iterator[int]:
        yield 1
        raise SceneError("cam3.mp4: broken")

    items = prefetched(failing, 2)
    assert next(items) == 1
    with pytest.raises(SceneError, match="broken"):
        next(items)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_prefetch_closes_the_inner_iterator_where_it_ran(depth):
    ended = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            ended.append(threading.current_thread().name)

    items = prefetched(endless, depth)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert len(ended) == 1
    assert (ended[0] == "igs-prefetch") == (depth > 0)


def test_prefetch_of_nothing():
    assert list(prefetched(lambda: iter(()), 2)) == []
    with pytest.raises(ValueError, match="negative"):
        prefetched(lambda: iter(()), -1)
