"""A small synthetic rig, its pictures, and captures of the field's formats made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from igs.scene import Camera, Rig

WIDTH, HEIGHT = 64, 48
NUM_FRAMES = 6

Pictures = Mapping[str, np.ndarray]


def look_at(name: str, center: np.ndarray, target: np.ndarray, offset: float = 1.5) -> Camera:
    """A camera at `center` that looks at `target`, y down, its principal point off the centre."""
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ center
    return Camera(name, WIDTH, HEIGHT, 60.0, 61.0, WIDTH / 2 + offset, HEIGHT / 2 - offset, pose)


@pytest.fixture
def rig() -> Rig:
    """Five cameras on an arc around (0, 0, 4)."""
    target = np.array([0.0, 0.0, 4.0])
    cameras = []
    for i, angle in enumerate(np.linspace(-0.5, 0.5, 5)):
        center = target + 4 * np.array([np.sin(angle), -0.1 * i, -np.cos(angle)])
        cameras.append(look_at(f"cam{i:02d}", center, target))
    return Rig.of(cameras)


def picture(camera_number: int, frame: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A picture whose grey level tells camera and frame."""
    image = np.full((size[1], size[0], 3), 30 + 20 * (frame % 10), np.uint8)
    image[:, :, 0] = 20 + 30 * camera_number
    return image


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def show() -> Callable[[int, int], np.ndarray]:
    """`picture`, for tests."""
    return picture


@pytest.fixture
def save_png() -> Callable[[Path, np.ndarray], None]:
    """`write_png`, for tests."""
    return write_png


@pytest.fixture
def write_video() -> Callable[..., Path]:
    """Write a video of one camera."""

    def write(
        path: Path,
        number: int,
        frames: int = NUM_FRAMES,
        *,
        fps: int = 30,
        size: tuple[int, int] = (WIDTH, HEIGHT),
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv444p"
            stream.options = {"crf": "1", "threads": "1"}
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(number, index, size), format="rgb24")
                frame.pts = index
                frame.time_base = Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def write_videos(rig: Rig, write_video: Callable[..., Path]) -> Callable[..., None]:
    """Write a video of every camera of the rig into a folder."""

    def write(folder: Path, frames: int = NUM_FRAMES) -> None:
        for number, name in enumerate(rig.cameras):
            write_video(folder / f"{name}.mp4", number, frames)

    return write


@pytest.fixture
def write_image_folders(rig: Rig) -> Callable[..., None]:
    """Write a folder of images for every camera, ``<folder>/<camera>/<frame>.png``."""

    def write(
        folder: Path, frames: int = NUM_FRAMES, names: Mapping[str, str] | None = None
    ) -> None:
        for number, name in enumerate(rig.cameras):
            for frame in range(frames):
                sub = folder / (names or {}).get(name, name)
                write_png(sub / f"{frame:06d}.png", picture(number, frame))

    return write
