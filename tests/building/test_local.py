"""Real worker processes: each with its environment, and one killed in the middle."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from small_data import small_config

from igs.building.local import LocalEngine, environment, exit_words
from igs.building.log import read_events
from igs.building.run import BuildProgress, build_3dgs_dataset
from igs.config.building import WorkersConfig


class KillOne:
    """Progress that ends the first worker seen in the middle of a frame."""

    def __init__(self) -> None:
        self.killed: int | None = None

    def __call__(self, progress: BuildProgress) -> None:
        for line in progress.running:
            pid = re.search(r"frame0 .*(?:pid |:)(\d+)", line)
            if pid and self.killed is None:
                self.killed = int(pid[1])
                os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_frame_built(source: Path, tmp_path: Path) -> None:
    config = small_config(source, tmp_path, iterations=120)
    config.checkpoint_interval, config.scenes = 20, ["a"]
    kill = KillOne()
    result = build_3dgs_dataset(config, progress=kill)
    assert (result.built, result.failures) == (3, ())
    events = list(read_events(tmp_path))
    built = Counter((e["scene"], e["frame"]) for e in events if e["event"] == "built")
    assert set(built.values()) == {1}
    assert len(built) == 3
    (lost,) = [e for e in events if e["event"] == "lost"]
    assert f"pid {kill.killed}" in lost["worker"]
    assert "SIGKILL" in lost["error"]
    starters = {e["worker"]["pid"] for e in events if e["event"] == "started"}
    assert kill.killed in starters
    assert os.getpid() not in starters
    assert 2 <= len(starters) <= 3


def test_a_worker_that_cannot_begin_is_told_once_and_for_all(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when a library is missing: the child ends before it says that it is ready.
    monkeypatch.setattr("igs.building.local.serve", os.abort)
    with pytest.raises(RuntimeError, match="before it could begin, for the second time"):
        build_3dgs_dataset(small_config(source, tmp_path))


def test_workers_share_out_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    cpu = WorkersConfig(device="cpu")
    assert (LocalEngine(cpu).slots, LocalEngine(cpu).threads) == (4, 4)
    cpu.count = 8
    assert (LocalEngine(cpu).slots, LocalEngine(cpu).threads) == (8, 2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    gpu = LocalEngine(WorkersConfig())
    assert (gpu.slots, gpu.threads) == (2, 8)
    devices = [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in gpu._slots]
    assert devices == ["3", "5"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ValueError, match="sees no GPU"):
        LocalEngine(WorkersConfig(device="cuda"))


def test_the_environment_is_lent_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with environment({"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1"}):
        assert os.environ["OMP_NUM_THREADS"] == "2"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_endings_in_words() -> None:
    assert "SIGKILL" in exit_words(-9)
    assert "memory" in exit_words(-9)
    assert exit_words(3) == "the worker ended with exit code 3"
