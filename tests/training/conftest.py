"""One thread, and an accelerator that each test may set up anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

sys.path.insert(0, str(Path(__file__).parent))  # toys.py also serves processes of its own


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def fresh_accelerator() -> Callable[[], None]:
    """Forgets the settings of the process's accelerator, of which there is only one."""

    def forget() -> None:
        AcceleratorState._reset_state()
        PartialState._reset_state()

    return forget


@pytest.fixture(autouse=True)
def _own_accelerator(fresh_accelerator: Callable[[], None]) -> Iterator[None]:
    yield
    fresh_accelerator()
