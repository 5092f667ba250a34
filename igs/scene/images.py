"""Reading and writing 8-bit RGB image files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from igs.scene.errors import SceneError
from igs.scene.files import write_bytes

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_EIGHT_BIT = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr")


def stem_of_image(name: str) -> str:
    """A camera's name: that of its image, without the suffix of one."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in IMAGE_SUFFIXES and stem else name


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB; an alpha channel is dropped, grey is repeated.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: it is no image, cut off, or has more than 8 bits per channel.
    """
    with _open(path) as image:
        if image.mode not in _EIGHT_BIT:
            raise SceneError(f"{path}: images of mode {image.mode} are not read; use 8-bit RGB")
        try:
            return np.array(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise SceneError(f"{path}: is cut off or damaged ({error})") from error


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height from an image's header. Raises as `read_image` does."""
    with _open(path) as image:
        return image.size


def _open(path: str | os.PathLike[str]) -> Image.Image:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such image")
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise SceneError(f"{path}: cannot be read as an image") from error


def write_image(path: str | os.PathLike[str], image: np.ndarray, quality: int = 95) -> None:
    """Write an (H, W, 3) uint8 RGB image, format by suffix, whole or not at all.

    Args:
        path: ends in .png, .jpg or .jpeg.
        image: the pixels.
        quality: for JPEG, 1 to 100.

    Raises:
        SceneError: another shape, dtype or suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise SceneError(f"{path}: images are written as {', '.join(IMAGE_SUFFIXES)}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise SceneError(f"{path}: an image is (H, W, 3) uint8, got {image.shape} {image.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG" if suffix == ".png" else "JPEG", quality=quality)
    write_bytes(path, buffer.getvalue())


def resize_image(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 with anti-aliasing (bicubic, its support grown when shrinking)."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
