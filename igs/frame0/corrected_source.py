"""A stream in the mean camera's colours: every frame of a camera, its learned colour taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from igs.scene import Camera, FrameSource, MultiViewFrame


class ColorCorrectedSource:
    """Frames of another source with the colours of some cameras undone.

    Args:
        source: any source.
        matrices: camera name to (3, 4), as `CameraColors` learned them; others pass unchanged, as
            held-out cameras must.

    Raises:
        ValueError: a matrix that cannot be inverted; names the camera.
    """

    def __init__(self, source: FrameSource, matrices: Mapping[str, torch.Tensor]) -> None:
        self._source = source
        self._inverse = {name: _inverted(name, m) for name, m in matrices.items()}

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras, unchanged."""
        return self._source.cameras

    @property
    def num_frames(self) -> int | None:
        """Number of frames, None if endless."""
        return self._source.num_frames

    @property
    def fps(self) -> float:
        """Frames per second of the source."""
        return self._source.fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on."""
        for frame in self._source.frames(start):
            yield replace(
                frame,
                images=self._undone(frame.images),
                network_images=self._undone(frame.network_images),
            )

    def _undone(self, images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: corrected_image(image, self._inverse[name]) if name in self._inverse else image
            for name, image in images.items()
        }


def corrected_image(image: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """``M c + b`` of an (H, W, 3) uint8 image with a (3, 4) matrix for colours in 0..1.

    Returns:
        (H, W, 3) uint8, rounded and cut to 0..255.
    """
    mixed = image.astype(np.float32) @ inverse[:, :3].T + 255 * inverse[:, 3]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _inverted(name: str, matrix: torch.Tensor) -> np.ndarray:
    values = matrix.detach().cpu().double().numpy()
    if abs(np.linalg.det(values[:, :3])) < 1e-3:
        raise ValueError(f"camera colours of {name!r} mix the channels beyond recovery")
    inverse = np.linalg.inv(values[:, :3])
    return np.concatenate([inverse, -inverse @ values[:, 3:]], axis=1).astype(np.float32)
