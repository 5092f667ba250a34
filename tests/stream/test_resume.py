"""Runs that are cut off and taken up, and what a new run does to an old one's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from igs.cli import main
from igs.config import ConfigError, load_config
from igs.config.schema import RunConfig
from igs.stream import MultiViewEngine, StreamSession

from .conftest import ToySource, configured, toy_gaussians, without_times


class KilledError(Exception):
    """Stands for a killed process."""


def killer(stage: str, done: int) -> Any:
    def stop(progress: Any) -> None:
        if progress.stage == stage and progress.done == done:
            raise KilledError

    return stop


def cut(config: RunConfig, stage: str = "stream", done: int = 6) -> None:
    with pytest.raises(KilledError):
        StreamSession(config, progress=killer(stage, done)).run()


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def files_of(folder: Path) -> dict[str, bytes]:
    """Gaussians, motions and images; the state's metadata comes in any order."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".ply", ".png") or path.name.endswith(".motion.safetensors")
    }


@pytest.mark.parametrize("done", [1, 3, 6, 8])
def test_a_run_that_was_cut_is_taken_up_to_the_same_files(
    finished: Path, toy_capture: Path, tmp_path: Path, done: int
) -> None:
    output = tmp_path / "cut"
    cut(configured(toy_capture, output), done=done)
    assert not (output / "results.json").exists()
    StreamSession(configured(toy_capture, output), resume=True).run()
    assert without_times(read(output)) == without_times(read(finished))
    assert files_of(output) == files_of(finished)


def test_a_cut_right_behind_the_state_loses_no_frame(
    finished: Path, toy_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "cut"
    save = MultiViewEngine.save

    def save_and_die(engine: MultiViewEngine, path: Path) -> None:
        save(engine, path)
        if engine.key_index == 3:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(MultiViewEngine, "save", save_and_die)
        with pytest.raises(KilledError):
            StreamSession(configured(toy_capture, output)).run()
    StreamSession(configured(toy_capture, output), resume=True).run()
    assert without_times(read(output)) == without_times(read(finished))


def test_resuming_a_finished_run_changes_no_figure(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished, output)
    tree = read(output)
    (output / "frame0.json").write_text('{"seconds": 123.0}')
    record = json.loads((output / "records" / "000004.json").read_text())
    record["peak_memory_mb"] = 1e6
    (output / "records" / "000004.json").write_text(json.dumps(record))
    StreamSession(configured(toy_capture, output), resume=True).run()
    again = read(output)
    assert without_times(again) == without_times(tree)
    for key in ("total_time", "per_frame_times", "mask_num", "points_num"):
        assert again[key] == tree[key]
    # What the first process spent and took counts, not what reading it back does.
    assert again["summary"]["seconds_by_stage"]["frame0"] == 123.0
    assert again["summary"]["peak_memory_mb"] == 1e6


def test_a_run_cut_during_frame_0_optimises_it_anew(toy_capture: Path, tmp_path: Path) -> None:
    words = [
        "frame0.mode=optimise",
        "frame0.ply=null",
        "frame0.iterations=12",
        "frame0.init.mode=random",
        "frame0.init.max_points=60",
        "frame0.sh_degree=0",
        "data.num_frames=2",
        "write.videos=false",
    ]
    config = configured(toy_capture, tmp_path / "cut", *words)
    cut(config, "frame0", 5)
    assert not (tmp_path / "cut" / "frame0.ply").exists()
    StreamSession(config, resume=True).run()
    StreamSession(configured(toy_capture, tmp_path / "whole", *words)).run()
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_nothing_stale_of_later_frames_survives(toy_capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    config = configured(toy_capture, output, "data.num_frames=4", "write.videos=false")
    StreamSession(config).run()
    shutil.copy(output / "records" / "000003.json", output / "records" / "000011.json")
    shutil.copy(output / "gaussians" / "000003.ply", output / "gaussians" / "000011.ply")
    (output / "gaussians" / ".000002.ply.77.part").write_bytes(b"half")
    result = StreamSession(config, resume=True).run()
    assert result["summary"]["num_frames"] == 4
    assert sorted(p.name for p in (output / "gaussians").iterdir()) == ["000000.ply", "000003.ply"]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("refine.iterations=5", r"refine\.iterations=4, not 5"),
        ("data.num_frames=7", r"data\.num_frames=None, not 7"),
        ("write.every_ply=true", r"write\.every_ply"),
        ("free_view.turns=1", r"free_view\.turns"),
    ],
)
def test_other_settings_are_refused_before_anything_is_written(
    finished: Path, toy_capture: Path, tmp_path: Path, word: str, named: str
) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished, output)
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*")}
    with pytest.raises(ConfigError, match=named):
        StreamSession(configured(toy_capture, output, word), resume=True).run()
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*")} == before


