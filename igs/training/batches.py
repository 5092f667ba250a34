"""Which sample is learned from when: a plan that depends on the seed and the step alone.

Neither the number of worker processes nor an interruption changes what a step sees.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class SampleSource(Protocol[T_co]):
    """Anything that makes the sample of an index, the same one on every call.

    A source with an end has `__len__`, and takes indices beyond it as further visits of the
    sample ``index % len``, which may show other views of it.
    """

    def sample(self, index: int) -> T_co:
        """The sample of an index from 0."""
        ...


def seeded(seed: int, *path: int) -> torch.Generator:
    """A CPU generator that belongs to a seed and a place in the run, such as a sample's index."""
    words = np.random.SeedSequence([seed, len(path), *path]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def seed_everything(seed: int) -> None:
    """Global random states, for code that is not ours and draws from them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class BatchPlan:
    """Sample indices of every step.

    Attributes:
        seed: of the order in which a source with an end is gone through.
        batch: samples per process and step.
        processes: how many share a step.
        process: which of them this is.
        length: of the source; None without end.
    """

    seed: int
    batch: int
    processes: int = 1
    process: int = 0
    length: int | None = None

    def steps_per_epoch(self) -> int | None:
        """Whole steps in one pass over the source, or None without end.

        Raises:
            ValueError: the source has fewer samples than one step takes.
        """
        if self.length is None:
            return None
        steps = self.length // (self.batch * self.processes)
        if steps == 0:
            raise ValueError(
                f"the data has {self.length} samples, a step takes {self.batch} for each of "
                f"{self.processes} processes; make batch smaller"
            )
        return steps

    def indices(self, step: int) -> list[int]:
        """Samples of this process in a step counted from 0 over all epochs."""
        steps = self.steps_per_epoch()
        if steps is None:
            first = (step * self.processes + self.process) * self.batch
            return list(range(first, first + self.batch))
        assert self.length is not None
        epoch, inner = divmod(step, steps)
        order = torch.randperm(self.length, generator=seeded(self.seed, epoch)).tolist()
        first = (inner * self.processes + self.process) * self.batch
        return [epoch * self.length + i for i in order[first : first + self.batch]]


@dataclass(frozen=True)
class Batch(Generic[T]):
    """What one process learns from in one step.

    Attributes:
        indices: of the samples in their source.
        samples: as many.
    """

    indices: list[int]
    samples: list[T]

    @staticmethod
    def of(source: SampleSource[T], indices: list[int]) -> Batch[T]:
        """The samples of some indices."""
        return Batch(indices, [source.sample(index) for index in indices])


class _Batches(Dataset, Generic[T]):
    def __init__(self, source: SampleSource[T]) -> None:
        self.source = source

    def __getitem__(self, indices: list[int]) -> Batch[T]:
        return Batch.of(self.source, indices)


class _Steps(Sampler):
    def __init__(self, plan: BatchPlan, first: int, last: int) -> None:
        self.plan, self.first, self.last = plan, first, last

    def __iter__(self) -> Iterator[list[int]]:
        return (self.plan.indices(step) for step in range(self.first, self.last))

    def __len__(self) -> int:
        return self.last - self.first


def batches(
    source: SampleSource[T], plan: BatchPlan, first: int, last: int, workers: int = 0
) -> Iterator[Batch[T]]:
    """The samples of steps `first` to `last` (without the latter), in order.

    Args:
        source: where samples come from; must be picklable if `workers` is not 0.
        plan: which samples.
        first: step to begin with.
        last: step to stop before.
        workers: processes that make samples ahead; 0 makes them here, when asked.
    """
    loader = DataLoader(
        _Batches(source),
        sampler=_Steps(plan, first, last),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_they_are,
        # A forked process would inherit thread pools that no longer run.
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=False,
    )
    return iter(loader)


def _as_they_are(batch: Any) -> Any:
    return batch
