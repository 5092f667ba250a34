"""A small data set on disk: two scenes of coloured balls that move, and settings to build it fast.

Imported by the tests and by the driver processes that they start.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from igs.config.building import BuildConfig
from igs.config.frame0 import InitConfig
from igs.gaussians import Gaussians
from igs.render import render
from igs.render.images import to_uint8
from igs.scene import Box, Camera, Rig, SceneFolder, write_camera_object, write_image

CAMERAS = 5


def write_data_set(root: Path, scenes: dict[str, int]) -> Path:
    """Write scenes, name to number of frames, each with five cameras, and their boxes."""
    for number, (name, frames) in enumerate(scenes.items()):
        folder = SceneFolder(root, name)
        for frame in range(frames):
            _write_frame(folder.frame_path(frame), seed=number, shift=0.05 * frame)
        folder.write_box(Box(np.array([-1.0, -1, 2]), np.array([1.0, 1, 4])))
    return root


def _write_frame(folder: Path, seed: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = 60
    truth = Gaussians(
        means=torch.randn(n, 3, generator=generator) * 0.4 + torch.tensor([shift, 0, 3.0]),
        log_scales=torch.full((n, 3), -2.2),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        opacity_logits=torch.full((n,), 2.0),
        sh=torch.randn(n, 1, 3, generator=generator),
    )
    cameras = []
    for i in range(CAMERAS):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * (i - 2)
        camera = Camera(f"c{i}", 40, 32, 45.0, 45.0, 20.0, 16.0, pose)
        with torch.no_grad():
            image = to_uint8(render(truth, camera).color)
        write_image(folder / "images" / f"{camera.name}.png", image)
        cameras.append(camera)
    write_camera_object(folder / "cameras.json", Rig.of(cameras))


def small_config(source: Path, output: Path, iterations: int = 8) -> BuildConfig:
    """Settings whose every stage takes place within a few iterations, with two workers."""
    config = replace(BuildConfig(), source=str(source), output=str(output))
    config.frame0.iterations, config.frame0.sh_degree = iterations, 1
    config.frame0.init = InitConfig(mode="random", max_points=100, depth_range=[2.0, 4.0])
    config.compress.recover.iterations = 2
    config.checkpoint_interval = 4
    config.workers.count, config.workers.threads, config.workers.device = 2, 1, "cpu"
    return config
