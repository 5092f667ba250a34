"""One frame: whole or not there, built once, and taken up where a worker died."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from small_data import CAMERAS, small_config

from igs.building import frame as module
from igs.building.engine import DriverGone
from igs.building.frame import attempt_frame, folder_bytes
from igs.building.log import read_events
from igs.building.plan import RECEIPT, FrameTask, read_receipt
from igs.frame0.outputs_arguments import read_cfg_args
from igs.scene import SceneError, read_rig


def task_for(source: Path, output: Path, **changes) -> FrameTask:
    return FrameTask(replace(small_config(source, output), **changes), "a", 0)


def ply_of(task: FrameTask) -> bytes:
    return task.model.find_ply("10_compress").read_bytes()


def test_a_frame_becomes_a_folder_that_other_programs_read(source: Path, tmp_path: Path) -> None:
    task = task_for(source, tmp_path)
    outcome = attempt_frame(task)
    assert outcome.kind == "built", outcome.error
    assert outcome.bytes == folder_bytes(task.model.path)
    assert task.model.iterations() == ["8", "10_compress"]
    train = task.model.path / "train" / "ours_10_compress"
    for kind in ("renders", "gt", "depth_expected_mm"):
        assert len(list((train / kind).iterdir())) == CAMERAS
    receipt = read_receipt(task.model)
    assert receipt is not None
    assert receipt["gaussians"] > 0
    # Nothing tells of the folder that it was made in.
    assert read_cfg_args(task.model.path / "cfg_args")["model_path"] == str(task.model.path)
    assert str(task.model.path) in (task.model.path / "config.yaml").read_text()
    assert not task.work.exists()


def test_only_what_is_wanted_is_kept_under_the_name_that_is_wanted(
    source: Path, tmp_path: Path
) -> None:
    task = task_for(source, tmp_path, extras=[], iteration="10000_compress", held_out=["c2"])
    assert attempt_frame(task).kind == "built"
    assert task.model.iterations() == ["10000_compress"]
    train = task.model.path / "train" / "ours_10000_compress"
    assert {p.name for p in train.iterdir()} == {"gt", "depth_expected_mm", "views.json"}
    # Image i is of camera i, also where a camera is held out.
    names = json.loads((train / "views.json").read_text())["names"]
    assert names == list(read_rig(task.model.cameras_path).cameras) == ["c0", "c1", "c3", "c4"]
    receipt = read_receipt(task.model)
    assert receipt is not None
    assert receipt["test"]["psnr"] > 0
    assert receipt["iterations"] == "10_compress"


def test_a_killed_worker_costs_no_more_than_since_its_checkpoint(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TELL_SECONDS", 0.0)
    whole, cut = task_for(source, tmp_path / "whole"), task_for(source, tmp_path / "cut")
    assert attempt_frame(whole).kind == "built"

    def die(note: str) -> None:
        if note == "frame0 6/8":
            raise DriverGone

    with pytest.raises(DriverGone):
        attempt_frame(cut, die)
    assert not cut.model.path.exists()
    notes: list[str] = []
    assert attempt_frame(cut, notes.append).kind == "built"
    trained = [note for note in notes if note.startswith("frame0")]
    assert trained == [f"frame0 {i}/8" for i in range(5, 9)]
    assert ply_of(cut) == ply_of(whole)


@pytest.mark.parametrize("dies_at", ["_name_and_render", "_put_in_place"])
def test_a_worker_that_dies_after_training_loses_none_of_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    task = task_for(source, tmp_path)

    def die(*_: object) -> None:
        raise DriverGone

    with monkeypatch.context() as patched:
        patched.setattr(module, dies_at, die)
        with pytest.raises(DriverGone):
            attempt_frame(task)
    monkeypatch.setattr(module, "run_frame0", die)
    assert attempt_frame(task).kind == "built"
    assert read_receipt(task.model) is not None


def test_who_comes_second_finds_it_done_or_waits_in_vain(source: Path, tmp_path: Path) -> None:
    task = task_for(source, tmp_path)
    assert [attempt_frame(task).kind for _ in range(2)] == ["built", "present"]
    assert [e["event"] for e in read_events(tmp_path) if e["event"] != "started"] == [
        "built",
        "present",
    ]
    with FileLock(task.lock):
        task.config.workers.lock_seconds = 0.0
        held = attempt_frame(task)
    assert held.kind == "failed"
    assert "another process" in held.error


def test_an_error_becomes_an_outcome_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    outcome = attempt_frame(task_for(source, tmp_path, held_out=["c9"]))
    assert outcome.kind == "failed"
    assert outcome.error.startswith("igs.scene.errors.SceneError: views: no camera is called 'c9'")
    assert not list(tmp_path.glob("a/.building/*/*"))
    (event,) = [e for e in read_events(tmp_path) if e["event"] == "failed"]
    assert "Traceback" in event["traceback"]


def test_receipts_are_read_with_suspicion(source: Path, tmp_path: Path) -> None:
    task = task_for(source, tmp_path)
    assert read_receipt(task.model) is None
    assert attempt_frame(task).kind == "built"
    ply = task.model.find_ply("10_compress")
    ply.write_bytes(ply.read_bytes()[:-1])
    with pytest.raises(SceneError, match="bytes it was"):
        read_receipt(task.model)
    (task.model.path / RECEIPT).unlink()
    with pytest.raises(SceneError, match="igs build did not make it"):
        read_receipt(task.model)
