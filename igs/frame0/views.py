"""Training views: their images at every size, the order they are drawn in, and checks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from igs.render.images import to_float, to_tensor
from igs.scene import Camera, resize_image
from igs.scene.rig import choose_input_views, resolve_views, scene_radius


class ViewDraw:
    """Draws views without replacement, refilled when empty, from one seeded generator."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count, self._generator, self._left = count, generator, []

    def __call__(self) -> int:
        """Position of the next view."""
        if not self._left:
            self._left = torch.randperm(self._count, generator=self._generator).tolist()
        return self._left.pop()

    @property
    def left(self) -> list[int]:
        """Positions not drawn yet, the next one last."""
        return list(self._left)

    @left.setter
    def left(self, positions: Sequence[int]) -> None:
        self._left = list(positions)


class TrainingViews:
    """Cameras and their images, at full size or divided by a factor.

    Images stay 8 bit as they came; those of one smaller size are kept while it is asked for. What
    was asked for on a GPU stays there.

    Args:
        cameras: the cameras.
        images: camera name to (H, W, 3) uint8 of the camera's size.
    """

    def __init__(self, cameras: Sequence[Camera], images: Mapping[str, np.ndarray]) -> None:
        self.cameras, self._images = list(cameras), images
        self._small: dict[int, tuple[Camera, np.ndarray]] = {}
        self._factor = 1.0
        self._sent: dict[tuple[int, float, torch.device], torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.cameras)

    def at(
        self, index: int, factor: float = 1.0, device: torch.device | str = "cpu"
    ) -> tuple[Camera, torch.Tensor]:
        """A camera and its image at 1/factor of the size, (3, H, W) float32 in 0..1."""
        camera = self.cameras[index]
        if factor == 1.0:
            return camera, self._float(index, factor, self._images[camera.name], device)
        if factor != self._factor:
            self._small, self._factor = {}, factor
        if index not in self._small:
            small = camera.resized(
                max(1, round(camera.width / factor)), max(1, round(camera.height / factor))
            )
            image = resize_image(self._images[camera.name], small.width, small.height)
            self._small[index] = (small, image)
        small, image = self._small[index]
        return small, self._float(index, factor, image, device)

    def _float(
        self, index: int, factor: float, image: np.ndarray, device: torch.device | str
    ) -> torch.Tensor:
        device = torch.device(device)
        if device.type == "cpu":
            return to_float(image)
        key = index, factor, device
        if key not in self._sent:
            self._sent = {k: v for k, v in self._sent.items() if k[1:] == key[1:]}
            self._sent[key] = to_tensor(image, device)
        return to_float(self._sent[key], device)


def split_validation(
    cameras: Sequence[Camera], count: int, names: Sequence[str] = ()
) -> tuple[list[Camera], list[Camera]]:
    """Training cameras, and those set aside to validate.

    Args:
        cameras: all training cameras.
        count: how many to set aside, chosen so that every camera has one close by.
        names: these instead.

    Raises:
        SceneError: a name that is no training camera.
        ValueError: none would be left to train with.
    """
    by_name = {camera.name: camera for camera in cameras}
    if names:
        chosen = resolve_views(list(names), by_name)
    else:
        chosen = choose_input_views(by_name, count) if 0 < count < len(cameras) else []
    if max(len(chosen), count) >= len(cameras):
        raise ValueError(
            f"frame0.validation: {max(len(chosen), count)} of {len(cameras)} training cameras "
            "set aside leave none to train with"
        )
    return (
        [camera for camera in cameras if camera.name not in chosen],
        [by_name[name] for name in chosen],
    )


def with_central_point(camera: Camera) -> Camera:
    """The camera with its principal point in the image's centre, as the originals take it."""
    return replace(camera, cx=camera.width / 2, cy=camera.height / 2)


def check_images(
    what: str,
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor],
) -> None:
    """Refuse images that cannot be optimised against.

    Args:
        what: what the images are for, for the message.
        cameras: the training cameras.
        images: camera name to (H, W, 3) uint8, arrays or tensors.

    Raises:
        ValueError: no camera, or an image that is missing or of another size than its camera.
    """
    if not cameras:
        raise ValueError(f"{what}: no training cameras; views.held_out leaves none")
    for camera in cameras:
        if camera.name not in images:
            raise ValueError(f"{what}: no image of camera {camera.name!r}")
        shape = tuple(images[camera.name].shape)
        if shape != (camera.height, camera.width, 3):
            raise ValueError(
                f"{what}: image of camera {camera.name!r} has shape {shape}, its camera says "
                f"({camera.height}, {camera.width}, 3)"
            )


def training_extent(cameras: Sequence[Camera], means: torch.Tensor) -> float:
    """Size of the scene that rates are relative to, world units.

    `scene_radius` of the cameras; where they share one centre, which says nothing of the scene,
    the median distance of the points from it.
    """
    radius = scene_radius(cameras)
    if radius > 0 or len(means) == 0:
        return radius
    center = torch.as_tensor(cameras[0].center, dtype=means.dtype, device=means.device)
    return float((means.detach() - center).norm(dim=-1).median())
