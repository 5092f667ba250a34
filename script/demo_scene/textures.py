"""Procedural textures: seeded NumPy, rich at several scales from centimetres up.

One pixel of the demo covers about a centimetre, so most contrast sits at two centimetres and
above; what is finer only lends a surface its grain. Every texture is an sRGB array (H, W, 3) in
[0, 1] that repeats without a seam.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Painter = Callable[[np.random.Generator], Array]


def hex_colour(code: str) -> Array:
    """``"c08040"`` as three numbers in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def value_noise(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Smooth periodic noise (size, size) in [-1, 1] with ``cells`` knots on each side."""
    knots = rng.uniform(-1, 1, (cells, cells))
    position = np.arange(size) * cells / size
    low = position.astype(int)
    t = position - low
    t = t * t * (3 - 2 * t)
    high = (low + 1) % cells
    rows = knots[low] * (1 - t)[:, None] + knots[high] * t[:, None]
    return rows[:, low] * (1 - t) + rows[:, high] * t


def fractal(size: int, cells: int, octaves: int, rng: np.random.Generator) -> Array:
    """Noise of several octaves, each half as strong as the one before; about [-1, 1]."""
    layers = [value_noise(size, cells * 2**i, rng) * 0.5**i for i in range(octaves)]
    total = np.sum(layers, axis=0)
    return total / np.abs(total).max()


def grid(size: int) -> tuple[Array, Array]:
    """Coordinates u (right) and v (down) of the texel centres in (0, 1)."""
    c = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(c, c)
    return u, v


def mix(a: Array, b: Array, weight: npt.NDArray[Any]) -> Array:
    """``a`` where ``weight`` (H, W) is 0, ``b`` where it is 1."""
    w = np.clip(weight, 0, 1)[..., None]
    return a * (1 - w) + b * w


def shade(colour: Array, noise: Array, strength: float) -> Array:
    """Lighten and darken a colour or image by a noise field."""
    return np.clip(colour * (1 + strength * noise[..., None]), 0, 1)


def planks(rng: np.random.Generator, base: str = "b58a5c", rows: int = 12) -> Array:
    """Wooden boards: each its own tone and grain, dark joints."""
    size = 1024
    u, v = grid(size)
    row = (v * rows).astype(int)
    shift = rng.uniform(0, 1, rows)[row]
    column = ((u + shift) * 3).astype(int) % 3
    tone = rng.uniform(-0.28, 0.22, (rows, 3))[row, column]
    warp = fractal(size, 4, 4, rng)
    phase = rng.uniform(0, 7, (rows, 3))[row, column]
    grain = np.sin(2 * np.pi * (v * 44 + 1.6 * warp + phase))
    streak = np.repeat(value_noise(size, 128, rng)[:, ::16], 16, axis=1)
    wood = shade(hex_colour(base), tone + 0.10 * grain + 0.08 * warp + 0.05 * streak, 1.0)
    across = np.abs((v * rows) % 1 - 0.5) > 0.47
    along = np.abs(((u + shift) * 3) % 1 - 0.5) > 0.493
    return shade(wood, (across | along).astype(float), -0.55)


def plaster(rng: np.random.Generator, base: str = "c9bfa8") -> Array:
    """A wall painted over a frieze of triangles, with blotches and brush marks."""
    size = 1024
    u, v = grid(size)
    blotch = fractal(size, 6, 5, rng)
    image = shade(hex_colour(base), blotch, 0.16)
    zigzag = np.abs((u * 10) % 1 - 0.5) * 2
    band = ((v * 4) % 1 > 0.35) & ((v * 4) % 1 < 0.35 + 0.30 * zigzag)
    tint = [hex_colour(c) for c in ("8c6f5a", "6f8479", "a38560")]
    chosen = np.stack(tint)[(u * 10).astype(int) % 3]
    return mix(image, shade(chosen, blotch, 0.2), 0.75 * band)


def wallpaper(rng: np.random.Generator) -> Array:
    """Stripes with leaf-like medallions, slightly faded in places."""
    size = 1024
    u, v = grid(size)
    fade = fractal(size, 5, 5, rng)
    stripes = (np.sin(2 * np.pi * u * 8) > 0).astype(float)
    image = mix(hex_colour("7f97a6") * np.ones((size, size, 3)), hex_colour("93a9b2"), stripes)
    cu = (u * 8) % 1 - 0.5
    cv = (v * 8 + 0.5 * ((u * 8).astype(int) % 2)) % 1 - 0.5
    radius, angle = np.hypot(cu, cv), np.arctan2(cv, cu)
    petals = radius < 0.16 + 0.13 * np.cos(5 * angle + 1.5)
    image = mix(image, hex_colour("d8c9a0") * np.ones_like(image), 0.8 * petals)
    image = mix(image, hex_colour("7a4a44") * np.ones_like(image), 0.8 * (radius < 0.08))
    return shade(image, fade, 0.15)


def timber(rng: np.random.Generator, base: str = "7b4f2e") -> Array:
    """Furniture wood with wide, wavy rings."""
    size = 512
    u, _ = grid(size)
    warp = fractal(size, 3, 5, rng)
    rings = np.sin(2 * np.pi * (u * 9 + 1.2 * warp))
    fine = np.sin(2 * np.pi * (u * 40 + 2.0 * warp))
    return shade(hex_colour(base), 0.22 * rings + 0.08 * fine + 0.15 * warp, 1.0)


def plaid(rng: np.random.Generator, colours: tuple[str, str, str]) -> Array:
    """A woven check of three colours."""
    size = 256
    u, v = grid(size)
    base, first, second = (hex_colour(c) * np.ones((size, size, 3)) for c in colours)
    image = mix(base, first, 0.55 * ((u * 2) % 1 < 0.45) + 0.45 * ((v * 2) % 1 < 0.45))
    lines = ((u * 2 + 0.3) % 1 < 0.10) | ((v * 2 + 0.3) % 1 < 0.10)
    return shade(mix(image, second, 0.8 * lines), fractal(size, 8, 4, rng), 0.12)


def denim(rng: np.random.Generator, base: str = "3d5478") -> Array:
    """Trousers: vertical wear, a seam on each side."""
    size = 256
    u, v = grid(size)
    wear = fractal(size, 4, 5, rng) + 0.5 * np.sin(2 * np.pi * (3 * u + 0.4 * np.sin(6.3 * v)))
    image = shade(hex_colour(base), wear, 0.22)
    seam = np.abs((u * 2) % 1 - 0.5) < 0.03
    return mix(image, hex_colour("c2a060") * np.ones_like(image), 0.7 * seam * ((v * 24) % 1 < 0.6))


def mottled(rng: np.random.Generator, base: str, strength: float = 0.12, cells: int = 6) -> Array:
    """One colour with soft blotches: skin, hair, leather, stone."""
    return shade(hex_colour(base), fractal(256, cells, 5, rng), strength)
