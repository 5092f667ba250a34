"""The motion network in the loop: key frame encoded once, each candidate predicted as it comes.

Source: spec `streaming.md`, section 4, with fault 3 of section 16 mended: the depth of the input
views is rendered from the refined key frame, frame 0 included (fault 6).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from igs.gaussians import Gaussians
from igs.motion import AGMNet, KeyState, Motion, resize_images
from igs.render import render_depths
from igs.render.images import to_bytes, to_float, to_tensor
from igs.scene import Camera, MultiViewFrame
from igs.scene.bbox import Box
from igs.stream.upload import image_of

logger = logging.getLogger(__name__)


def network_images(
    frame: MultiViewFrame,
    names: Sequence[str],
    size: int,
    antialias: bool,
    device: torch.device | str = "cpu",
) -> dict[str, torch.Tensor]:
    """Square images of the input views, (S, S, 3) uint8, the source's own where it has them.

    A source whose own are of another size than these weights take (512 on disk, 256 for
    `igs_small`) has its working images resized, as one without. Images are resized on the device.
    """
    result = {}
    for name in names:
        given = frame.network_images.get(name)
        if given is not None and given.shape == (size, size, 3):
            result[name] = to_tensor(given, device)
        else:
            image = to_float(image_of(frame, name), device)[None]
            result[name] = to_bytes(resize_images(image, size, antialias=antialias)[0])
    return result


class MotionPredictor:
    """AGM-Net bound to the input views of one rig.

    Args:
        network: trained network, on the device to work on.
        cameras: the V input views at the working size.
        box: region that may move.
        anchors: number of anchors, None as trained.
        antialias: of the network's images.
        dtype: that the network's layers compute in (autocast), None for float32.
    """

    def __init__(
        self,
        network: AGMNet,
        cameras: Sequence[Camera],
        box: Box,
        *,
        anchors: int | None = None,
        antialias: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.dtype = dtype
        self.network, self.cameras, self.box = network.eval(), cameras, box
        self.anchors, self.antialias = anchors, antialias
        self.names = [camera.name for camera in cameras]

    def images(self, frame: MultiViewFrame) -> dict[str, torch.Tensor]:
        """The network's view of a frame, see `network_images`; on the network's device."""
        size, device = self.network.config.network_size, next(self.network.parameters()).device
        return network_images(frame, self.names, size, self.antialias, device)

    def encode(
        self, gaussians: Gaussians, images: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor]
    ) -> KeyState:
        """Everything about a key frame that does not depend on the candidates.

        Raises:
            ValueError: no Gaussian lies in the box.
        """
        device = gaussians.device
        if not bool(self.box.contains(gaussians.means).any()):
            raise ValueError(
                f"box {self.box.minimum.tolist()} .. {self.box.maximum.tolist()}: none of the "
                f"{len(gaussians)} Gaussians lies inside; give box.bounds in world units"
            )
        # Views may differ in size; the network resizes depths anyway.
        size = self.network.config.network_size
        depth = render_depths(gaussians, [c.resized(size, size) for c in self.cameras])[:, 0]
        poses = np.stack([camera.world_to_camera for camera in self.cameras])
        fov = [camera.fov for camera in self.cameras]
        corners = np.stack([self.box.minimum, self.box.maximum])
        with self._autocast(device):
            return self.network.encode_key(
                gaussians,
                self._stack(images, device),
                depth,
                torch.as_tensor(poses, dtype=torch.float32, device=device),
                torch.tensor(fov, dtype=torch.float32, device=device),
                torch.as_tensor(corners, dtype=torch.float32, device=device),
                anchors=self.anchors,
            )

    def predict(
        self, key: KeyState, frame: MultiViewFrame, previous: Motion | None = None
    ) -> Motion:
        """Motion from the encoded key frame to this frame.

        Args:
            key: from `encode`.
            frame: the candidate.
            previous: motion from the same key frame to the candidate before, if there was one.
        """
        images = self._stack(self.images(frame), key.inside.device)
        with self._autocast(key.inside.device):
            return self.network.predict(key, images[None], previous)[0]

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None)

    def _stack(
        self,
        images: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor],
        device: torch.device,
    ) -> torch.Tensor:
        return torch.stack([to_float(images[name], device) for name in self.names])
