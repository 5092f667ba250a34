"""From a config to frames and roles: which cameras play which part, and other shapes of capture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from igs.cli import main
from igs.config import ConfigError
from igs.config.schema import RefineConfig
from igs.gaussians import read_ply
from igs.render.video import write_video
from igs.scene import Camera
from igs.stream import StreamSession, refine_key_frame
from igs.stream.free_view import free_view_path
from igs.stream.inputs import open_inputs
from igs.stream.views import assign_views

from .conftest import ToySource, configured, toy_gaussians

SHORT = ("data.num_frames=4", "write.videos=false")


def run(capture: Path, output: Path, *words: str) -> dict[str, Any]:
    StreamSession(configured(capture, output, *SHORT, *words)).run()
    return json.loads((output / "results.json").read_text())


def changed(capture: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a capture with another camera file."""
    shutil.copytree(capture, target)
    tree = json.loads((target / "cameras.json").read_text())
    change(tree["cameras"])
    (target / "cameras.json").write_text(json.dumps(tree))
    return target


@pytest.mark.parametrize("excluded", ["[cam00]", "[0]"])
def test_an_excluded_camera_is_not_read_and_positions_count_in_the_file(
    toy_capture: Path, tmp_path: Path, excluded: str
) -> None:
    root = tmp_path / "capture"
    shutil.copytree(toy_capture, root)
    (root / "videos" / "cam00.mp4").write_bytes(b"not a video")
    words = (f"views.exclude={excluded}", "views.held_out=[1]", "views.inputs=[4,2]")
    session = StreamSession(configured(root, tmp_path / "run", *SHORT, *words))
    assert session.roles.held_out == ("cam01",)
    assert session.roles.training == ("cam02", "cam03", "cam04")
    assert session.roles.inputs == ("cam04", "cam02")
    assert session.run()["summary"]["held_out"] == ["cam01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["views.exclude=[0,1,2,3,4]"], "views.exclude: all 5 cameras"),
        (["views.held_out=[0,1,2,3,4]"], "none is left to train on"),
        (["views.exclude=[1]", "views.inputs=[cam01]"], "views.inputs: camera 'cam01' is excl"),
        (["views.inputs=[cam02]"], "views.inputs: camera 'cam02' is held out"),
        (["views.held_out=[cam2]"], "no camera is called 'cam2'; did you mean"),
    ],
)
def test_roles_that_cannot_be_are_named(
    toy_capture: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        StreamSession(configured(toy_capture, tmp_path / "run", *words))


def test_several_held_out_cameras(toy_capture: Path, tmp_path: Path) -> None:
    results = run(toy_capture, tmp_path / "run", "views.held_out=[cam03,cam01]")
    frames, summary = results["frames"], results["summary"]
    assert summary["held_out"] == ["cam03", "cam01"]
    assert all(set(f["psnr"]) == set(f["ssim"]) == {"cam01", "cam03"} for f in frames)
    means = [sum(f["psnr"].values()) / 2 for f in frames]
    assert summary["psnr_mean"] == pytest.approx(sum(means) / 4)
    assert summary["psnr_frame0"] == pytest.approx(means[0])
    assert summary["psnr_last_key"] == pytest.approx(means[3])
    # The original's keys know one view: the first.
    assert results["psnr"] == {f"frame_{k}": frames[k]["psnr"]["cam03"] for k in (1, 2, 3)}


def test_no_held_out_camera(toy_capture: Path, tmp_path: Path) -> None:
    results = run(toy_capture, tmp_path / "run", "views.held_out=[]", "write.videos=true")
    summary = results["summary"]
    assert results["psnr"] == {}
    assert results["avg"] is None
    for key in ("psnr_mean", "psnr_frame0", "psnr_last_key", "ssim_mean", "temporal_stability"):
        assert summary[key] is None, key
    assert summary["fps"] > 0
    assert summary["seconds_per_frame"] > 0
    assert (tmp_path / "run" / "free_view.mp4").is_file()
    assert not (tmp_path / "run" / "comparison.mp4").exists()
    assert not (tmp_path / "run" / "eval_pred").exists()


def test_a_single_frame(toy_capture: Path, tmp_path: Path) -> None:
    results = run(toy_capture, tmp_path / "run", "data.num_frames=1", "write.videos=true")
    assert results["psnr"] == {}
    assert results["avg"] is results["summary"]["temporal_stability"] is None
    assert results["per_frame_times"] == results["mask_num"] == results["points_num"] == []
    assert results["summary"]["psnr_mean"] == results["summary"]["psnr_last_key"]


def test_a_single_camera(toy_capture: Path, tmp_path: Path) -> None:
    root = tmp_path / "capture"
    (root / "videos").mkdir(parents=True)
    shutil.copy(toy_capture / "videos" / "cam00.mp4", root / "videos")
    tree = json.loads((toy_capture / "cameras.json").read_text())
    cameras = {"cam00": tree["cameras"]["cam00"]}
    (root / "cameras.json").write_text(json.dumps({"cameras": cameras}))
    words = ["frame0.mode=optimise", "frame0.iterations=20", "frame0.sh_degree=0"]
    init = ["frame0.init.mode=random", "frame0.init.depth_range=[2,4]"]
    words += [*init, "frame0.init.max_points=80", "free_view.enabled=false"]
    results = run(root, tmp_path / "run", *words)
    assert results["summary"]["num_frames"] == 4
    start, end = (read_ply(tmp_path / "run" / n) for n in ("frame0.ply", "gaussians/000003.ply"))
    assert len(start) > 0
    assert len(end) > 0
    with pytest.raises(ValueError, match=r"free_view.*free_view\.enabled=false"):
        StreamSession(
            configured(root, tmp_path / "other", "free_view.path=spiral", "views.held_out=[]")
        )


def test_cameras_of_different_sizes(toy_capture: Path, tmp_path: Path) -> None:
    def halve(cameras: dict[str, Any]) -> None:
        for name in ("cam01", "cam02"):
            cameras[name].update(width=24, height=16, K=[[25, 0, 12], [0, 25, 8], [0, 0, 1]])

    root = changed(toy_capture, tmp_path / "capture", halve)
    for name in ("cam01", "cam02"):
        frames = [f.images[name][::2, ::2] for f in ToySource(8).frames()]
        write_video(root / "videos" / f"{name}.mp4", frames, 30, crf=4)
    words = ["views.held_out=[cam02,cam03]", "refine.active_only=true", "write.videos=true"]
    init = ["frame0.mode=optimise", "frame0.iterations=15", "frame0.init.depth_range=[1,5]"]
    results = run(root, tmp_path / "run", *words, *init, "frame0.sh_degree=0")
    assert set(results["frames"][3]["psnr"]) == {"cam02", "cam03"}
    assert (tmp_path / "run" / "comparison.mp4").is_file()


def test_a_camera_that_the_file_lacks_is_named_when_asked_for(
    toy_capture: Path, tmp_path: Path
) -> None:
    root = changed(toy_capture, tmp_path / "capture", lambda cameras: cameras.pop("cam04"))
    (root / "videos" / "cam04.mp4").unlink()
    with pytest.raises(ValueError, match=r"no camera is called 'cam04'"):
        open_inputs(configured(root, tmp_path / "run", "views.held_out=[cam04]"))


def test_the_released_spiral_needs_no_point_to_look_at(toy_capture: Path, tmp_path: Path) -> None:
    def face_ahead(cameras: dict[str, Any]) -> None:
        for i, camera in enumerate(cameras.values()):
            pose = np.eye(4)
            pose[0, 3] = 0.1 * i
            camera["world_to_camera"] = pose.tolist()

    root = changed(toy_capture, tmp_path / "capture", face_ahead)
    with pytest.raises(ValueError, match=r"box\.bounds"):
        StreamSession(configured(root, tmp_path / "run", "free_view.path=spiral"))
    StreamSession(configured(root, tmp_path / "run", "free_view.path=legacy_spiral"))


def test_bounds_that_are_no_box_name_their_key(toy_capture: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"box\.bounds"):
        open_inputs(configured(toy_capture, tmp_path / "run", "box.bounds=[[0,0,0]]"))
    with pytest.raises(ConfigError, match=r"box\.bounds.*minimum 2 exceeds maximum 1 along y"):
        open_inputs(configured(toy_capture, tmp_path / "run", "box.bounds=[[0,2,0],[1,1,1]]"))


def test_refinement_names_an_image_of_another_size() -> None:
    import torch

    camera = Camera("left", 48, 32, 50.0, 50.0, 24.0, 16.0, np.eye(4))
    with pytest.raises(ValueError, match=r"refinement: image of camera 'left' has shape \(16"):
        refine_key_frame(
            toy_gaussians(),
            [camera],
            {"left": np.zeros((16, 24, 3), np.uint8)},
            replace(RefineConfig(), iterations=1),
            extent=1.0,
            background=torch.zeros(3),
            generator=torch.Generator(),
        )


def test_the_command_for_own_videos_in_the_docs_works(
    toy_capture: Path, tmp_path: Path, project_root: Path
) -> None:
    text = (project_root / "docs" / "streaming.md").read_text(encoding="utf-8")
    (line,) = (row for row in text.splitlines() if "data.root=my_capture" in row)
    given = {"data.root": str(toy_capture), "output": str(tmp_path / "run")}
    words = [
        f"{key}={given[key]}" if (key := word.partition("=")[0]) in given else word
        for word in line.split()[1:]
    ]
    quick = ["frame0.iterations=3", "frame0.init.max_points=200", "refine.iterations=2"]
    assert main([*words, *SHORT, *quick, "threads=1"]) == 0
    assert (tmp_path / "run" / "results.json").is_file()


def test_the_released_spiral_runs_through_all_cameras(toy_capture: Path, tmp_path: Path) -> None:
    def centers(*words: str) -> np.ndarray:
        config = configured(toy_capture, tmp_path, "free_view.path=legacy_spiral", *words)
        inputs = open_inputs(config)
        roles = assign_views(inputs.views, inputs.source.cameras, inputs.held_out)
        return np.stack([c.center for c in free_view_path(config.free_view, inputs, roles)])

    assert len(centers()) == 299
    np.testing.assert_array_equal(centers("views.held_out=[0]"), centers("views.held_out=[]"))
