"""An engine that builds in this very process."""

from __future__ import annotations

from collections import deque

from igs.building.engine import Report
from igs.building.frame import attempt_frame
from igs.building.plan import FrameTask


class InlineEngine:
    """One frame at a time, here; remembers what it was given."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.started: list[FrameTask] = []
        self.closed = False
        self._waiting: deque[FrameTask] = deque()

    def start(self, task: FrameTask) -> None:
        self.started.append(task)
        self._waiting.append(task)

    def poll(self, seconds: float) -> list[Report]:
        task, notes = self._waiting.popleft(), []
        outcome = attempt_frame(task, notes.append)
        told = [Report(task, "inline", note=note) for note in notes]
        return [*told, Report(task, "inline", outcome=outcome)]

    def close(self) -> None:
        self.closed = True
