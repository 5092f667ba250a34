"""A toy capture: a blob moves before a patterned wall, seen by five cameras."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from igs.config import RunConfig, load_config
from igs.gaussians import Gaussians, write_ply
from igs.render import render
from igs.render.images import to_uint8
from igs.render.video import write_video
from igs.scene import Camera, MultiViewFrame
from igs.stream import StreamSession

WIDTH, HEIGHT = 48, 32
WORDS = [
    "frame0.mode=load",
    "frame0.ply=frame0.ply",
    "schedule.interval=3",
    "refine.iterations=4",
    "free_view.path=tour",
]


def configured(capture: Path, output: Path, *words: str) -> RunConfig:
    base = [f"data.root={capture}", f"output={output}", *WORDS]
    return load_config(RunConfig, None, [*base, *words])


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    """Everything in results.json that a second run must give again."""
    frames = [
        {k: v for k, v in frame.items() if not k.startswith("seconds")}
        for frame in results["frames"]
    ]
    kept = ("psnr_mean", "psnr_last_key", "ssim_mean", "temporal_stability", "bytes_per_frame")
    summary = {key: results["summary"][key] for key in kept}
    return {"psnr": results["psnr"], "frames": frames, "summary": summary}


def toy_cameras(count: int = 5) -> dict[str, Camera]:
    cameras = {}
    for i in range(count):
        x = -0.4 * (i - (count - 1) / 2)
        turn = np.arctan2(x, 2.5)
        pose = np.eye(4)
        pose[0, [0, 2]] = np.cos(turn), np.sin(turn)
        pose[2, [0, 2]] = -np.sin(turn), np.cos(turn)
        pose[:3, 3] = -pose[:3, :3] @ np.array([x, 0.0, 0.0])
        name = f"cam{i:02d}"
        cameras[name] = Camera(name, WIDTH, HEIGHT, 50.0, 50.0, WIDTH / 2, HEIGHT / 2, pose)
    return cameras


def toy_gaussians(shift: float = 0.0) -> Gaussians:
    """A wall of 12 x 8 Gaussians at depth 3 and a blob of eight at depth 2, moved along x."""
    generator = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1.6, 1.6, 12), indexing="ij")
    wall = torch.stack([x.ravel(), y.ravel(), torch.full((96,), 3.0)], 1)
    blob = torch.randn(8, 3, generator=generator) * 0.08 + torch.tensor([shift, 0.0, 2.0])
    means = torch.cat([wall, blob])
    sh = torch.randn(104, 1, 3, generator=generator) * 0.8
    sh[96:] = torch.tensor([1.5, -1.0, -1.0])
    return Gaussians(
        means=means,
        log_scales=torch.cat([torch.full((96, 3), -1.8), torch.full((8, 3), -2.2)]),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(104, 1),
        opacity_logits=torch.full((104,), 3.0),
        sh=sh,
    )


class ToySource:
    """Frames rendered when asked for; remembers how many were."""

    def __init__(self, num_frames: int | None = 9, step: float = 0.02) -> None:
        self.cameras = toy_cameras()
        self.num_frames, self.step, self.fps = num_frames, step, 30.0
        self.asked = 0

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        index = start
        while self.num_frames is None or index < self.num_frames:
            self.asked = max(self.asked, index + 1)
            yield self.frame(index)
            index += 1

    def frame(self, index: int) -> MultiViewFrame:
        gaussians = toy_gaussians(index * self.step)
        with torch.no_grad():
            images = {
                name: to_uint8(render(gaussians, camera).color)
                for name, camera in self.cameras.items()
            }
        return MultiViewFrame(index, index / self.fps, images)


@pytest.fixture
def toy_source() -> ToySource:
    return ToySource()


@pytest.fixture
def toy_config() -> RunConfig:
    config = RunConfig()
    config.schedule.interval = 3
    config.refine.iterations = 6
    config.refine.densify.interval = 2
    config.refine.densify.max_num = 150
    config.views.held_out = ["cam02"]
    return config


@pytest.fixture(scope="session")
def toy_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy scene as a folder of videos with a camera file and frame 0's PLY."""
    root = tmp_path_factory.mktemp("capture")
    source = ToySource(8)
    frames = list(source.frames())
    for name in source.cameras:
        write_video(root / "videos" / f"{name}.mp4", [f.images[name] for f in frames], 30, crf=4)
    cameras = {
        name: {
            "width": camera.width,
            "height": camera.height,
            "K": camera.intrinsics.tolist(),
            "world_to_camera": camera.world_to_camera.tolist(),
            "split": "test" if name == "cam02" else "train",
        }
        for name, camera in source.cameras.items()
    }
    (root / "cameras.json").write_text(json.dumps({"fps": 30, "cameras": cameras}))
    write_ply(root / "frame0.ply", toy_gaussians())
    return root


@pytest.fixture(scope="session")
def finished(toy_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run; not to be changed."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    StreamSession(configured(toy_capture, output)).run()
    return output
