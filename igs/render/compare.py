"""Captured and rendered images side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_LABELS = ("captured", "rendered", "error")
# Black, violet, red, yellow, white: brightness rises all the way, so it also reads in grey.
_HEAT = np.array([[0, 0, 0], [80, 18, 123], [222, 60, 50], [253, 200, 50], [255, 255, 255]])


def comparison_frame(
    captured: np.ndarray,
    rendered: np.ndarray,
    *,
    labels: Sequence[str] = _LABELS,
    full_error: float = 0.25,
) -> np.ndarray:
    """Captured image, rendered image and error map in one row.

    Args:
        captured: (H, W, 3) uint8.
        rendered: (H, W, 3) uint8.
        labels: text on the three panels; an empty one is left out.
        full_error: mean absolute difference over the channels (of 1) that is drawn white.

    Returns:
        (H, 3 W, 3) uint8.

    Raises:
        ValueError: images of two sizes.
    """
    if captured.shape != rendered.shape:
        raise ValueError(
            f"captured {captured.shape[1]} x {captured.shape[0]} and rendered "
            f"{rendered.shape[1]} x {rendered.shape[0]} must have one size"
        )
    panels = [captured, rendered, error_map(captured, rendered, full_error)]
    return np.concatenate([_labelled(p, t) for p, t in zip(panels, labels, strict=True)], axis=1)


def error_map(captured: np.ndarray, rendered: np.ndarray, full_error: float = 0.25) -> np.ndarray:
    """(H, W, 3) uint8 heat map of the mean absolute difference; white from `full_error` on."""
    difference = np.abs(captured.astype(np.float32) - rendered.astype(np.float32)).mean(-1) / 255
    level = np.clip(difference / full_error, 0, 1)
    stops = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(level, stops, _HEAT[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    if not text:
        return image
    picture = Image.fromarray(image)
    size = max(10, image.shape[0] // 24)
    draw = ImageDraw.Draw(picture)
    corner = (size // 2, size // 3)
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox(corner, text, font=font)
    pad = size // 4
    draw.rectangle((left - pad, top - pad, right + pad, bottom + pad), fill=(0, 0, 0))
    draw.text(corner, text, fill=(255, 255, 255), font=font)
    return np.array(picture)
