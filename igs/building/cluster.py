"""The cluster engine: the same task function as Ray tasks.

Needs Ray (`pip install 'igs[cluster]'`) here and on every node, igs on every node, and source and
output on a disk that all nodes see under the same path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from igs.building.engine import Outcome, Report
from igs.building.plan import FrameTask
from igs.config.building import WorkersConfig

_MANY_GPUS = "GPU"
_MEGABYTE = 1 << 20
_OBJECT_STORE = 100 * _MEGABYTE  # tasks and outcomes are small; Ray's default is a third of memory


@dataclass
class RayEngine:
    """Frames as Ray tasks, each with its share of CPUs or one GPU.

    Retries are the driver's: Ray's own are off, so that every attempt is counted and told.

    Args:
        config: address, device, number and threads of the workers.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.
    """

    config: WorkersConfig
    _running: dict[Any, FrameTask] = field(init=False, default_factory=dict)
    _ours: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._ray = _import_ray()
        if not self._ray.is_initialized():
            self._ours = True
            self._connect()
        resources = self._ray.cluster_resources()
        self._gpus = self.config.device != "cpu" and resources.get(_MANY_GPUS, 0) >= 1
        if self.config.device == "cuda" and not self._gpus:
            raise ValueError("workers.device: cuda, but the Ray cluster has no GPU; give cpu")
        self.threads = self._threads(resources)
        # One note a frame, kept where all nodes can reach it; takes no CPU of the workers'.
        self._board = self._ray.remote(_Board).options(num_cpus=0, max_restarts=-1).remote()
        self._build = self._ray.remote(run_task).options(
            num_cpus=self.threads,
            num_gpus=1 if self._gpus else 0,
            max_retries=0,
            scheduling_strategy="SPREAD",
        )

    @property
    def slots(self) -> int:
        """How many tasks the cluster as it is now can run side by side."""
        resources = self._ray.cluster_resources()
        fit = int(resources.get("CPU", 0) // self.threads)
        if self._gpus:
            fit = min(fit, int(resources.get(_MANY_GPUS, 0)))
        return max(1, min(fit, self.config.count or fit))

    def start(self, task: FrameTask) -> None:
        """See `Engine.start`."""
        self._running[self._build.remote(task, self.threads, self._board)] = task

    def poll(self, seconds: float) -> list[Report]:
        """See `Engine.poll`."""
        if not self._running:
            return []
        waiting = list(self._running)
        ended, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        if ended:  # whatever else has ended by now comes along
            ended, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        notes = self._notes()
        reports = [self._ended(ref, notes) for ref in ended]
        for task in self._running.values():
            if task.key in notes:
                worker, note = notes[task.key]
                reports.append(Report(task, worker, note=note))
        return reports

    def close(self) -> None:
        """See `Engine.close`."""
        for ref in self._running:
            self._ray.cancel(ref, force=True)
        self._running.clear()
        self._ray.kill(self._board)
        if self._ours:
            self._ray.shutdown()

    def _connect(self) -> None:
        address = self.config.address or os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address, "log_to_driver": False}
        if address is None:
            options |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE,
                "num_cpus": os.cpu_count() or 1,
            }
        try:
            self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ValueError(f"workers.address: no Ray cluster at {address} ({error})") from error

    def _threads(self, resources: dict[str, float]) -> int:
        if self.config.threads is not None:
            return self.config.threads
        cores = int(resources.get("CPU", 1))
        if self._gpus:
            return max(1, cores // int(resources[_MANY_GPUS]))
        return max(1, min(self.config.num_threads(), cores))

    def _ended(self, ref: Any, notes: dict[tuple[str, int], tuple[str, str]]) -> Report:
        task = self._running.pop(ref)
        try:
            outcome: Outcome = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            worker = notes.get(task.key, ("a Ray worker", ""))[0]
            words = " ".join(str(error).split(".")[0].split())
            return Report(task, worker, f"{type(error).__name__}: {words}", lost=True)
        return Report(task, str(outcome.worker), outcome=outcome)

    def _notes(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Frame to worker and note; nothing while the board is being restarted."""
        try:
            return self._ray.get(self._board.read.remote(), timeout=5.0)
        except self._ray.exceptions.RayError:
            return {}


class _Board:
    """Where workers put a note on how far they are; an actor, once Ray has wrapped it."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, int], tuple[str, str]] = {}

    def put(self, key: tuple[str, int], worker: str, note: str) -> None:
        """Take a note."""
        self._notes[key] = (worker, note)

    def read(self) -> dict[tuple[str, int], tuple[str, str]]:
        """All notes."""
        return self._notes


def run_task(task: FrameTask, threads: int, board: Any) -> Outcome:
    """`attempt_frame` on a Ray worker."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch  # late: it reads the line above when it is loaded

    from igs.building.engine import Worker
    from igs.building.frame import attempt_frame

    torch.set_num_threads(threads)
    worker = str(Worker.here("ray"))

    def tell(note: str) -> None:
        board.put.remote(task.key, worker, note)

    tell("begins")
    return attempt_frame(task, tell)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked for anything to be sent
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            f"workers.engine: ray is not installed: pip install 'igs[cluster]' ({error})"
        ) from None
    return ray
