"""Colours of surfaces: solid textures over many scales, and photographs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from igs.scene.images import IMAGE_SUFFIXES, read_image, resize_image
from igs.scene.synthetic import quaternions as quat

Texture = Callable[[np.ndarray], np.ndarray]
"""(n, 3) points to (n, 3) RGB, 0..1."""

_PHOTO_SIDE = 512


def draw_texture(
    rng: np.random.Generator, size: float, photos: list[Path], share: float
) -> Texture:
    """A random texture for a thing of about this size.

    Args:
        rng: draws everything.
        size: extent of the thing, in the units of the points.
        photos: photographs to take textures from.
        share: how often to take one.
    """
    if photos and rng.random() < share:
        return photograph(rng, size, read_photo(photos[rng.integers(len(photos))]))
    kinds = (noise, noise, stripes, checks, patches, plain)
    first = kinds[rng.integers(len(kinds))](rng, size)
    if rng.random() < 0.5:
        return first
    second = kinds[rng.integers(len(kinds))](rng, size)
    return blend(rng, size, first, second)


def find_photos(folder: str | None) -> list[Path]:
    """The photographs of a folder, sorted by name; none for None."""
    if folder is None:
        return []
    return sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


@lru_cache(maxsize=64)
def read_photo(path: Path) -> np.ndarray:
    """(H, W, 3) float32, 0..1, the longer side at most 512 pixels."""
    image = read_image(path)
    height, width = image.shape[:2]
    factor = min(1.0, _PHOTO_SIDE / max(width, height))
    small = resize_image(image, max(round(width * factor), 1), max(round(height * factor), 1))
    return small.astype(np.float32) / 255


def draw_color(rng: np.random.Generator) -> np.ndarray:
    """(3,) RGB; greys and muted colours are more frequent than vivid ones, as in the world."""
    grey, vivid = rng.uniform(0.05, 0.95), rng.beta(1.2, 2.5)
    return np.clip(grey + vivid * rng.uniform(-0.6, 0.6, 3), 0.02, 0.98)


def plain(rng: np.random.Generator, size: float) -> Texture:
    """One colour with faint clouds."""
    color, clouds = draw_color(rng), _octaves(rng, size)
    strength = rng.uniform(0.01, 0.06)
    return lambda points: np.clip(color + strength * clouds(points)[:, None], 0, 1)


def noise(rng: np.random.Generator, size: float) -> Texture:
    """Two colours mixed by noise of many octaves."""
    colors, waves = (draw_color(rng), draw_color(rng)), _octaves(rng, size)
    contrast = rng.uniform(0.5, 2.0)
    return lambda points: _mix(*colors, 0.5 + 0.5 * contrast * waves(points))


def stripes(rng: np.random.Generator, size: float) -> Texture:
    """Two colours in stripes, more or less sharp, on lines that may waver."""
    colors, direction = (draw_color(rng), draw_color(rng)), quat.draw_axis(rng)
    period, sharpness = size * _log_uniform(rng, 0.05, 0.5), rng.uniform(0.5, 8)
    waver, waves = rng.uniform(0, 1) * (rng.random() < 0.5), _octaves(rng, size)

    def color(points: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * (points @ direction) / period + waver * waves(points)
        return _mix(*colors, 0.5 + 0.5 * np.tanh(sharpness * np.sin(phase)))

    return color


def checks(rng: np.random.Generator, size: float) -> Texture:
    """Two colours in cubes."""
    colors, axes = (draw_color(rng), draw_color(rng)), quat.to_matrices(quat.draw(rng))
    period = size * _log_uniform(rng, 0.06, 0.4)
    return lambda points: _mix(*colors, np.floor(points @ axes / period).sum(axis=1) % 2)


def patches(rng: np.random.Generator, size: float) -> Texture:
    """A patchwork: each point has the colour of the nearest of some seeds."""
    count = int(rng.integers(4, 40))
    seeds = rng.uniform(-0.6, 0.6, (count, 3)) * size
    colors = np.stack([draw_color(rng) for _ in range(count)])

    def color(points: np.ndarray) -> np.ndarray:
        squared = (seeds**2).sum(axis=1) - 2 * points @ seeds.T
        return colors[squared.argmin(axis=1)]

    return color


def photograph(rng: np.random.Generator, size: float, photo: np.ndarray) -> Texture:
    """A photograph, projected along a random direction and mirrored beyond its borders."""
    axes = quat.to_matrices(quat.draw(rng))[:2]
    shift, scale = rng.uniform(0, 1, 2), size * _log_uniform(rng, 0.4, 2.0)
    height, width = photo.shape[:2]

    def color(points: np.ndarray) -> np.ndarray:
        place = points @ axes.T / scale + shift
        folded = 1 - np.abs(1 - np.mod(place, 2))
        column = np.minimum((folded[:, 0] * width).astype(int), width - 1)
        row = np.minimum((folded[:, 1] * height).astype(int), height - 1)
        return photo[row, column].astype(np.float64)

    return color


def blend(rng: np.random.Generator, size: float, first: Texture, second: Texture) -> Texture:
    """Two textures in areas that noise divides."""
    waves, level = _octaves(rng, size), rng.uniform(-0.3, 0.3)
    return lambda points: np.where(waves(points)[:, None] > level, first(points), second(points))


def _octaves(rng: np.random.Generator, size: float) -> Texture:
    """Points to (n,) noise of about -1..1: plane waves of wavelengths from `size` down."""
    count = 4 * int(rng.integers(2, 6))
    octave = np.arange(count) // 4
    directions = rng.normal(size=(3, count))
    directions /= np.linalg.norm(directions, axis=0)
    lengths = size * _log_uniform(rng, 0.6, 2.0) * 2.0**-octave * rng.uniform(0.7, 1.4, count)
    phases = rng.uniform(0, 2 * np.pi, count)
    weights = 2.0 ** (-octave * rng.uniform(0.0, 1.2))
    weights /= np.sqrt((weights**2).sum())

    def value(points: np.ndarray) -> np.ndarray:
        return np.sin(points @ (2 * np.pi * directions / lengths) + phases) @ weights

    return value


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    share = np.clip(weight, 0, 1)[:, None]
    return first * (1 - share) + second * share


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
