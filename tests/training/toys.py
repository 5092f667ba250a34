"""Scenes, networks and configs small enough to train in a test; used by processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from igs.config import TrainConfig
from igs.config.training import FlowSizes, LossWeights, NetworkSizes, ValidationConfig
from igs.gaussians import Gaussians
from igs.motion import Motion, warp
from igs.render import render, render_depths
from igs.scene import Camera
from igs.training.agm import MotionTask
from igs.training.batches import SampleSource, seeded
from igs.training.networks import make_agm
from igs.training.sample import TrainingSample

SIZE, VIEWS, COUNT = 32, 2, 80


def camera(name: str, shift: float) -> Camera:
    pose = np.eye(4)
    pose[0, 3] = shift
    return Camera(name, SIZE, SIZE, 30.0, 30.0, SIZE / 2, SIZE / 2, pose)


def pictures(gaussians: Gaussians, cameras: list[Camera]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([render(gaussians, c).color for c in cameras]).clamp(0, 1)


class ToyScenes:
    """Coloured balls before two cameras; those on the right move, each scene in its own way."""

    def __init__(self, seed: int, distinct: int | None = None, unit: float = 1.0) -> None:
        self.seed, self.distinct, self.unit = seed, distinct, unit

    def sample(self, index: int) -> TrainingSample:
        random = seeded(self.seed, index if self.distinct is None else index % self.distinct)
        means = torch.rand(COUNT, 3, generator=random) * 4 - 2
        moving = means[:, 0] > 0
        means[:, 2] += 6
        gaussians = Gaussians(
            means=means * self.unit,
            log_scales=torch.full((COUNT, 3), -1.6) + np.log(self.unit),
            quats=torch.randn(COUNT, 4, generator=random),
            opacity_logits=torch.full((COUNT,), 2.0),
            sh=torch.randn(COUNT, 1, 3, generator=random),
        )
        shift = (torch.rand(3, generator=random) - 0.5) * self.unit
        rotation = torch.tensor([1.0, 0, 0, 0]).repeat(COUNT, 1)
        rotation[moving] = torch.tensor([np.cos(0.1), np.sin(0.1), 0, 0]).float()
        translation = torch.where(moving[:, None], shift, 0.0)
        moved = warp(gaussians, Motion(torch.arange(COUNT), translation, rotation))
        cameras = [camera(f"c{i}", (i - 0.5) * self.unit) for i in range(VIEWS)]
        poses = torch.tensor(np.stack([c.world_to_camera for c in cameras])).float()
        depth = render_depths(gaussians, cameras)[:, 0]
        return TrainingSample(
            cur_images=pictures(gaussians, cameras),
            next_images=pictures(moved, cameras),
            depth=depth,
            world_to_camera=poses,
            fov=torch.tensor([c.fov for c in cameras]),
            box=torch.tensor([[-2.5, -2.5, 3.5], [2.5, 2.5, 8.5]]) * self.unit,
            gaussians=gaussians,
            targets=pictures(moved, cameras),
            target_cameras=tuple(cameras),
            true_translation=translation,
            true_rotation=rotation,
            moving=moving,
        )


class ToyTask(MotionTask):
    """The real task on toy scenes."""

    distinct: int | None = None

    def source(self, seed: int, validation: bool) -> SampleSource[TrainingSample]:
        return ToyScenes(seed, self.distinct)


class OverfitTask(ToyTask):
    """Always the same two scenes."""

    distinct = 2


def toy_config(output: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        output=str(output),
        device="cpu",
        batch=2,
        epochs=1,
        steps_per_epoch=4,
        log_every=1,
        flow_weights="untrained",
        network=NetworkSizes(
            network_size=SIZE,
            triangulate=False,  # patches of a few pixels have nothing to follow
            anchors=40,
            width=32,
            heads=4,
            groups=8,
            flow=FlowSizes(widths=[16, 16, 16], channels=16, blocks=2),
        ),
        losses=LossWeights(lambda_l1=0.0, lambda_dssim=0.0, lambda_motion=1.0),
        validation=ValidationConfig(samples=3, images=1),
    )
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        setattr(getattr(config, section) if section else config, key, value)
    return config


def toy_task(config: TrainConfig, kind: type[ToyTask] = ToyTask) -> ToyTask:
    return kind(config, make_agm(config))
