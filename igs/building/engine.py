"""What the driver asks of an engine: start frames, report what becomes of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from igs.building.plan import FrameTask


@dataclass(frozen=True)
class Worker:
    """Who builds: the machine, the process and what it computes on."""

    host: str
    pid: int
    device: str

    @classmethod
    def here(cls, device: str) -> Worker:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), device)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid} ({self.device})"


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a frame ended.

    Attributes:
        kind: `built`, `present` (another has built it in the meantime) or `failed`.
        worker: who did it.
        seconds: it took.
        bytes: of the frame's folder; 0 after a failure.
        error: the traceback's last line; empty without failure.
    """

    kind: str
    worker: Worker
    seconds: float
    bytes: int = 0
    error: str = ""


class DriverGone(BaseException):
    """Raised by `tell` where nobody listens any more; ends a worker, and is no failed attempt."""


@dataclass(frozen=True)
class Report:
    """News of a frame.

    Attributes:
        task: the frame.
        worker: who has it, as words.
        note: how far it is, or how its worker was lost.
        outcome: how the attempt ended; None while it runs or where its worker was lost.
        lost: the worker died or vanished.
    """

    task: FrameTask
    worker: str
    note: str = ""
    outcome: Outcome | None = None
    lost: bool = False


class Engine(Protocol):
    """Runs `igs.building.frame.attempt_frame` somewhere."""

    @property
    def slots(self) -> int:
        """How many frames can be built at once; at least 1, and may change while running."""
        ...

    def start(self, task: FrameTask) -> None:
        """Begin a frame; called only while fewer than `slots` are running.

        Raises:
            RuntimeError: workers cannot be started.
        """
        ...

    def poll(self, seconds: float) -> Sequence[Report]:
        """News, at once or after so many seconds at most.

        Raises:
            RuntimeError: workers cannot be started.
        """
        ...

    def close(self) -> None:
        """End all workers; what they were at is left as it stands."""
        ...