def test_a_run_may_move_and_use_other_threads(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "moved"
    shutil.copytree(finished, output)
    shutil.copytree(toy_capture, tmp_path / "capture")
    words = ["data.prefetch=0", "data.decode_threads=2", "write.videos=false"]
    config = configured(tmp_path / "capture", output, *words)
    assert StreamSession(config, resume=True).run()["summary"]["num_frames"] == 8


def test_a_missing_record_is_named(finished: Path, toy_capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished, output)
    (output / "records" / "000002.json").unlink()
    with pytest.raises(ValueError, match=r"000002\.json: missing"):
        StreamSession(configured(toy_capture, output), resume=True).run()


def test_resume_by_command_line(
    finished: Path, toy_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "cut"
    config = configured(toy_capture, output)
    cut(config, done=5)
    path = tmp_path / "run.yaml"
    shutil.copy(output / "experiment_config.yaml", path)  # "a config again"
    assert load_config(RunConfig, path) == config
    words = ["stream", f"data.root={toy_capture}", "--resume", "--config", str(path), "threads=1"]
    assert main(words) == 0
    assert str(output / "results.json") in capsys.readouterr().out
    assert without_times(read(output)) == without_times(read(finished))
    assert main([*words, "seed=5"]) == 2
    assert "seed=0, not 5" in capsys.readouterr().err


def test_resume_where_no_run_is_starts_one(toy_capture: Path, tmp_path: Path) -> None:
    config = configured(toy_capture, tmp_path / "new", "data.num_frames=2", "write.videos=false")
    assert StreamSession(config, resume=True).run()["summary"]["num_frames"] == 2


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_left_alone(
    toy_capture: Path, tmp_path: Path, resume: bool
) -> None:
    shutil.copytree(toy_capture, tmp_path / "capture")
    config = configured(tmp_path / "capture", tmp_path / "capture", "data.num_frames=2")
    with pytest.raises(ValueError, match=r"capture: holds files, but no run"):
        StreamSession(config, resume=resume).run()
    assert not (tmp_path / "capture.previous").exists()
    assert (tmp_path / "capture" / "cameras.json").is_file()


def test_something_else_in_the_way_of_the_earlier_run_is_left_alone(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run.previous").mkdir()
    (tmp_path / "run.previous" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"run\.previous: holds files, but no run"):
        StreamSession(configured(toy_capture, tmp_path / "run")).run()
    assert (tmp_path / "run" / "results.json").is_file()
    assert (tmp_path / "run.previous" / "thesis.tex").is_file()


def test_a_run_that_fails_at_once_does_not_cost_the_finished_one(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished, output)
    init = ("frame0.mode=optimise", "frame0.init.mode=points", "frame0.init.files=[gone.ply]")
    for _ in range(3):
        with pytest.raises(OSError, match=r"gone\.ply"):
            StreamSession(configured(toy_capture, output, *init)).run()
    assert (tmp_path / "run.previous" / "results.json").is_file()


def test_a_new_run_can_start_from_the_gaussians_of_the_one_it_replaces(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(finished, output)
    ply = output / "gaussians" / "000007.ply"
    words = (f"frame0.ply={ply}", "data.num_frames=2", "write.videos=false")
    StreamSession(configured(toy_capture, output, *words)).run()
    assert (output / "frame0.ply").read_bytes() == (
        finished / "gaussians" / "000007.ply"
    ).read_bytes()


def test_a_state_from_the_end_of_a_shorter_source_is_refused(
    toy_config: RunConfig, tmp_path: Path
) -> None:
    engine = MultiViewEngine(toy_config, toy_gaussians())
    assert [f.index for f in engine.run(ToySource(5))][-1] == 4
    engine.save(tmp_path / "state")
    resumed = MultiViewEngine(toy_config, None)
    resumed.resume(tmp_path / "state")
    with pytest.raises(ValueError, match="frame 4, behind which"):
        next(resumed.run(ToySource(9)))
