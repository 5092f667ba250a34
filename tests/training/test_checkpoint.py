"""Checkpoints: whole or not there, the latest found, random states and all."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.training.checkpoint import (
    MODEL,
    STATE,
    drop_old_epochs,
    latest_checkpoint,
    moment_name,
    random_states,
    restore_random_states,
    write_checkpoint,
)


def write(output: Path, name: str, step: int, text: str = "weights") -> None:
    def save(path: Path) -> None:
        path.write_text(text)

    write_checkpoint(output, name, step, save, {"a": [1]})


def test_the_latest_is_found_and_moments_give_way(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None
    (tmp_path / ".step_00000002.part").mkdir(parents=True)  # killed while writing
    write(tmp_path, moment_name(3), 3)
    write(tmp_path, moment_name(5), 5)
    assert [f.name for f in tmp_path.iterdir()] == [moment_name(5)]
    write(tmp_path, "0", 8)
    assert [f.name for f in tmp_path.iterdir()] == ["0"]
    write(tmp_path, "10", 88)
    write(tmp_path, moment_name(90), 90)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.folder.name, found.state()["a"]) == (90, moment_name(90), [1])
    drop_old_epochs(tmp_path, 1)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["10", moment_name(90)]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, "0", 8, "good")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, "0", 8, fail, {})
    assert (tmp_path / "0" / MODEL).read_text() == "good"
    assert [f.name for f in tmp_path.iterdir()] == ["0"]


def test_damage_is_named(tmp_path: Path) -> None:
    write(tmp_path, "0", 8)
    state = tmp_path / "0" / STATE
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"0/state\.pt: damaged"):
        latest_checkpoint(tmp_path)
    torch.save({"something": 1}, state)
    with pytest.raises(ValueError, match="not a training state"):
        latest_checkpoint(tmp_path)


def test_random_states_come_back_from_disk(tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [
            random.random(),
            float(np.random.rand()),
            float(np.random.randn()),
            *torch.rand(3).tolist(),
        ]

    np.random.randn()  # leaves half of a pair behind, which is part of the state
    write_checkpoint(tmp_path, "0", 1, lambda p: Path(p).touch(), {"random": random_states()})
    expected = draws()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    restore_random_states(found.state()["random"])
    assert draws() == expected
