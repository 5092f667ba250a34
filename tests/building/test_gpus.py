"""Several GPUs: each worker is born with one of them, and sees no other."""

from __future__ import annotations

import multiprocessing
import os
from types import SimpleNamespace
from typing import Any

import pytest

from igs.building.local import LocalEngine
from igs.config.building import WorkersConfig


class FakeContext:
    """Starts no process; remembers the environment that it would have been born with."""

    def __init__(self) -> None:
        self.born: list[dict[str, str | None]] = []

    def Pipe(self) -> tuple[Any, Any]:  # noqa: N802 - the standard library's name
        end = SimpleNamespace(close=lambda: None, send=lambda _: None)
        return end, end

    def Process(self, **_: Any) -> Any:  # noqa: N802
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")

        def start() -> None:
            self.born.append({name: os.environ.get(name) for name in names})

        return SimpleNamespace(start=start, pid=1)


def births(monkeypatch: pytest.MonkeyPatch, config: WorkersConfig) -> list[dict[str, str | None]]:
    context = FakeContext()
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    engine = LocalEngine(config)
    for slot in engine._slots:
        engine._spawn(slot)
    return context.born


def seen(born: list[dict[str, str | None]]) -> list[str | None]:
    return [environment["CUDA_VISIBLE_DEVICES"] for environment in born]


def test_one_worker_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    born = births(monkeypatch, WorkersConfig(device="cuda"))
    assert seen(born) == ["0", "1", "2"]
    assert {environment["OMP_NUM_THREADS"] for environment in born} == {"4"}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_the_callers_choice_of_gpus_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a, 5")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    config = WorkersConfig(device="cuda", count=5)
    assert seen(births(monkeypatch, config)) == ["GPU-8a", "5", "GPU-8a", "5", "GPU-8a"]


def test_workers_on_the_cpu_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert set(seen(births(monkeypatch, WorkersConfig(device="cpu")))) == {None}
