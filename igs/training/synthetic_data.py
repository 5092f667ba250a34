"""Training samples from scenes in motion, made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from igs.gaussians import Gaussians
from igs.render import render_depths
from igs.scene import Camera
from igs.scene.synthetic import SyntheticScene, SyntheticSceneConfig
from igs.training.appearance import AppearanceConfig
from igs.training.camera_groups import camera_groups
from igs.training.sample import TrainingSample
from igs.training.shots import CameraShots, scene_images
from igs.training.true_flow import render_flow

# Places in the seed sequence of a sample.
_SCENE, _RECONSTRUCTION, _PAIR, _LOOKS = range(4)


@dataclass(frozen=True)
class SyntheticDataConfig:
    """What a sample is drawn from.

    Attributes:
        scene: ranges of the scenes.
        appearance: of the input images.
        input_size: side S of the input images, pixels.
        further_views: supervision views beyond the four inputs, as far as the rig has more.
        target_long_side: longer side of the supervision images, pixels.
        frame_gap: fewest and most frames from the key frame to the other.
        both_directions: the other frame may come before the key frame.
        reconstruction: least and most error of the Gaussians handed to the network; 0 hands out
            those that the images show, see `SyntheticScene.reconstructed`.
        photometric: render supervision images, which show the scene as it is, without the
            cameras' faults; without them only the motion can be learned from.
        flow: render the true flow.

    Raises:
        ValueError: sizes or gaps that are not positive.
    """

    scene: SyntheticSceneConfig = field(default_factory=SyntheticSceneConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    input_size: int = 256
    further_views: int = 4
    target_long_side: int = 256
    frame_gap: tuple[int, int] = (1, 5)
    both_directions: bool = True
    reconstruction: tuple[float, float] = (0.0, 1.0)
    photometric: bool = True
    flow: bool = True

    def __post_init__(self) -> None:
        if min(self.input_size, self.target_long_side) < 16:
            raise ValueError(
                f"input_size {self.input_size} and target_long_side {self.target_long_side} must "
                "be at least 16 pixels"
            )
        if not 1 <= self.frame_gap[0] <= self.frame_gap[1] < self.scene.num_frames:
            raise ValueError(
                f"frame_gap {self.frame_gap} must be (lowest, highest) within the "
                f"{self.scene.num_frames} frames of a scene"
            )
        if not 0 <= self.reconstruction[0] <= self.reconstruction[1]:
            raise ValueError(f"reconstruction {self.reconstruction} must be (lowest, highest)")
        if self.further_views < 0:
            raise ValueError(f"further_views must not be negative, got {self.further_views}")


class SyntheticData:
    """An endless map from index to sample; every index is a scene of its own.

    Args:
        config: ranges.
        seed: another seed gives other scenes for all indices.
    """

    def __init__(self, config: SyntheticDataConfig | None = None, seed: int = 0) -> None:
        self.config = config or SyntheticDataConfig()
        self.seed = seed

    def scene(self, index: int) -> SyntheticScene:
        """The scene of an index."""
        return SyntheticScene.draw(self.config.scene, (self.seed, index, _SCENE))

    def reconstruction(self, index: int, scene: SyntheticScene) -> SyntheticScene:
        """The scene of an index as the network is told it."""
        seed = (self.seed, index, _RECONSTRUCTION)
        level = np.random.default_rng((*seed, 0)).uniform(*self.config.reconstruction)
        return scene.reconstructed((*seed, 1), level) if level > 0 else scene

    def sample(self, index: int) -> TrainingSample:
        """The sample of an index, 0 or above: the same on every call and machine.

        "Same" to rounding: bit by bit on one machine with one number of threads.
        """
        rng = np.random.default_rng((self.seed, index, _PAIR))
        gap = int(rng.integers(*self.config.frame_gap, endpoint=True))
        first = int(rng.integers(self.config.scene.num_frames - gap))
        times = (first, first + gap)
        if self.config.both_directions and rng.random() < 0.5:
            times = times[::-1]
        return self.pair(index, times[0], times[1])

    def pair(self, index: int, cur_time: float, next_time: float) -> TrainingSample:
        """Two given times of an index's scene, seen by the same views as in `sample`."""
        scene = self.scene(index)
        known = self.reconstruction(index, scene)
        views, further = self._views(index, scene)
        size = self.config.input_size
        cameras = [camera.resized(size, size) for camera in views]
        shots = CameraShots(self.config.appearance, scene, cameras, (self.seed, index, _LOOKS))
        gaussians = Gaussians(**vars(known.at(cur_time)))
        translation, rotation = known.motion(cur_time, next_time)
        flow, valid = self._flow(scene, cur_time, next_time, cameras)
        targets, target_cameras = self._targets(scene, next_time, [*views, *further])
        return TrainingSample(
            cur_images=shots.at(cur_time, 0),
            next_images=shots.at(next_time, 1),
            depth=_depths(gaussians, cameras),
            world_to_camera=_stack([camera.world_to_camera for camera in views]),
            fov=_stack([np.array(camera.fov) for camera in views]),
            box=_stack([scene.box.minimum, scene.box.maximum]),
            gaussians=gaussians,
            targets=targets,
            target_cameras=target_cameras,
            true_translation=translation,
            true_rotation=rotation,
            moving=known.moving,
            true_flow=flow,
            flow_valid=valid,
        )

    def _views(self, index: int, scene: SyntheticScene) -> tuple[list[Camera], list[Camera]]:
        """One camera of each spatial group, and some of the rest."""
        rng = np.random.default_rng((self.seed, index, _PAIR, 1))
        groups = camera_groups(scene.cameras, seed=int(rng.integers(2**31)))
        chosen = [int(rng.choice(group)) for group in groups]
        rest = [i for i in range(len(scene.cameras)) if i not in chosen]
        further = rng.permutation(rest)[: self.config.further_views]
        return [scene.cameras[i] for i in chosen], [scene.cameras[i] for i in further]

    def _flow(
        self, scene: SyntheticScene, cur_time: float, next_time: float, cameras: list[Camera]
    ) -> tuple[Tensor | None, Tensor | None]:
        if not self.config.flow:
            return None, None
        before = Gaussians(**vars(scene.at(cur_time)))
        after = Gaussians(**vars(scene.at(next_time)))
        return render_flow(before, after.means, _depths(after, cameras), cameras)

    def _targets(
        self, scene: SyntheticScene, time: float, cameras: list[Camera]
    ) -> tuple[Tensor | None, tuple[Camera, ...]]:
        if not self.config.photometric:
            return None, ()
        factor = self.config.target_long_side / max(cameras[0].width, cameras[0].height)
        width, height = (round(side * factor) for side in (cameras[0].width, cameras[0].height))
        sized = tuple(camera.resized(width, height) for camera in cameras)
        return scene_images(scene, time, sized).clamp(0, 1), sized


def _depths(gaussians: Gaussians, cameras: Sequence[Camera]) -> Tensor:
    """(V, H, W) expected z-depth."""
    return render_depths(gaussians, cameras)[:, 0]


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
