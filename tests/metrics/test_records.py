"""Steadiness, timers, memory, bytes, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import math
import time
from pathlib import Path

import pytest
import torch

import igs.metrics.timing
from igs.metrics import (
    StageTimer,
    TemporalStability,
    bytes_written,
    current_memory_mb,
    peak_device_memory_mb,
    peak_memory_mb,
    temporal_stability,
)


def video(frames: int, noise: float, seed: int, base: torch.Tensor | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    still = torch.full((3, 60, 80), 0.5) if base is None else base
    return still + noise * torch.randn(frames, 3, 60, 80, generator=generator)


def test_stability_is_the_formula() -> None:
    rendered, captured = video(4, 0.05, 0), video(4, 0.02, 1)
    metric = TemporalStability()
    values = [metric.update(r, g) for r, g in zip(rendered, captured, strict=True)]
    assert values[0] is None
    change = rendered.diff(dim=0) - captured.diff(dim=0)
    squared = change.square().mean(dim=(1, 2, 3))
    assert values[1:] == pytest.approx((-10 * squared.log10()).tolist(), abs=1e-4)
    assert metric.values == values[1:]
    assert metric.compute() == pytest.approx(-10 * math.log10(squared.mean().item()), abs=1e-4)
    assert values[1] == pytest.approx(
        temporal_stability(rendered[1], rendered[0], captured[1], captured[0])
    )


def test_constant_error_costs_nothing_and_flicker_does() -> None:
    captured = video(5, 0.0, 0) + torch.linspace(0, 0.1, 5)[:, None, None, None]
    biased, flickering = TemporalStability(), TemporalStability()
    for t in range(5):
        biased.update(captured[t] * 1.0 - 0.2, captured[t])
        flickering.update(captured[t] + 0.02 * (-1) ** t, captured[t])
    assert biased.compute() > 100
    assert flickering.compute() == pytest.approx(-20 * math.log10(0.04), abs=0.01)


def test_noise_of_the_capture_is_the_ceiling_that_is_stated() -> None:
    sigma = 0.03
    metric = TemporalStability()
    for captured in video(6, sigma, 2):
        metric.update(torch.full((3, 60, 80), 0.5), captured)
    assert metric.compute() == pytest.approx(-10 * math.log10(2 * sigma**2), abs=0.1)


def test_views_do_not_mix_and_only_one_frame_is_held() -> None:
    metric = TemporalStability()
    for t in range(10):
        for view in ("a", "b"):
            shade = torch.full((3, 8, 8), 0.2 if view == "a" else 0.8)
            value = metric.update(shade, torch.full((3, 8, 8), 0.5), view)
            assert value == (None if t == 0 else math.inf)
    held = [t for t in vars(metric).values() if isinstance(t, dict)]
    assert [len(d) for d in held] == [2]
    with pytest.raises(ValueError, match=r"view 'a': \(3, 8, 9\) follows \(3, 8, 8\)"):
        metric.update(torch.zeros(3, 8, 9), torch.zeros(3, 8, 9), "a")
    with pytest.raises(ValueError, match=r"rendered \(3, 8, 8\) and captured \(3, 8, 9\)"):
        metric.update(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9))
    metric.reset()
    with pytest.raises(ValueError, match="two frames"):
        metric.compute()


def test_timer_adds_up_by_stage() -> None:
    timer = StageTimer("cpu")
    for _ in range(2):
        with timer.stage("refine"), timer.stage("render"):
            time.sleep(0.02)
    timer.add("load", 1.5)
    seconds = timer.seconds
    assert list(seconds) == ["render", "refine", "load"]
    assert 0.04 <= seconds["render"] <= seconds["refine"] < 1
    assert seconds["load"] == 1.5
    assert timer.take() == seconds
    assert timer.seconds == {}


def test_timer_counts_a_stage_that_fails() -> None:
    timer = StageTimer()

    def fail() -> None:
        with timer.stage("refine"):
            time.sleep(0.01)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert timer.seconds["refine"] >= 0.01


def test_timer_waits_for_its_device(monkeypatch) -> None:
    waits = []
    monkeypatch.setattr(igs.metrics.timing.torch.cuda, "synchronize", waits.append)
    with StageTimer("cuda").stage("a"):
        assert waits == ["cuda"]
    assert waits == ["cuda", "cuda"]
    with StageTimer("cpu").stage("a"), StageTimer().stage("b"):
        assert len(waits) == 2


def test_peak_memory_sees_an_allocation() -> None:
    before = peak_memory_mb()
    assert before >= current_memory_mb() * 0.9
    block = torch.ones(int((before - current_memory_mb() + 150) * 1e6 / 4))
    assert peak_memory_mb() > before + 100
    del block
    assert peak_memory_mb() > before + 100
    assert peak_device_memory_mb("cpu") == 0


def test_bytes_are_those_on_disk(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "deep" / "b").write_bytes(b"123")
    assert bytes_written(tmp_path / "a") == 5
    assert bytes_written(tmp_path) == 8
    with pytest.raises(FileNotFoundError):
        bytes_written(tmp_path / "none")


@pytest.mark.parametrize("name", ["image", "stability", "timing"])
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(f"igs.metrics.{name}")
    result = doctest.testmod(module, extraglobs={"torch": torch})
    assert result.attempted > 0
    assert result.failed == 0
