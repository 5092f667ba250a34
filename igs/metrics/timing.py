"""Seconds by stage, with the device's queue emptied at both ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def synchronize(device: torch.device | str) -> None:
    """Wait until a device has done all that was asked of it; nothing to do on the CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


class StageTimer:
    """Adds up wall-clock seconds by stage.

    Stages may nest; the inner one's time then counts in both. The same name may come again.

    Args:
        device: wait for this device at the start and the end of every stage; None for no wait.

    >>> timer = StageTimer("cpu")
    >>> with timer.stage("load"):
    ...     pass
    >>> sorted(timer.seconds)
    ['load']
    """

    def __init__(self, device: torch.device | str | None = None) -> None:
        self._device = device
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; a block that fails counts as well."""
        self._wait()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._wait()
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, in the order of their first use; a copy."""
        return dict(self._seconds)

    def take(self) -> dict[str, float]:
        """`seconds`, and start again from nothing: what one frame took."""
        taken, self._seconds = self._seconds, {}
        return taken

    def _wait(self) -> None:
        if self._device is not None:
            synchronize(self._device)
