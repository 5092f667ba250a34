"""Which samples a step takes: a matter of the seed and the step alone."""

from __future__ import annotations

import pytest
import torch

from igs.training.batches import BatchPlan, batches, seeded


class Squares:
    """Sample i is i squared."""

    def sample(self, index: int) -> int:
        return index * index


def test_two_processes_share_what_one_takes() -> None:
    for length in (None, 37):
        whole = BatchPlan(seed=1, batch=4, length=length)
        parts = [BatchPlan(1, 2, processes=2, process=p, length=length) for p in (0, 1)]
        for step in (0, 1, 8, 9, 30):
            assert [*parts[0].indices(step), *parts[1].indices(step)] == whole.indices(step)


def test_endless_sources_are_counted_through() -> None:
    plan = BatchPlan(seed=1, batch=3)
    assert [plan.indices(step) for step in range(2)] == [[0, 1, 2], [3, 4, 5]]
    assert plan.steps_per_epoch() is None


def test_every_epoch_takes_each_sample_at_most_once_in_another_order() -> None:
    plan = BatchPlan(seed=1, batch=4, length=10)
    assert plan.steps_per_epoch() == 2  # the incomplete last batch is dropped
    epochs = []
    for epoch in range(3):
        taken = [i for step in (0, 1) for i in plan.indices(2 * epoch + step)]
        assert all(i // 10 == epoch for i in taken)  # visits are counted
        epochs.append([i % 10 for i in taken])
        assert len(set(taken)) == 8
    assert epochs[0] != epochs[1] != epochs[2]


def test_too_little_data_is_named() -> None:
    with pytest.raises(ValueError, match="3 samples, a step takes 2 for each of 2 processes"):
        BatchPlan(seed=1, batch=2, processes=2, length=3).steps_per_epoch()


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_may_begin_anywhere(workers: int) -> None:
    plan = BatchPlan(seed=1, batch=2)
    found = [batch.samples for batch in batches(Squares(), plan, 2, 5, workers)]
    assert found == [[16, 25], [36, 49], [64, 81]]


def test_seeds_belong_to_their_place() -> None:
    def draw(*path: int) -> float:
        return float(torch.rand((), generator=seeded(*path)))

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(2, 1), draw(1), draw(1, 2, 0), draw(3)}) == 5
