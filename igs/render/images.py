"""Images between tensors, arrays and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from igs.scene.files import atomic_path


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Round to 8 bit.

    Args:
        image: (C, H, W) float, 0..1; values outside are clamped.

    Returns:
        (H, W, C) uint8, contiguous.
    """
    return to_bytes(image).cpu().numpy()


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """`to_uint8` as a tensor on the image's device."""
    scaled = image.detach().clamp(0, 1).mul(255).round()
    return scaled.to(torch.uint8).permute(1, 2, 0).contiguous()


def to_tensor(image: np.ndarray | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W, C) uint8 on a device; an array or a tensor that is there already is not copied."""
    tensor = image
    if not isinstance(tensor, torch.Tensor):
        tensor = torch.from_numpy(np.ascontiguousarray(tensor))
    return tensor.to(device)


def to_float(image: np.ndarray | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W, C) uint8 to (C, H, W) float32 in 0..1."""
    tensor = to_tensor(image, device)
    return tensor.permute(2, 0, 1).to(torch.float32).div(255).contiguous()


def save_png(path: str | Path, image: torch.Tensor | np.ndarray) -> None:
    """Write an 8-bit PNG, whole or not at all.

    Args:
        path: where to write; missing folders are made.
        image: (3, H, W) or (1, H, W) float tensor in 0..1, or (H, W, 3) uint8 array.

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
        ValueError: an array that is not (H, W, 3) uint8.
    """
    array = to_uint8(image) if isinstance(image, torch.Tensor) else image
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    elif array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"{path}: an image must be (H, W, 3) uint8, got {array.shape}")
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")


def load_image(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB; an alpha channel is dropped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, or a damaged one; names the file.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path}: cannot be read as an image: {error}") from error
