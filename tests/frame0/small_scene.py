"""A small scene with known Gaussians, and a config whose stages all fit into a short run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from igs.config.frame0 import Frame0Config, InitConfig
from igs.gaussians import Gaussians
from igs.render import render
from igs.render.images import to_uint8
from igs.scene import Camera

Scene = tuple[list[Camera], dict[str, np.ndarray], Gaussians]


def make_scene() -> Scene:
    """Five cameras in a row before 120 coloured balls, and what they see."""
    generator = torch.Generator().manual_seed(1)
    n = 120
    truth = Gaussians(
        means=torch.randn(n, 3, generator=generator) * 0.4 + torch.tensor([0, 0, 3.0]),
        log_scales=torch.full((n, 3), -2.2),
        quats=torch.randn(n, 4, generator=generator),
        opacity_logits=torch.full((n,), 2.0),
        sh=torch.randn(n, 1, 3, generator=generator),
    )
    cameras, images = [], {}
    for i in range(5):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * (i - 2)
        camera = Camera(f"c{i}", 56, 40, 60.0, 60.0, 28.0, 20.0, pose)
        with torch.no_grad():
            images[camera.name] = to_uint8(render(truth, camera).color)
        cameras.append(camera)
    return cameras, images, truth


def short_config(**changes) -> Frame0Config:
    """A config whose every stage takes place within 60 iterations."""
    config = replace(Frame0Config(), iterations=60, sh_degree=1, sh_interval=20, decay_steps=60)
    config.density.start, config.density.interval, config.density.until = 10, 10, 50
    config.density.min_opacity = 0.01
    config.init = InitConfig(mode="random", max_points=150, depth_range=[2.0, 4.0])
    return replace(config, **changes)
