"""The driver: work lists, attempts, failures, estimates, and a data set that training reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from inline_engine import InlineEngine
from small_data import small_config

from igs.building import run as module
from igs.building.frame import saved_iteration
from igs.building.plan import FrameTask, make_plan
from igs.building.run import BuildProgress, build_3dgs_dataset
from igs.cli import main
from igs.config.building import BuildConfig, check_build
from igs.config.load import ConfigError, load_config, to_yaml
from igs.config.resources import config_path
from igs.scene import SceneError, SceneFolder, read_pairs
from igs.training.igs_data import IgsData, IgsDataConfig


def frames_of(engine: InlineEngine) -> list[tuple[str, int]]:
    return [task.key for task in engine.started]


def test_all_frames_of_all_scenes_become_a_training_set(
    source: Path, tmp_path: Path, engine: InlineEngine
) -> None:
    told: list[BuildProgress] = []
    config = small_config(source, tmp_path)
    config.pairs.validation = ["b"]
    result = build_3dgs_dataset(config, engine=engine, progress=told.append)
    assert (result.built, result.present, result.failures, result.left) == (5, 0, (), 0)
    assert frames_of(engine) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    assert engine.closed
    assert [p.done for p in told] == [1, 2, 3, 4, 5]
    assert told[0].estimate is not None
    assert told[0].estimate.frames == 4
    assert not list(tmp_path.glob("*/.building"))
    assert not (tmp_path / "failures.json").exists()
    pairs = read_pairs(tmp_path / "N3D_train_gap_10.json")
    assert len(pairs.train) == 6
    assert len(pairs.val) == 2
    groups = SceneFolder(tmp_path, "a").groups()
    assert sorted(v for group in groups for v in group) == [0, 1, 2, 3, 4]
    settings = IgsDataConfig(
        str(tmp_path), iteration="10_compress", input_size=32, further_views=1, split="val"
    )
    sample = IgsData(settings).sample(0)
    assert sample.depth.shape == (4, 32, 40)
    assert 2 < float(sample.depth[sample.depth > 0].median()) < 4


def test_what_is_built_is_not_built_again(
    source: Path, tmp_path: Path, engine: InlineEngine
) -> None:
    config = small_config(source, tmp_path)
    config.scenes, config.frames = ["a"], "2"
    assert build_3dgs_dataset(config, engine=engine).built == 2
    with pytest.raises(SceneError, match="2 of 2 frames are built already; --resume"):
        build_3dgs_dataset(config, engine=engine)
    config.frames = None
    again = InlineEngine()
    result = build_3dgs_dataset(config, resume=True, engine=again)
    assert (result.built, result.present) == (1, 2)
    assert frames_of(again) == [("a", 2)]


def test_other_settings_are_told_apart_and_replaced_only_on_request(
    source: Path, tmp_path: Path, engine: InlineEngine
) -> None:
    config = small_config(source, tmp_path)
    config.scenes, config.frames = ["a"], "1"
    build_3dgs_dataset(config, engine=engine)
    config.frames, config.frame0.sh_degree = "2", 0
    with pytest.raises(SceneError, match=r"frame0.sh_degree was 1, now it is 0.*--rebuild"):
        build_3dgs_dataset(config, resume=True, engine=engine)
    result = build_3dgs_dataset(config, rebuild=True, engine=engine)
    assert result.built == 2
    assert len(make_plan(config, resume=True).done) == 2
    # Who works, and where things lie, is no setting of the result.
    config.workers.threads, config.checkpoint_interval = 2, 3
    assert not make_plan(config, resume=True).todo
    shutil.rmtree(SceneFolder(tmp_path, "a").frame_model(0).path)
    SceneFolder(tmp_path, "a").frame_model(0).path.mkdir()
    with pytest.raises(SceneError, match="did not make it"):
        make_plan(config, resume=True)


def test_failures_are_tried_again_listed_and_skipped(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "source"
    shutil.copytree(source, broken)
    image = broken / "a" / "colmap_1" / "images" / "c3.png"
    image.write_bytes(image.read_bytes()[:60])
    config, engine = small_config(broken, tmp_path / "out"), InlineEngine()
    config.scenes, config.workers.retries = ["a"], 1
    result = build_3dgs_dataset(config, engine=engine)
    assert result.built == 2
    assert frames_of(engine) == [("a", 0), ("a", 1), ("a", 2), ("a", 1)]
    (failure,) = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert (failure["scene"], failure["frame"], len(failure["attempts"])) == ("a", 1, 2)
    assert "c3.png" in failure["attempts"][1]["error"]
    assert ":" in failure["attempts"][1]["worker"]
    pairs = read_pairs(tmp_path / "out" / "N3D_train_gap_10.json").train
    assert {(p.cur_frame, p.next_frame) for p in pairs} == {(0, 2), (2, 0)}
    shutil.copy(source / "a" / "colmap_1" / "images" / "c3.png", image)
    mended = build_3dgs_dataset(config, resume=True, engine=InlineEngine())
    assert (mended.built, mended.failures_file) == (1, None)
    assert not (tmp_path / "out" / "failures.json").exists()


def test_nothing_but_failures_ends_the_run(
    source: Path, tmp_path: Path, engine: InlineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOPELESS", 2)
    config = small_config(source, tmp_path)
    config.held_out, config.workers.retries = ["c9"], 0
    result = build_3dgs_dataset(config, engine=engine)
    assert (result.built, len(result.failures), result.left) == (0, 2, 3)


def test_hours_and_disk_come_first(
    source: Path, tmp_path: Path, engine: InlineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(source, tmp_path)
    config.rate.seconds, config.rate.bytes = 720.0, 1e20
    with pytest.raises(SceneError, match=r"too small: 5 frames of 720 s.*1 hours.*0 frames would"):
        build_3dgs_dataset(config, engine=engine)
    assert not engine.started
    config.rate.bytes = 1e6
    known = build_3dgs_dataset(config, estimate_only=True, engine=engine)
    assert (known.built, known.left) == (0, 5)
    assert known.estimate is not None
    assert known.estimate.hours == pytest.approx(1.0)
    config.rate.seconds = config.rate.bytes = None
    measured = build_3dgs_dataset(config, estimate_only=True, engine=InlineEngine(slots=2))
    assert (measured.built, measured.left) == (1, 4)
    assert measured.estimate is not None
    assert measured.estimate.slots == 2
    monkeypatch.setattr("igs.building.estimate.free_bytes", lambda folder: 1000)
    with pytest.raises(SceneError, match="0 frames would fit"):
        build_3dgs_dataset(config, resume=True, engine=engine)


def test_two_runs_keep_out_of_each_others_way(
    source: Path, tmp_path: Path, engine: InlineEngine
) -> None:
    with (
        FileLock(tmp_path / ".build.lock"),
        pytest.raises(SceneError, match="another igs build"),
    ):
        build_3dgs_dataset(small_config(source, tmp_path), engine=engine)


@pytest.mark.parametrize(
    ("name", "iteration"),
    [("build_fast", "4000_compress"), ("build_igs_data", "10000_compress")],
)
def test_packaged_configs_save_under_the_names_that_they_promise(name: str, iteration: str) -> None:
    config = load_config(BuildConfig, config_path(name))
    check_build(config)
    assert saved_iteration(FrameTask(config, "a", 0)) == iteration


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extras": ["normals"]}, "extras: 'normals' must be one of"),
        ({"scenes": ["aa"]}, "did you mean"),
        ({"frames": "9"}, "up to 9 are wanted"),
        ({"images": "images_r2"}, r"images_r2: and 4 more are missing"),
        ({"iteration": "a/b"}, "iteration: 'a/b'"),
    ],
)
def test_bad_settings_are_refused_at_once(
    source: Path, tmp_path: Path, engine: InlineEngine, change: dict, words: str
) -> None:
    config = small_config(source, tmp_path / "out")
    for key, value in change.items():
        setattr(config, key, value)
    with pytest.raises((ConfigError, FileNotFoundError, SceneError), match=words):
        build_3dgs_dataset(config, engine=engine)
    assert not (tmp_path / "out").exists()


def test_the_command_line_tells_what_it_did_and_what_failed(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "make_engine", lambda config: InlineEngine())
    settings = tmp_path / "small.yaml"
    settings.write_text(to_yaml(small_config(source, tmp_path)))
    words = ["build", str(source), "--out", str(tmp_path / "out"), "--config", str(settings)]
    assert main([*words, "--scenes", "b", "--frames", "0:2", "pairs.enabled=false"]) == 0
    assert "built:    2 frames" in capsys.readouterr().out
    assert main([*words, "--scenes", "b"]) == 2
    assert "--resume" in capsys.readouterr().err
    out = str(tmp_path / "other")
    failing = [*words, "--out", out, "--retries", "0", "--scenes", "b", "held_out=[c9]"]
    assert main(failing) == 1
    printed = capsys.readouterr().err
    assert "b/colmap_1: igs.scene.errors.SceneError" in printed
    assert f"{out}/failures.json" in printed
