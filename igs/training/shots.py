"""Pictures of a synthetic scene as cameras with faults take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Camera
from igs.scene.synthetic import SyntheticScene
from igs.training.appearance import AppearanceConfig, CameraLooks


class CameraShots:
    """V cameras with looks of their own, in front of a scene.

    Args:
        config: how far the cameras may be off.
        scene: what they see.
        cameras: V cameras with images of one size.
        seed: draws the looks and the noise.
    """

    def __init__(
        self,
        config: AppearanceConfig,
        scene: SyntheticScene,
        cameras: Sequence[Camera],
        seed: tuple[int, ...],
    ) -> None:
        rng = np.random.default_rng(seed)
        self._scene, self._cameras, self._seed = scene, cameras, seed
        self._looks = CameraLooks.draw(config, len(cameras), rng)
        blurred = rng.random() < config.blur_share
        shutter = rng.uniform(0, config.shutter)
        steps = config.blur_steps if blurred else 1
        self._offsets = shutter * (np.arange(steps) - (steps - 1) / 2) / steps

    def at(self, time: float, shot: int) -> Tensor:
        """(V, 3, H, W) float32, 0..1, at a time; `shot` tells apart the noise of several."""
        instants = [scene_images(self._scene, time + d, self._cameras) for d in self._offsets]
        words = np.random.SeedSequence((*self._seed, shot)).generate_state(1)
        generator = torch.Generator().manual_seed(int(words[0]))
        return self._looks.picture(torch.stack(instants).mean(dim=0), time, generator)


def scene_images(scene: SyntheticScene, time: float, cameras: Sequence[Camera]) -> Tensor:
    """(V, 3, H, W) float32 renderings in cameras of one size; not clamped."""
    gaussians = Gaussians(**vars(scene.at(time)))
    with torch.no_grad():
        return torch.stack([render(gaussians, camera).color for camera in cameras])
