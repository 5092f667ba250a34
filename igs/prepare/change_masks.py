"""Which pixels of a static camera change over time, whatever noise and exposure do.

Every frame is compared with what the view shows most of the time (the still background), after a
gain for each channel, robustly fitted, has taken exposure and white balance out. What counts as a
change is set by the view's own noise, and near edges also by how much a shake of a fraction of a
pixel would change them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    binary_opening,
    gaussian_filter,
    label,
    sobel,
)

_LEAST_CHANGE = 9.0  # grey levels of 255
_NOISE_FACTOR = 6.0
_SHAKE = 0.25  # pixels
_FIT_ROUNDS = 4
_FIT_EVERY = 3  # pixels
_SATURATED = 250.0
_ALIKE = 12.0  # grey levels


def change_masks(frames: Sequence[np.ndarray], min_pixels: int = 12) -> np.ndarray:
    """Pixels of each frame that differ from the still background.

    Args:
        frames: T >= 2 images (h, w, 3) uint8 of one static camera; five or more tell the
            background well.
        min_pixels: connected changes of fewer pixels are noise.

    Returns:
        (T, h, w) bool.
    """
    stack = np.stack(frames).astype(np.float32)
    median = np.median(stack, axis=0)
    stack *= np.stack([_gain(frame, median) for frame in stack])[:, None, None]
    background = still_background(stack)
    differences = np.stack([_difference(frame, background) for frame in stack])
    still = np.median(differences, axis=0)
    # Half of all pixels of all frames at least are taken to stand still.
    spread = float(np.median(np.abs(differences - still)))
    level = max(_LEAST_CHANGE, _NOISE_FACTOR * 1.4826 * spread)
    threshold = level + _SHAKE * _steepness(background)
    return np.stack([_cleaned(d > threshold, min_pixels) for d in differences])


def still_background(stack: np.ndarray) -> np.ndarray:
    """What each pixel shows most often: the mean of its largest group of like values.

    Where something stands before the background for most of the time, a median shows that; its
    surface rarely looks the same twice, though, and the background does.

    Args:
        stack: (T, h, w, 3) float32 of one exposure.

    Returns:
        (h, w, 3) float32.
    """
    best = stack[0]
    most = np.zeros(stack.shape[1:3], np.int64)
    for candidate in stack:
        like = (np.abs(stack - candidate).max(axis=3) < _ALIKE).sum(axis=0)
        best = np.where((like > most)[..., None], candidate, best)
        most = np.maximum(like, most)
    near = (np.abs(stack - best).max(axis=3) < _ALIKE)[..., None]
    return (stack * near).sum(axis=0) / near.sum(axis=0)


def _difference(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(h, w) largest channel difference, lightly blurred."""
    smooth = gaussian_filter(frame - background, (0.8, 0.8, 0))
    return np.abs(smooth).max(axis=2)


def _gain(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(3,) factors that bring a frame's exposure to the background's; changes are left out."""
    frame, background = frame[::_FIT_EVERY, ::_FIT_EVERY], background[::_FIT_EVERY, ::_FIT_EVERY]
    usable = ((frame > 8) & (frame < _SATURATED) & (background < _SATURATED)).all(axis=2)
    a, b = frame[usable], background[usable]
    if len(a) < 100:
        return np.ones(3, np.float32)
    gain = np.median((b + 1) / (a + 1), axis=0)
    for _ in range(_FIT_ROUNDS):
        off = np.abs(a * gain - b).max(axis=1)
        near = off <= np.median(off) + 1e-3
        gain = (a[near] * b[near]).sum(axis=0) / np.maximum((a[near] ** 2).sum(axis=0), 1e-6)
    return gain.astype(np.float32)


def _steepness(image: np.ndarray) -> np.ndarray:
    """(h, w) grey levels per pixel across the image's edges."""
    gray = gaussian_filter(image.mean(axis=2), 0.8)
    return np.hypot(sobel(gray, 0), sobel(gray, 1)) / 8


def _cleaned(mask: np.ndarray, min_pixels: int) -> np.ndarray:
    """Without specks; gaps of few pixels and holes closed, so that bodies become silhouettes."""
    mask = binary_opening(mask, np.ones((2, 2), bool))
    closed = binary_closing(np.pad(mask, 4), np.ones((5, 5), bool))
    mask = np.asarray(binary_fill_holes(closed))[4:-4, 4:-4]
    blobs = np.zeros(mask.shape, np.int32)
    if not label(mask, np.ones((3, 3), bool), output=blobs):
        return mask
    sizes = np.bincount(blobs.ravel())
    sizes[0] = 0
    return (sizes >= min_pixels)[blobs]
