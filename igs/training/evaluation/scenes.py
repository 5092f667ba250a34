"""Motion on synthetic scenes, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from igs.config.evaluation import MotionEvaluationConfig
from igs.config.schema import RefineConfig
from igs.gaussians import Gaussians
from igs.motion import AGMNet, Motion, warp
from igs.render.images import to_uint8
from igs.scene.rig import scene_radius
from igs.stream.refine import refine_key_frame
from igs.training.evaluation.captures import NONE, UPPER
from igs.training.evaluation.scores import MotionScores, View, moving_region
from igs.training.losses import half_diagonal
from igs.training.sample import TrainingSample
from igs.training.synthetic_data import SyntheticData

_KEY_TIME = 7  # place in the seed sequence

Told = Callable[[int, int], None]


def evaluate_scenes(
    data: SyntheticData,
    count: int,
    settings: MotionEvaluationConfig,
    networks: Mapping[str, AGMNet],
    progress: Told | None = None,
) -> dict[str, MotionScores]:
    """Scores of no motion, of every network, and of refining every frame.

    A scene's key Gaussians are its reconstruction, refined as key frames are. Cameras other than
    the four inputs measure; they see the scene without the faults of the input cameras.

    Args:
        data: where scenes come from; it must make supervision images.
        count: scenes 0 .. count - 1 of it.
        settings: see `MotionEvaluationConfig`.
        networks: name to network, all of one input size.
        progress: told (scenes done, scenes in all).
    """
    names = (NONE, *networks, UPPER)
    scores = {name: MotionScores(settings.steps) for name in names}
    for index in range(count):
        _Scene(data, index, settings).add_to(scores, networks)
        if progress is not None:
            progress(index + 1, count)
    return scores


class _Scene:
    def __init__(self, data: SyntheticData, index: int, settings: MotionEvaluationConfig) -> None:
        self.data, self.index, self.settings = data, index, settings
        rng = np.random.default_rng((data.seed, index, _KEY_TIME))
        self.time = int(rng.integers(data.config.scene.num_frames - settings.steps))
        self.background = torch.zeros(3)
        # The key frame as a sample of its own: what the held-out cameras saw of it.
        self.key = data.pair(index, self.time, self.time)
        held_out = settings.synthetic.held_out
        self._training = len(self.key.target_cameras) - held_out

    def add_to(self, scores: Mapping[str, MotionScores], networks: Mapping[str, AGMNet]) -> None:
        start = refined = self._refine(self.key.gaussians, self.key)
        states = {name: _encode(net, start, self.key) for name, net in networks.items()}
        motions: dict[str, Motion] = {}
        for step in range(1, self.settings.steps + 1):
            sample = self.data.pair(self.index, self.time, self.time + step)
            refined = self._refine(refined, sample)
            views = self._views(sample)
            scores[NONE][step].look(start, views, self.background)
            scores[UPPER][step].look(refined, views, self.background)
            _end_points(scores[NONE], step, None, sample)
            for name, network in networks.items():
                # As in streaming, the candidate before says where to look.
                images, before = sample.next_images[None], motions.get(name)
                motions[name] = motion = network.predict(states[name], images, before)[0]
                scores[name][step].look(warp(start, motion), views, self.background)
                _end_points(scores[name], step, motion, sample)

    def _refine(self, gaussians: Gaussians, sample: TrainingSample) -> Gaussians:
        cameras = sample.target_cameras[: self._training]
        assert sample.targets is not None
        config = RefineConfig(iterations=self.settings.synthetic.iterations)
        config = replace(config, densify=replace(config.densify, enabled=False))
        return refine_key_frame(
            gaussians,
            cameras,
            {c.name: to_uint8(image) for c, image in zip(cameras, sample.targets, strict=False)},
            config,
            extent=scene_radius(sample.target_cameras),
            background=self.background,
            generator=torch.Generator().manual_seed(self.data.seed + self.index),
        )[0]

    def _views(self, sample: TrainingSample) -> list[View]:
        assert sample.targets is not None
        assert self.key.targets is not None
        rows = zip(sample.target_cameras, sample.targets, self.key.targets, strict=True)
        return [
            View(camera, image, self._moving(before, image))
            for camera, image, before in list(rows)[self._training :]
        ]

    def _moving(self, before: Tensor, after: Tensor) -> Tensor:
        return moving_region(before, after, self.settings.change, self.settings.margin)


def _encode(network: AGMNet, gaussians: Gaussians, key: TrainingSample):
    return network.encode_key(
        gaussians, key.cur_images, key.depth, key.world_to_camera, key.fov, key.box
    )


def _end_points(
    scores: MotionScores, step: int, motion: Motion | None, sample: TrainingSample
) -> None:
    """Errors of the moving Gaussians in the box."""
    true, moving = sample.true_translation, sample.moving
    assert true is not None
    assert moving is not None
    unit = float(half_diagonal(sample.box))
    low, high = sample.box
    means = sample.gaussians.means
    rows = (moving & ((means >= low) & (means <= high)).all(dim=1)).nonzero()[:, 0]
    if motion is None:
        scores[step].end_points(None, true[rows], unit)
        return
    predicted = torch.zeros_like(true).index_copy(0, motion.index, motion.translation)
    scores[step].end_points(predicted[rows], true[rows], unit)
