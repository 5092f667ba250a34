"""Pair files, camera groups and the video: as functions, as commands and as notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from igs.building.pairs import built_frames, generate_test_pair, generate_train_pair
from igs.cli import main
from igs.gaussians import Gaussians, write_ply
from igs.scene import Camera, Rig, SceneError, SceneFolder, read_pairs, write_camera_list
from igs.scene.images import write_image

SCRIPTS = Path(__file__).resolve().parents[2] / "script"
PAIRS = "N3D_train_gap_10.json"


def run_notebook(name: str, **parameters: Any) -> dict[str, Any]:
    """Execute a notebook's code cells in order, with these values for its parameters.

    Cells are plain Python here (no magics), so that no kernel and no Jupyter are needed.
    """
    notebook = json.loads((SCRIPTS / name).read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert not cell["outputs"], f"{name}: stored with outputs"
        exec(compile("".join(cell["source"]), f"{name}:{cell['id']}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert parameters.keys() <= names.keys()
            names.update(parameters)
    return names


def built_layout(root: Path, scenes: dict[str, list[int]], cameras: int = 6) -> Path:
    """Frames as `igs build` leaves them, as far as pairs look at them."""
    for scene, frames in scenes.items():
        for frame in frames:
            model = SceneFolder(root, scene).frame_model(frame)
            rig = Rig.of([_camera(i) for i in range(cameras)])
            write_camera_list(model.cameras_path, rig)
            write_ply(model.ply_path("10_compress"), _ball())
        SceneFolder(root, scene).frame_path(0).mkdir(parents=True, exist_ok=True)
    return root


def _camera(i: int) -> Camera:
    pose = np.eye(4)
    pose[0, 3] = float(i // 2)  # two by two at three places, and one pair apart
    pose[1, 3] = 0.5 * (i == 5)
    return Camera(f"c{i}", 8, 8, 8.0, 8.0, 4.0, 4.0, pose)


def _ball() -> Gaussians:
    return Gaussians(
        means=torch.zeros(1, 3),
        log_scales=torch.zeros(1, 3),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        opacity_logits=torch.zeros(1),
        sh=torch.zeros(1, 1, 3),
    )


def test_training_pairs_lie_within_five_frames_and_are_of_built_frames(tmp_path: Path) -> None:
    root = built_layout(tmp_path, {"a": [0, 1, 2, 3, 4, 5, 6, 8], "b": [0, 1]})
    path = generate_train_pair(root, validation=["b"])
    pairs = read_pairs(path)
    frames = [0, 1, 2, 3, 4, 5, 6, 8]
    wanted = {(i, k) for i in frames for k in frames if 1 <= abs(i - k) <= 5}
    assert {(p.cur_frame, p.next_frame) for p in pairs.train} == wanted
    assert len(pairs.train) == len(wanted)
    assert {(p.scene, p.cur_frame, p.next_frame) for p in pairs.val} == {("b", 0, 1), ("b", 1, 0)}
    groups = SceneFolder(root, "a").groups()
    assert sorted(map(sorted, groups)) == [[0, 1], [2, 3], [4], [5]]


def test_pairs_refuse_what_they_cannot_be_made_of(tmp_path: Path) -> None:
    root = built_layout(tmp_path, {"a": [0, 3], "few": [0, 1]}, cameras=3)
    with pytest.raises(ValueError, match=r"cameras.json: 3 cameras make no 4 groups"):
        generate_train_pair(root)
    root = built_layout(tmp_path / "more", {"a": [0, 3]})
    with pytest.raises(SceneError, match="no two built frames lie within 2"):
        generate_train_pair(root, reach=2)
    with pytest.raises(SceneError, match="validation scene 'z' is not among a"):
        generate_train_pair(root, validation=["z"])
    with pytest.raises(SceneError, match="a: 9 frames are wanted"):
        generate_test_pair(built_layout(tmp_path / "whole", {"a": [0, 1]}), "a", num_frames=9)
    assert built_frames(SceneFolder(root, "a"), "10000_compress") == []


def test_the_notebook_and_the_command_write_the_same_test_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = built_layout(tmp_path, {"toy": list(range(7))})
    names = run_notebook("generate_test_pair.ipynb", ROOT=str(root), SCENE="toy", INTERVAL=3)
    text = names["path"].read_text()
    assert names["path"].name == "toy_total_7_interval_3.json"
    assert [(p.cur_frame, p.next_frame) for p in names["pairs"]] == [
        (0, 1),
        (0, 2),
        (0, 3),
        (3, 4),
        (3, 5),
        (3, 6),
    ]
    names["path"].unlink()
    assert main(["pairs", "test", str(root), "toy", "--interval", "3"]) == 0
    assert Path(capsys.readouterr().out.strip()).read_text() == text


def test_the_notebook_and_the_command_write_the_same_training_pairs(tmp_path: Path) -> None:
    root = built_layout(tmp_path, {"a": [0, 1, 2], "b": [0, 1]})
    names = run_notebook("generate_train_pair.ipynb", ROOT=str(root), VALIDATION=["b"])
    assert (len(names["pairs"].train), len(names["pairs"].val)) == (6, 2)
    assert sorted(map(sorted, names["groups"]["a"])) == [["c0", "c1"], ["c2", "c3"], ["c4"], ["c5"]]
    text = (root / PAIRS).read_text()
    (root / PAIRS).unlink()
    assert main(["pairs", "train", str(root), "--validation", "b"]) == 0
    assert (root / PAIRS).read_text() == text


def test_the_notebook_and_the_command_make_the_same_video(tmp_path: Path) -> None:
    for number, level in ((10, 200), (2, 40), (1, 120)):
        image = np.full((16, 24, 3), level, np.uint8)
        write_image(tmp_path / "images" / f"view_{number}.png", image)
    names = run_notebook("video.ipynb", FOLDER=str(tmp_path / "images"), FPS=10)
    assert names["path"] == tmp_path / "images" / "output.mp4"
    with av.open(str(names["path"])) as file:
        stream = file.streams.video[0]
        assert stream.average_rate == 10
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(stream)]
    assert np.allclose(levels, [120, 40, 200], atol=3)  # by number, not by name
    out = tmp_path / "other.mp4"
    words = ["video", str(tmp_path / "images"), "--out", str(out), "--fps", "10"]
    assert main(words) == 0
    assert out.read_bytes() == names["path"].read_bytes()
    assert main(["video", str(tmp_path / "images"), "--fps", "0"]) == 2
