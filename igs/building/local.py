"""The local engine: one process per GPU, or per group of CPU cores.

Not a pool of the standard library: there, one killed worker breaks the whole pool, and all workers
share one environment, while here each has its GPU and its number of threads before torch is loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from igs.building.engine import DriverGone, Report
from igs.building.plan import FrameTask
from igs.config.building import WorkersConfig

_STOP_SECONDS = 5.0
_MOST_FALSE_STARTS = 2


@dataclass
class _Slot:
    """Place of one worker, whose process is replaced when it dies."""

    number: int
    environment: Mapping[str, str]
    process: BaseProcess | None = None
    connection: Connection | None = None
    task: FrameTask | None = None
    ready: bool = False
    false_starts: int = 0

    @property
    def name(self) -> str:
        gpu = self.environment.get("CUDA_VISIBLE_DEVICES")
        pid = self.process.pid if self.process is not None else None
        return f"worker {self.number} (pid {pid}{f', GPU {gpu}' if gpu else ''})"


@dataclass
class LocalEngine:
    """Spawned processes on this machine.

    Args:
        config: device, number and threads of the workers.

    Raises:
        ValueError: `cuda` is wanted and there is no GPU.
    """

    config: WorkersConfig
    _slots: list[_Slot] = field(init=False)

    def __post_init__(self) -> None:
        gpus = visible_gpus(self.config.device)
        self.threads = self.config.num_threads(len(gpus))
        count = self.config.count or len(gpus) or max(1, (os.cpu_count() or 1) // self.threads)
        self._slots = []
        for number in range(count):
            # Idle threads shall sleep: workers side by side want the cores.
            environment = {
                "OMP_NUM_THREADS": str(self.threads),
                "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
            }
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            self._slots.append(_Slot(number, environment))

    @property
    def slots(self) -> int:
        """Number of workers."""
        return len(self._slots)

    def start(self, task: FrameTask) -> None:
        """See `Engine.start`."""
        slot = next(slot for slot in self._slots if slot.task is None)
        if slot.process is None:
            self._spawn(slot)
        slot.task = task
        assert slot.connection is not None
        with suppress(OSError):  # it has just died; poll sees that and reports the task lost
            slot.connection.send(task)

    def poll(self, seconds: float) -> list[Report]:
        """See `Engine.poll`."""
        watched: dict[object, _Slot] = {}
        for slot in self._slots:
            if slot.process is not None and slot.connection is not None:
                watched[slot.connection] = watched[slot.process.sentinel] = slot
        reports: list[Report] = []
        ready = wait(list(watched), seconds)  # type: ignore[arg-type]
        for slot in {watched[item].number: watched[item] for item in ready}.values():
            # What a worker said before it died comes first: it may be that it was done.
            reports += self._heard(slot)
            if slot.process is not None and not slot.process.is_alive():
                reports += self._heard(slot)
                reports += self._buried(slot)
        return reports

    def close(self) -> None:
        """See `Engine.close`."""
        for slot in self._slots:
            if slot.process is None or slot.connection is None:
                continue
            if slot.task is None:
                with suppress(OSError):
                    slot.connection.send(None)
            else:
                slot.process.terminate()
        for slot in self._slots:
            if slot.process is None or slot.connection is None:
                continue
            slot.process.join(_STOP_SECONDS)
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()
            slot.connection.close()
            slot.process = slot.connection = slot.task = None

    def _spawn(self, slot: _Slot) -> None:
        # The same everywhere, and safe beside threads and an initialised GPU.
        context = multiprocessing.get_context("spawn")
        slot.connection, other = context.Pipe()
        slot.process = context.Process(
            target=serve, args=(other, self.threads), name=f"igs-build-{slot.number}", daemon=True
        )
        with environment(slot.environment):
            slot.process.start()
        other.close()
        slot.ready = False

    def _heard(self, slot: _Slot) -> list[Report]:
        """Everything that waits in a worker's pipe."""
        reports: list[Report] = []
        assert slot.connection is not None
        with suppress(EOFError, OSError):
            while slot.connection.poll():
                kind, content = slot.connection.recv()
                if kind == "ready":
                    slot.ready, slot.false_starts = True, 0
                elif kind == "note" and slot.task is not None:
                    reports.append(Report(slot.task, slot.name, note=content))
                elif kind == "outcome" and slot.task is not None:
                    reports.append(Report(slot.task, slot.name, outcome=content))
                    slot.task = None
        return reports

    def _buried(self, slot: _Slot) -> list[Report]:
        """Take a dead worker away; its frame is lost."""
        assert slot.process is not None
        assert slot.connection is not None
        slot.process.join()
        ending, name, task = exit_words(slot.process.exitcode), slot.name, slot.task
        slot.connection.close()
        slot.process = slot.connection = slot.task = None
        slot.false_starts += 0 if slot.ready else 1
        if slot.false_starts >= _MOST_FALSE_STARTS:
            raise RuntimeError(f"{name}: {ending}, before it could begin, for the second time")
        return [] if task is None else [Report(task, name, note=ending, lost=True)]


def visible_gpus(device: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES of one worker a GPU may be; empty to work on the CPU.

    Raises:
        ValueError: `cuda` is wanted and there is no GPU.
    """
    if device == "cpu":
        return []
    import torch  # late: a driver of CPU workers needs none

    count = torch.cuda.device_count()
    if count == 0 and device == "cuda":
        raise ValueError("workers.device: cuda, but torch sees no GPU here; give cpu")
    listed = [gpu.strip() for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    listed = [gpu for gpu in listed if gpu]
    return listed[:count] if listed else [str(number) for number in range(count)]


def exit_words(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    often = "; often the system's answer to a lack of memory" if name == "SIGKILL" else ""
    return f"the worker was ended by {name}{often}"


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables while the block runs, so that processes begun in it have them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(connection: Connection, threads: int) -> None:
    """A worker's life: build what comes down the pipe until None or the driver's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends the workers
    import torch

    from igs.building.frame import attempt_frame

    torch.set_num_threads(threads)

    def tell(note: str) -> None:
        try:
            connection.send(("note", note))
        except OSError as error:
            raise DriverGone from error

    with suppress(EOFError, OSError, DriverGone):
        connection.send(("ready", None))
        while (task := connection.recv()) is not None:
            connection.send(("outcome", attempt_frame(task, tell)))
