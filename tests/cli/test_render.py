"""`igs render`: every path, and bad input in one line."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from igs.cli import main
from igs.gaussians import Gaussians, write_ply
from igs.scene import Camera, Rig, write_camera_list


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    cameras = []
    for i, x in enumerate((-0.5, 0.0, 0.5)):
        turn = np.arctan2(-x, 3.0)
        pose = np.eye(4)
        pose[0, [0, 2]], pose[2, [0, 2]] = (
            (np.cos(turn), -np.sin(turn)),
            (np.sin(turn), np.cos(turn)),
        )
        pose[:3, 3] = -pose[:3, :3] @ np.array([x, 0.0, 0.0])
        cameras.append(Camera(f"c{i}", 32, 24, 30.0, 30.0, 16.0, 12.0, pose))
    write_camera_list(tmp_path / "cameras.json", Rig.of(cameras))
    cloud = Gaussians(
        means=torch.tensor([[0.0, 0.0, 3.0]]),
        log_scales=torch.full((1, 3), -1.0),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        opacity_logits=torch.full((1,), 4.0),
        sh=torch.full((1, 1, 3), 1.5),
    )
    write_ply(tmp_path / "cloud.ply", cloud)
    named = ["--cameras", str(tmp_path / "cameras.json"), "--out", str(tmp_path / "out.mp4")]
    return ["render", str(tmp_path / "cloud.ply"), *named]


@pytest.mark.parametrize(
    ("path", "count"), [("spiral", 4), ("orbit", 4), ("tour", 4), ("cameras", 3)]
)
def test_every_path_shows_what_the_rig_looks_at(
    words: list[str], tmp_path: Path, path: str, count: int
) -> None:
    assert main([*words, "--path", path, "--views", "4", "--size", "64", "48"]) == 0
    with av.open(str(tmp_path / "out.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == count
    assert all(frame.shape == (48, 64, 3) for frame in frames)
    # The one blob lies where the optical axes meet.
    assert all(frame[20:28, 28:36].mean() > 100 > frame[:4, :4].mean() for frame in frames)


@pytest.mark.parametrize(
    ("extra", "named"),
    [(["--views", "0"], "0 views"), (["--size", "0", "4"], "size 0 x 4"), (["gone.ply"], "gone")],
)
def test_bad_input_is_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], named
) -> None:
    if extra == ["gone.ply"]:
        words, extra = [words[0], "gone.ply", *words[2:]], []
    assert main([*words, *extra]) == 2
    assert named in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("*out.mp4*"))
