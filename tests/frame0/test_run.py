"""`igs frame0` from a folder to a folder, and the folders it can read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_scene import Scene

from igs.cli import main
from igs.frame0.photographs import read_photographs, working_size
from igs.frame0.run import CHECKPOINT
from igs.gaussians import read_ply
from igs.scene import (
    ColmapPoints,
    Rig,
    model_from_rig,
    write_colmap,
    write_image,
    write_transforms,
)

WORDS = [
    "frame0.iterations=40",
    "frame0.sh_degree=1",
    "frame0.init.mode=random",
    "frame0.init.max_points=120",
    "frame0.init.depth_range=[2,4]",
    "compress.recover.iterations=5",
]


def run(root: Path, out: Path, *words: str) -> int:
    return main(["frame0", str(root), "--out", str(out), *words, *WORDS])


def test_a_folder_becomes_a_model_with_figures(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(scene_folder, out, "--compress", "--camera-colors", "render_extra=[normal]") == 0
    printed = capsys.readouterr().out
    assert "colour-aligned" in printed
    assert "compressed:" in printed
    report = json.loads((out / "frame0.json").read_text())
    assert set(report["plain"]["test"]) == {"c2", "mean"}
    assert report["compressed"]["gaussians"] < report["plain"]["gaussians"]
    assert set(report["camera_colors"]) == {"c0", "c1", "c3", "c4"}
    assert len(read_ply(out / "point_cloud/iteration_40/point_cloud.ply")) > 0
    assert (out / "test/ours_40/renders/00000.png").is_file()
    assert len(list((out / "train/ours_45_compress/depth_expected_mm").iterdir())) == 4
    assert (out / "test/ours_40/normal/00000.png").is_file()
    assert set(json.loads((out / "results.json").read_text())) == {"ours_40", "ours_45_compress"}
    assert not (out / CHECKPOINT).exists()


def test_recovery_keeps_the_views_free_that_training_kept_free(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from igs.frame0 import run as module

    made: list[module.Frame0Trainer] = []

    class Watched(module.Frame0Trainer):
        def __post_init__(self) -> None:
            super().__post_init__()
            made.append(self)

    monkeypatch.setattr(module, "Frame0Trainer", Watched)
    assert run(scene_folder, tmp_path / "out", "--compress", "render=[]") == 0
    training, recovery = made
    assert [c.name for c in recovery.stations or ()] == ["c0", "c1", "c2", "c3", "c4"]
    assert len(training.stations or ()) == len(recovery.stations or ())


def test_a_run_cut_off_is_taken_up(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from igs.frame0 import run as module

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(scene_folder, whole, "checkpoint_interval=15", "render=[]") == 0
    kept = module.save_checkpoint

    def save_and_stop(path: Path, trainer: module.Frame0Trainer) -> None:
        kept(path, trainer)
        if trainer.iteration == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_checkpoint", save_and_stop)
    assert run(scene_folder, cut, "checkpoint_interval=15", "render=[]") == 130
    assert (cut / CHECKPOINT).is_file()
    assert run(scene_folder, cut, "--resume", "checkpoint_interval=15", "render=[]") == 0
    ply = "point_cloud/iteration_40/point_cloud.ply"
    assert (cut / ply).read_bytes() == (whole / ply).read_bytes()


def test_a_finished_run_is_not_taken_for_another(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "out", ("--camera-colors", "render=[]")
    assert run(scene_folder, out, *words) == 0
    ply = out / "point_cloud/iteration_40/point_cloud.ply"
    before = ply.stat().st_mtime_ns
    capsys.readouterr()
    assert run(scene_folder, out, *words, "--resume") == 0
    assert "finished already" in capsys.readouterr().out
    assert ply.stat().st_mtime_ns == before
    assert run(scene_folder, out, "render=[]", "--resume") == 2
    assert "frame0.camera_color.enabled=True is finished here" in capsys.readouterr().err
    assert run(scene_folder, out, "render=[]") == 0
    assert not (out / "camera_colors.json").exists()


def test_a_new_run_does_not_mix_with_an_earlier_one(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, previous = tmp_path / "out", tmp_path / "out.previous"
    assert run(scene_folder, out, "save=[20]") == 0
    assert run(scene_folder, out, "render=[]", "seed=1") == 0
    assert "the earlier run is now in" in caplog.text
    assert [path.name for path in (out / "point_cloud").iterdir()] == ["iteration_40"]
    assert not (out / "train").exists()
    assert (previous / "point_cloud/iteration_20").is_dir()
    assert (previous / "train/ours_40").is_dir()
    assert run(scene_folder, out, "render=[]", "seed=2") == 0  # one earlier run is kept
    assert "seed: 1" in (previous / "config.yaml").read_text()
    shutil.rmtree(out / "point_cloud")  # a run that was cut off before it saved anything
    (out / "frame0.json").unlink()
    assert run(scene_folder, out, "render=[]") == 0
    assert "seed: 1" in (previous / "config.yaml").read_text()


def test_a_folder_of_someone_else_is_refused(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    (out / "config.yaml").write_text("mine: 1")
    for words in ((), ("--resume",)):
        assert run(scene_folder, out, "render=[]", *words) == 2
        assert "holds files, but no run of igs frame0" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["config.yaml", "thesis.txt"]
    mine, other = tmp_path / "a", tmp_path / "a.previous"
    assert run(scene_folder, mine, "render=[]") == 0
    out.rename(other)
    assert run(scene_folder, mine, "render=[]") == 2
    assert (mine / "frame0.json").is_file()
    assert (other / "thesis.txt").is_file()


def test_what_a_run_reads_is_not_moved_aside(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(scene_folder, out, "render=[]") == 0
    assert run(scene_folder, out, "--init", str(out), "render=[]") == 2
    assert "would be moved aside, and start" in capsys.readouterr().err
    assert (out / "frame0.json").is_file()


def test_a_previous_frame_is_gone_on_from(scene_folder: Path, tmp_path: Path) -> None:
    assert run(scene_folder, tmp_path / "a", "render=[]") == 0
    ply = tmp_path / "a/point_cloud/iteration_40/point_cloud.ply"
    assert run(scene_folder, tmp_path / "b", "--init", str(ply), "render=[]") == 0
    assert run(scene_folder, tmp_path / "c", "--init", str(tmp_path / "a"), "render=[]") == 0
    last = "point_cloud/iteration_40/point_cloud.ply"
    assert (tmp_path / "b" / last).read_bytes() == (tmp_path / "c" / last).read_bytes()
    first, second = (
        json.loads((tmp_path / name / "frame0.json").read_text())["plain"]["test"]["mean"]["psnr"]
        for name in "ab"
    )
    assert second > first


def test_colmap_and_transforms_are_read_with_their_splits(scene: Scene, tmp_path: Path) -> None:
    cameras, images, _ = scene
    rig = Rig.of(cameras)
    points = ColmapPoints.of(np.arange(9.0).reshape(3, 3), np.full((3, 3), 9))
    for root in (tmp_path / "colmap", tmp_path / "nerf"):
        for name, image in images.items():
            write_image(root / "images" / f"{name}.png", image)
    write_colmap(tmp_path / "colmap/sparse/0", model_from_rig(rig, points))
    write_transforms(tmp_path / "nerf/transforms.json", rig)
    colmap = read_photographs(tmp_path / "colmap", resolution=2)
    assert colmap.points is not None
    assert colmap.rig.held_out == ("c0",)
    assert colmap.images["c1"].shape == (20, 28, 3)
    assert colmap.rig.cameras["c1"].fx == pytest.approx(30)
    assert colmap.full.cameras["c1"].width == 56
    nerf = read_photographs(tmp_path / "nerf")
    assert nerf.rig.held_out == ()
    assert read_photographs(tmp_path / "nerf", split="eighth").rig.held_out == ("c0",)
    assert read_photographs(tmp_path / "colmap", split="none").rig.held_out == ()
    assert read_photographs(tmp_path / "nerf", held_out=["c3"]).rig.held_out == ("c3",)


@pytest.mark.parametrize(
    ("width", "resolution", "wanted"),
    [
        (1352, 2, (676, 507)),
        (2704, -1, (1600, 1200)),
        (1352, -1, (1352, 1014)),
        (1352, 640, (640, 480)),
    ],
)
def test_sizes_follow_the_originals(width: int, resolution: int, wanted: tuple[int, int]) -> None:
    assert working_size(width, width * 1014 // 1352, resolution) == wanted


def test_what_is_missing_is_named(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene_folder / "images/c1.png").unlink()
    assert run(scene_folder, tmp_path / "out") == 2
    assert "c1.png: no image of camera 'c1'" in capsys.readouterr().err
    assert run(tmp_path / "out2", tmp_path / "out") == 2
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out") == 2
    assert "igs prepare" in capsys.readouterr().err
