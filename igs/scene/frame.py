"""One time step of a rig, and the sources that yield them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from igs.scene.camera import Camera


@dataclass(frozen=True)
class MultiViewFrame:
    """The synchronised images of one time step.

    Attributes:
        index: number of the step, from 0.
        time: seconds since the first step.
        images: camera name to (H, W, 3) uint8 RGB at the working resolution of that camera.
        network_images: camera name to (S, S, 3) uint8 RGB prepared for the motion network; empty
            where the source has none, and then they are made from `images`.
        stale: cameras that are away; their images are the last good ones, or grey before there was
            one, and nothing may be optimised towards them or predicted from them.
    """

    index: int
    time: float
    images: Mapping[str, np.ndarray]
    network_images: Mapping[str, np.ndarray] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()


@runtime_checkable
class FrameSource(Protocol):
    """Anything that yields `MultiViewFrame`s in order and knows its cameras."""

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Cameras in the rig's order, at the size of the images that are yielded."""
        ...

    @property
    def num_frames(self) -> int | None:
        """Number of time steps, or None for a source without an end."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of the capture."""
        ...

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on, each decoded when it is asked for."""
        ...
