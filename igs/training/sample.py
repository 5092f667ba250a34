"""What one training step of AGM-Net learns from; the contract of data sources and trainer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from igs.gaussians import Gaussians
from igs.scene import Camera


@dataclass(frozen=True)
class TrainingSample:
    """A key frame and one other frame of the same scene, seen by V input views.

    N Gaussians, V input views of S x S pixels, T supervision views of H x W pixels. Tensors that
    only synthetic scenes know are None where the truth is not known.

    Attributes:
        cur_images: (V, 3, S, S) float32, 0..1, RGB, the key frame as the network takes it.
        next_images: (V, 3, S, S) float32, the other frame, same views.
        depth: (V, Hd, Wd) float32, z-depth of the key frame in the input views, world units, 0
            where nothing is seen.
        world_to_camera: (V, 4, 4) float32, rigid, OpenCV axes.
        fov: (V, 2) float32, horizontal and vertical field of view, radians.
        box: (2, 3) float32, minimum and maximum corner of the region that moves, world units.
        gaussians: N Gaussians of the key frame, world axes.
        targets: (T, 3, H, W) float32, supervision images of the other frame, or None where only
            the motion is learned from.
        target_cameras: T cameras of these images, H x W pixels each, the input views first (in
            their order), then further views. Empty without targets.
        true_translation: (N, 3) float32, world units, from the key to the other frame.
        true_rotation: (N, 4) float32 unit quaternions, w first and not negative, in each
            Gaussian's own frame: ``q_next = q_cur * dq``.
        moving: (N,) bool, Gaussians of parts that are made to move (in a still moment of such a
            part the true motion is nil all the same).
        true_flow: (V, 2, S, S) float32, where each pixel of `cur_images` goes, pixels of the
            S x S image, x right and y down.
        flow_valid: (V, S, S) bool, where that is defined: something opaque is seen, and it is
            still in the picture and not hidden in the other frame.
    """

    cur_images: Tensor
    next_images: Tensor
    depth: Tensor
    world_to_camera: Tensor
    fov: Tensor
    box: Tensor
    gaussians: Gaussians
    targets: Tensor | None = None
    target_cameras: tuple[Camera, ...] = ()
    true_translation: Tensor | None = None
    true_rotation: Tensor | None = None
    moving: Tensor | None = None
    true_flow: Tensor | None = None
    flow_valid: Tensor | None = None

    def __post_init__(self) -> None:
        views, count = len(self.cur_images), len(self.gaussians)
        size = tuple(self.cur_images.shape[-2:])
        wanted = {
            "cur_images": (views, 3, *size),
            "next_images": (views, 3, *size),
            "depth": (views, *self.depth.shape[1:3]),
            "world_to_camera": (views, 4, 4),
            "fov": (views, 2),
            "box": (2, 3),
            "targets": (len(self.target_cameras), 3, *self._target_size()),
            "true_translation": (count, 3),
            "true_rotation": (count, 4),
            "moving": (count,),
            "true_flow": (views, 2, *size),
            "flow_valid": (views, *size),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(
                    f"TrainingSample.{name} has shape {tuple(value.shape)}, must be {shape}"
                )

    def _target_size(self) -> tuple[int, int]:
        first = self.target_cameras[0] if self.target_cameras else None
        return (first.height, first.width) if first else (0, 0)

    def to(self, device: torch.device | str) -> TrainingSample:
        """The same sample on another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device) for k, v in values.items() if isinstance(v, (Tensor, Gaussians))}
        return replace(self, **moved)
