"""Colours that frame 0 learned of the cameras hold for the whole stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from igs.config import ConfigError, RunConfig, check_run, load_config
from igs.frame0 import ColorCorrectedSource, read_camera_colors, write_camera_colors
from igs.stream import StreamSession
from igs.stream.compare import compare_modes

WORDS = [
    "frame0.mode=optimise",
    "frame0.iterations=30",
    "frame0.sh_degree=0",
    "frame0.init.mode=random",
    "frame0.init.depth_range=[2,4]",
    "frame0.init.max_points=150",
    "frame0.camera_color.from_iteration=1",
    "schedule.interval=2",
    "refine.iterations=3",
    "data.num_frames=4",
    "free_view.enabled=false",
    "write.videos=false",
]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_stream_sees_the_cameras_as_frame0_does(
    toy_capture: Path, tmp_path: Path, enabled: bool
) -> None:
    words = [f"data.root={toy_capture}", f"output={tmp_path / 'run'}", *WORDS]
    words.append(f"frame0.camera_color.enabled={str(enabled).lower()}")
    session = StreamSession(load_config(RunConfig, None, words))
    results = session.run()
    assert results["summary"]["num_frames"] == 4
    path = tmp_path / "run/camera_colors.json"
    assert path.is_file() == enabled
    assert isinstance(session.inputs.source, ColorCorrectedSource) == enabled
    assert ("camera_colors" in results["frame0"]) == enabled
    if enabled:
        # The held-out camera has none: it is measured as it came.
        assert set(read_camera_colors(path)) == {"cam00", "cam01", "cam03", "cam04"}
        assert json.loads(path.read_text())["format"] == "igs-camera-colors-1"
        told = json.loads((tmp_path / "run/frame0.json").read_text())["camera_colors"]
        assert told == results["frame0"]["camera_colors"]
        for name, matrix in read_camera_colors(path).items():
            assert told[name]["gain"] == pytest.approx(matrix[:, :3].sum(1).tolist(), abs=1e-4)
            assert told[name]["offset"] == pytest.approx(matrix[:, 3].tolist(), abs=1e-4)
        assert any(row["gain"] != [1, 1, 1] for row in told.values())
        again = StreamSession(load_config(RunConfig, None, words), resume=True)
        assert again.run()["psnr"] == results["psnr"]


def test_colors_are_loaded_with_the_gaussians_that_they_belong_to(
    toy_capture: Path, tmp_path: Path
) -> None:
    words = [f"data.root={toy_capture}", *WORDS, "frame0.camera_color.enabled=true"]
    made = StreamSession(load_config(RunConfig, None, [*words, f"output={tmp_path / 'made'}"]))
    results = made.run()
    load = ["frame0.mode=load", f"frame0.ply={tmp_path / 'made/frame0.ply'}"]

    def streamed(name: str, *more: str) -> dict[str, Any]:
        config = load_config(RunConfig, None, [*words, *load, f"output={tmp_path / name}", *more])
        return StreamSession(config).run()

    colors = f"frame0.colors={tmp_path / 'made/camera_colors.json'}"
    loaded = streamed("with", colors)
    assert loaded["psnr"] == results["psnr"]
    assert loaded["frame0"]["camera_colors"] == results["frame0"]["camera_colors"]
    without = streamed("without")
    assert without["psnr"] != results["psnr"]
    assert "camera_colors" not in without["frame0"]
    # Into the very folder that they are loaded from: it is moved aside, and they are kept.
    again = streamed("made", colors)
    assert again["psnr"] == results["psnr"]
    assert (tmp_path / "made/camera_colors.json").is_file()


def test_compared_modes_share_the_colors(toy_capture: Path, tmp_path: Path) -> None:
    words = [f"data.root={toy_capture}", f"output={tmp_path / 'all'}", *WORDS]
    config = load_config(RunConfig, None, [*words, "frame0.camera_color.enabled=true"])
    compare_modes(config)
    settings = (tmp_path / "all/none/experiment_config.yaml").read_text()
    assert str(tmp_path / "all/hold/camera_colors.json") in settings


def test_colors_of_another_rig_are_refused(toy_capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "camera_colors.json"
    write_camera_colors(path, ["front"], torch.eye(3, 4)[None])
    words = [f"data.root={toy_capture}", f"output={tmp_path / 'run'}", *WORDS]
    words += ["frame0.mode=load", "frame0.ply=frame0.ply", f"frame0.colors={path}"]
    with pytest.raises(ValueError, match=r"camera_colors\.json: none of its cameras"):
        StreamSession(load_config(RunConfig, None, words)).run()


def test_colors_without_gaussians_to_load_are_refused() -> None:
    config = load_config(RunConfig, None, ["data.root=x", "frame0.colors=camera_colors.json"])
    with pytest.raises(ConfigError, match=r"frame0\.colors.*frame0\.mode=load"):
        check_run(config)
