"""A GPU that is full ends a command with one line that says what to lower."""

from __future__ import annotations

import pytest
import torch

import igs.cli.stream
from igs import cli

_SAID = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of "
    "which 1.10 GiB is free. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr(igs.cli.stream, "run", run)


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(torch.cuda.OutOfMemoryError(_SAID), monkeypatch)
    assert cli.main(["stream", "--config", "configs/demo.yaml"]) == cli.EXIT_ERROR
    said = capsys.readouterr().err
    assert said.startswith("igs: error: the GPU is out of memory: lower refine.densify.max_num")
    assert "Tried to allocate 2.00 GiB" in said
    assert "fragmentation" not in said
    assert said.count("\n") == 1


def test_every_verb_named_there_exists() -> None:
    assert set(cli._LOWER) <= set(cli.VERBS)


def test_with_debug_the_trace_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(torch.cuda.OutOfMemoryError(_SAID), monkeypatch)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        cli.main(["--debug", "stream", "--config", "configs/demo.yaml"])


def test_other_errors_at_run_time_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(RuntimeError("a fault of ours"), monkeypatch)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main(["stream", "--config", "configs/demo.yaml"])
