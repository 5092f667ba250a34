"""Several attempts at one instant: the best by validation is kept, test views take no part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_scene import Scene, short_config

from igs.cli import main
from igs.config.frame0 import CameraColorConfig, ValidationConfig
from igs.frame0 import attempts as module
from igs.frame0 import make_frame0, read_camera_colors
from igs.frame0 import run as run_module
from igs.frame0.attempts import Attempt, kept
from igs.scene import write_image

PLY = "point_cloud/iteration_40/point_cloud.ply"
SEED = 4
WORDS = (
    "frame0.iterations=40",
    "frame0.sh_degree=1",
    "frame0.init.mode=random",
    "frame0.init.max_points=120",
    "frame0.init.depth_range=[2,4]",
    "frame0.validation.count=1",
    "frame0.validation.interval=20",
    "checkpoint_interval=15",
    "render=[]",
)


def run(root: Path, out: Path, *words: str) -> int:
    first = (f"seed={SEED}", "frame0.attempts=3", *WORDS)
    return main(["frame0", str(root), "--out", str(out), *first, *words])


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "frame0.json").read_text())


def test_the_best_by_validation_is_kept_whole(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scene_folder, tmp_path / "best", "--camera-colors") == 0
    captured = capsys.readouterr()
    assert "attempt 2 of 3" in captured.err
    told = report_of(tmp_path / "best")["attempts"]
    assert [row["seed"] for row in told["runs"]] == [4, 5, 6]
    figures = {row["seed"]: row["validation_psnr"] for row in told["runs"]}
    assert len(set(figures.values())) == 3
    best = told["kept_seed"]
    assert figures[best] == max(figures.values())
    assert f"kept {best}" in captured.out
    assert not list((tmp_path / "best").glob("attempt*"))
    # A run with its seed alone leaves the same: model, points, colours and figures.
    alone = ("--camera-colors", "frame0.attempts=1", f"seed={best}")
    assert run(scene_folder, tmp_path / "alone", *alone) == 0
    for name in (PLY, "input.ply", "camera_colors.json"):
        assert (tmp_path / "best" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    one, many = report_of(tmp_path / "alone"), report_of(tmp_path / "best")
    assert "attempts" not in one
    assert many["plain"] == one["plain"]
    assert many["validation"] == one["validation"]
    assert max(psnr for _, psnr in one["validation"]["history"]) == figures[best]


def test_test_views_do_not_take_part_in_the_choice(scene_folder: Path, tmp_path: Path) -> None:
    assert run(scene_folder, tmp_path / "true") == 0
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    write_image(scene_folder / "images/c2.png", noise)  # the held-out camera's
    assert run(scene_folder, tmp_path / "noise") == 0
    true, noisy = report_of(tmp_path / "true"), report_of(tmp_path / "noise")
    assert noisy["plain"]["test"]["mean"]["psnr"] < true["plain"]["test"]["mean"]["psnr"] - 5
    for report in (true, noisy):
        for row in report["attempts"]["runs"]:
            del row["seconds"]
    assert noisy["attempts"] == true["attempts"]
    assert (tmp_path / "noise" / PLY).read_bytes() == (tmp_path / "true" / PLY).read_bytes()


@pytest.mark.parametrize("cut", ["in the second", "behind the second", "behind all"])
def test_finished_attempts_are_not_repeated(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "cut"
    assert run(scene_folder, whole) == 0
    saved, noted = run_module.save_checkpoint, module.write_json

    def save_and_stop(path: Path, trainer: run_module.Frame0Trainer) -> None:
        saved(path, trainer)
        if trainer.seed == SEED + 1 and trainer.iteration == 30:
            raise KeyboardInterrupt

    def note_and_stop(path: Path, value: dict[str, Any]) -> None:
        noted(path, value)
        if len(value["runs"]) == (2 if cut == "behind the second" else 3):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if cut == "in the second":
            patch.setattr(run_module, "save_checkpoint", save_and_stop)
        else:
            patch.setattr(module, "write_json", note_and_stop)
        assert run(scene_folder, out) == 130
    steps: list[int] = []
    step = run_module.Frame0Trainer.step

    def counted(self: run_module.Frame0Trainer, iteration: int) -> float:
        steps.append(self.seed)
        return step(self, iteration)

    monkeypatch.setattr(run_module.Frame0Trainer, "step", counted)
    assert run(scene_folder, out, "--resume") == 0
    left = {"in the second": (10, 40), "behind the second": (0, 40), "behind all": (0, 0)}[cut]
    assert (steps.count(SEED), steps.count(SEED + 1), steps.count(SEED + 2)) == (0, *left)
    for name in (PLY, "input.ply"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    again, once = report_of(out)["attempts"], report_of(whole)["attempts"]
    assert again["kept_seed"] == once["kept_seed"]
    assert [r["validation_psnr"] for r in again["runs"]] == [
        r["validation_psnr"] for r in once["runs"]
    ]
    assert not [p for p in out.iterdir() if p.name.startswith(("attempt", "checkpoint"))]


def test_attempts_of_other_settings_are_refused(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    noted, out = module.write_json, tmp_path / "out"

    def note_and_stop(path: Path, value: dict[str, Any]) -> None:
        noted(path, value)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", note_and_stop)
        assert run(scene_folder, out) == 130
    assert run(scene_folder, out, "--resume", "frame0.lambda_l1=0.5") == 2
    assert "attempts made with frame0.lambda_l1=0.8, now it is 0.5" in capsys.readouterr().err
    assert run(scene_folder, out, "frame0.lambda_l1=0.5") == 0  # anew: they are dropped
    assert len(report_of(out)["attempts"]["runs"]) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frame0.validation.count=0",), "set frame0.validation.count=1 or more"),
        (("save=[20]",), "leave save away"),
        (("frame0.attempts=0",), "frame0.attempts"),
    ],
)
def test_what_attempts_cannot_work_with_is_refused(
    scene_folder: Path, tmp_path: Path, capsys: Any, words: tuple[str, ...], said: str
) -> None:
    assert run(scene_folder, tmp_path / "out", *words) == 2
    assert said in capsys.readouterr().err


def test_a_stream_keeps_the_best_and_reports_it(scene: Scene, tmp_path: Path) -> None:
    cameras, images, _ = scene
    config = short_config(
        iterations=30,
        attempts=3,
        validation=ValidationConfig(count=1, interval=10),
        camera_color=CameraColorConfig(enabled=True, from_iteration=5),
    )
    training = [camera for camera in cameras if camera.name != "c2"]
    notes: list[str] = []

    def made(seed: int, count: int, findings: dict[str, Any]) -> Any:
        config.attempts = count
        return make_frame0(
            config,
            training,
            {name: image for name, image in images.items() if name != "c2"},
            root=tmp_path,
            ply=None,
            background=torch.zeros(3),
            seed=seed,
            colors_file=tmp_path / f"{seed}_{count}.json",
            progress=lambda stage, done, total, note: notes.append(note),
            findings=findings,
        )

    found: dict[str, Any] = {}
    gaussians = made(0, 3, found)
    best = found["attempts"]["kept_seed"]
    assert {note.split(",")[0] for note in notes if note} == {
        f"attempt {i} of 3" for i in (1, 2, 3)
    }
    alone: dict[str, Any] = {}
    assert torch.equal(made(best, 1, alone).means, gaussians.means)
    assert set(alone) == {"camera_colors"}
    assert alone["camera_colors"] == found["camera_colors"]
    kept_colors, own = (read_camera_colors(tmp_path / n) for n in ("0_3.json", f"{best}_1.json"))
    assert all(torch.equal(kept_colors[name], own[name]) for name in own)


def test_an_attempt_without_a_figure_loses() -> None:
    tried = [Attempt(i, psnr, 0, 9, 1.0) for i, psnr in enumerate((None, 20.0, 21.0, 21.0))]
    assert kept(tried).seed == 2
    assert kept(tried[:1]).seed == 0
