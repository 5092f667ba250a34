"""Small rigs and videos made for the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from igs.scene import Camera, Rig

MakeVideo = Callable[..., Path]
LEVELS = (20, 70, 120, 170, 220)


def look_at(name: str, center: np.ndarray, target: np.ndarray, size=(64, 48), f=60.0) -> Camera:
    """A camera at `center` that looks at `target`, y down."""
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ center
    width, height = size
    return Camera(name, width, height, f, f * 1.01, width / 2 + 1.5, height / 2 - 0.5, pose)


@pytest.fixture
def rig() -> Rig:
    """Six cameras on an arc around (0, 0, 4); cam0 is held out."""
    target = np.array([0.0, 0.0, 4.0])
    cameras = {}
    for i, angle in enumerate(np.linspace(-0.6, 0.6, 6)):
        center = target + 4 * np.array([np.sin(angle), -0.1 * i, -np.cos(angle)])
        cameras[f"cam{i}"] = look_at(f"cam{i}", center, target)
    return Rig(cameras, held_out=("cam0",), fps=30.0)


@pytest.fixture
def make_video() -> MakeVideo:
    """Write a grey video whose frame i has a level of its own.

    The level counts the moment, not the frame: a dropped frame leaves its level out.
    """

    def make(
        path: Path,
        count: int = 10,
        *,
        fps: int = 30,
        size: tuple[int, int] = (64, 48),
        drop: Sequence[int] = (),
        offset: int = 0,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        shift: Callable[[int], float] = lambda moment: 0.0,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "1", "threads": "1"} if options is None else options
            stream.time_base = Fraction(1, fps * 100)
            stream.codec_context.time_base = Fraction(1, fps * 100)
            for moment in range(count):
                if moment in drop:
                    continue
                image = np.full((size[1], size[0], 3), level(moment), np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = round((moment + offset + shift(moment)) * 100)
                frame.time_base = Fraction(1, fps * 100)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return make


def level(moment: int) -> int:
    """Grey level of a moment; neighbours differ by far more than coding noise."""
    return LEVELS[moment % len(LEVELS)] + 4 * (moment // len(LEVELS) % 8)


@pytest.fixture
def level_of() -> Callable[[int], int]:
    """Grey level that `make_video` gives to a moment."""
    return level
