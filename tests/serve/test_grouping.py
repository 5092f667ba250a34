"""Pictures to steps: every picture leaves under one heading."""

from __future__ import annotations

import random

import numpy as np
import pytest

from igs.serve.grouping import ArrivalClock, Picture, StepGrouper

PERIOD = 1 / 15


def grouper(names: str = "abcd", **settings) -> StepGrouper[str]:
    values = {"tolerance": PERIOD / 2, "wait": 0.2, **settings}
    return StepGrouper(names, **values)


def add(target: StepGrouper[str], name: str, time: float, arrived: float | None = None) -> None:
    target.add(name, Picture(time, time if arrived is None else arrived, f"{name}{time:.3f}"))


def balanced(target: StepGrouper[str]) -> bool:
    return all(
        counts.received == counts.gone() + target.waiting(name)
        for name, counts in target.counts.items()
    )


def test_a_step_is_whole_when_all_cameras_have_a_picture():
    steps = grouper()
    for name in "abc":
        add(steps, name, 1.0)
    assert not list(steps.collect(1.01))
    add(steps, "d", 1.02)
    [step] = steps.collect(1.03)
    assert step.time == 1.0
    assert set(step.pictures) == set("abcd")


def test_pictures_apart_by_more_than_the_tolerance_are_not_one_step():
    steps = grouper("ab")
    add(steps, "a", 1.0)
    add(steps, "b", 1.0 + 0.51 * PERIOD)
    assert not list(steps.collect(1.05))
    assert steps.steps.incomplete == 1  # b has a later picture: a's step will never be whole
    add(steps, "a", 1.0 + PERIOD)
    [step] = steps.collect(1.1)
    assert step.time == pytest.approx(1.0 + 0.51 * PERIOD)
    assert balanced(steps) is False  # the step that was handed out is its user's to count


def test_half_a_step_is_dropped_and_counted_after_the_wait():
    steps = grouper()
    for name in "abc":
        add(steps, name, 1.0)
    assert not list(steps.collect(1.19))
    assert steps.steps.incomplete == 0
    assert not list(steps.collect(1.21))
    assert steps.steps.incomplete == 1
    assert [steps.counts[n].incomplete for n in "abcd"] == [1, 1, 1, 0]
    add(steps, "d", 1.0, arrived=1.3)
    assert steps.counts["d"].late == 1
    assert balanced(steps)


def test_nobody_waits_for_cameras_that_are_away():
    steps = grouper(min_cameras=2)
    for name in "abc":
        add(steps, name, 1.0)
    [step] = steps.collect(1.01, away={"d"})
    assert set(step.pictures) == set("abc")
    add(steps, "a", 2.0)
    assert not list(steps.collect(2.01, away={"b", "c", "d"}))
    assert steps.steps.incomplete == 1  # fewer than min_cameras


def test_the_queue_of_a_camera_is_bounded():
    steps = grouper("ab", depth=5)
    for i in range(20):
        add(steps, "a", i * PERIOD, arrived=0.0)
    assert steps.waiting("a") == 5
    assert steps.counts["a"].overflow == 15
    assert balanced(steps)


def test_a_picture_out_of_order_is_late():
    steps = grouper("ab")
    add(steps, "a", 2.0)
    add(steps, "a", 1.0)
    assert steps.counts["a"].late == 1


@pytest.mark.parametrize("seed", range(5))
def test_whatever_arrives_every_picture_is_accounted_for(seed: int):
    rng = random.Random(seed)
    steps, used = grouper(depth=8), dict.fromkeys("abcd", 0)
    phase = {name: rng.uniform(-0.2, 0.2) * PERIOD for name in "abcd"}
    arrivals, last = [], dict.fromkeys("abcd", 0.0)
    for number in range(200):
        for name in "abcd":
            time = number * PERIOD + phase[name]
            # A camera's own pictures keep their order.
            last[name] = max(last[name], time + rng.uniform(0, 0.15))
            if rng.random() > 0.1:
                arrivals.append((last[name], time, name))
    whole = 0
    for arrived, time, name in sorted(arrivals):
        add(steps, name, time, arrived)
        for step in steps.collect(arrived):
            whole += 1
            assert set(step.pictures) == set("abcd")
            times = [picture.time for picture in step.pictures.values()]
            assert max(times) - min(times) <= PERIOD / 2
            for member in step.pictures:
                used[member] += 1
                steps.counts[member].used += 1
    assert balanced(steps)
    assert whole == steps.steps.whole > 80  # 0.9 ** 4 of 200 are whole: 131
    assert steps.steps.incomplete > 0


def test_jitter_of_arrival_does_not_reach_the_time():
    rng, clock = random.Random(1), ArrivalClock(window=5)
    times = []
    for i in range(300):
        stamp = 1000 + i * PERIOD
        times.append(clock(stamp, i * PERIOD + 0.05 + rng.uniform(0, 0.2)))
    steps = np.diff(times[100:])
    assert np.abs(steps - PERIOD).max() < 0.02
    assert abs(times[-1] - (299 * PERIOD + 0.05)) < 0.03


def test_a_jump_of_the_time_stamps_begins_anew():
    clock = ArrivalClock()
    assert clock(5.0, 100.0) == pytest.approx(100.0)
    assert clock(9000.0, 100.1) == pytest.approx(100.1)
    assert clock(None, 100.2) == 100.2
