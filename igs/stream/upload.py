"""Frames on their way to the GPU: read, pinned and sent by a thread while others are worked on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from igs.scene import MultiViewFrame
from igs.scene.prefetch import prefetched


class SentImages(dict[str, np.ndarray]):
    """Images of a frame, some of which lie on the device as well.

    Args:
        images: camera name to (H, W, 3) uint8.
        on_device: the same as tensors, of some cameras.
    """

    def __init__(
        self, images: Mapping[str, np.ndarray], on_device: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__(images)
        self.on_device = on_device


def image_of(frame: MultiViewFrame, name: str) -> np.ndarray | torch.Tensor:
    """A camera's image, on the device if it was sent there; (H, W, 3) uint8."""
    if isinstance(frame.images, SentImages) and name in frame.images.on_device:
        return frame.images.on_device[name]
    return frame.images[name]


class Uploader(Protocol):
    """Sends images without waiting for them."""

    def send(self, images: Mapping[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], Any]:
        """Start sending; returns tensors to be filled and a mark of when they are."""
        ...

    def receive(self, tensors: Mapping[str, torch.Tensor], mark: Any) -> None:
        """Let what the caller's device does from now on come after the mark."""
        ...


class CudaUploader:
    """Through pinned memory and a stream of its own, so that sending runs beside computing.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    def send(self, images: Mapping[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], Any]:
        """See `Uploader`."""
        with torch.cuda.stream(self._stream):
            sent = {
                name: torch.from_numpy(np.ascontiguousarray(image))
                .pin_memory()
                .to(self._device, non_blocking=True)
                for name, image in images.items()
            }
            return sent, self._stream.record_event()

    def receive(self, tensors: Mapping[str, torch.Tensor], mark: Any) -> None:
        """See `Uploader`."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(mark)
        for tensor in tensors.values():
            tensor.record_stream(stream)  # its memory was taken on the other stream


def read_ahead(
    make: Callable[[], Iterator[MultiViewFrame]],
    uploader: Uploader,
    wanted: Callable[[int], Collection[str]],
    ahead: int,
) -> Iterator[MultiViewFrame]:
    """Yield the frames of ``make()``, read and sent up to `ahead` frames before their turn.

    A frame stays what it is, but for its `images`, which become `SentImages`.

    Args:
        make: starts the frames; called and used in a background thread.
        uploader: to the device.
        wanted: index of a frame to the cameras whose images are needed there.
        ahead: frames to hold ready, at least 1.

    Raises:
        ValueError: `ahead` is not positive; and what the frames raise.
    """
    if ahead < 1:
        raise ValueError(f"frames can be read 1 or more ahead, not {ahead}")

    def sent() -> Iterator[tuple[MultiViewFrame, dict[str, torch.Tensor], Any]]:
        for frame in make():
            images = {name: frame.images[name] for name in wanted(frame.index)}
            tensors, mark = uploader.send(images)
            yield replace(frame, images=SentImages(frame.images, tensors)), tensors, mark

    for frame, tensors, mark in prefetched(sent, ahead):
        uploader.receive(tensors, mark)
        yield frame
