"""Textures with a design of their own: posters, rug, banner, ball, books."""

from __future__ import annotations

from functools import partial

import numpy as np

from .textures import (
    Array,
    Painter,
    denim,
    fractal,
    grid,
    hex_colour,
    mix,
    mottled,
    plaid,
    planks,
    plaster,
    shade,
    timber,
    wallpaper,
)


def _plain(size: int, code: str) -> Array:
    return hex_colour(code) * np.ones((size, size, 3))


def _framed(image: Array, code: str, width: float = 0.04) -> Array:
    u, v = grid(len(image))
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) < width
    return mix(image, _plain(len(image), code), edge)


def poster_hills(rng: np.random.Generator) -> Array:
    """Layered hills under a large sun."""
    u, v = grid(256)
    image = mix(_plain(256, "f0d9a8"), _plain(256, "d98a5b"), v)
    image = mix(image, _plain(256, "f7f0dc"), np.hypot(u - 0.66, v - 0.3) < 0.13)
    for i, code in enumerate(("8fa08a", "5f8078", "3f5f62", "24404a")):
        ridge = 0.42 + 0.14 * i + 0.09 * fractal(256, 3 + i, 4, rng)[0]
        image = mix(image, _plain(256, code), v > ridge[None, :])
    return _framed(image, "2b2420")


def poster_blocks(rng: np.random.Generator) -> Array:
    """A rectangle cut again and again, each piece in one of six colours, black lines between."""
    codes = ("c8402f", "e8c341", "2f5f9e", "efe9dc", "efe9dc", "4f8a6a")
    image, line = _plain(256, "efe9dc"), np.zeros((256, 256))
    pieces = [(0, 0, 256, 256)]
    for _ in range(16):
        x0, y0, x1, y1 = pieces.pop(int(np.argmax([(c - a) * (d - b) for a, b, c, d in pieces])))
        cut = rng.uniform(0.3, 0.7)
        if x1 - x0 > y1 - y0:
            x = int(x0 + cut * (x1 - x0))
            pieces += [(x0, y0, x, y1), (x, y0, x1, y1)]
        else:
            y = int(y0 + cut * (y1 - y0))
            pieces += [(x0, y0, x1, y), (x0, y, x1, y1)]
    for x0, y0, x1, y1 in pieces:
        image[y0:y1, x0:x1] = hex_colour(codes[rng.integers(len(codes))])
        line[y0 : y0 + 5, x0:x1] = 1
        line[y0:y1, x0 : x0 + 5] = 1
    return _framed(mix(image, _plain(256, "201c1a"), line), "201c1a", 0.03)


def poster_rings(rng: np.random.Generator) -> Array:
    """Overlapping discs of concentric rings."""
    u, v = grid(256)
    image = _plain(256, "243447")
    for code in ("e2b04a", "d8704f", "7fb0a8", "e9e2d0", "a85c72"):
        x, y = rng.uniform(0.2, 0.8, 2)
        radius = np.hypot(u - x, v - y)
        rings = (radius < rng.uniform(0.16, 0.3)) & ((radius * 13) % 1 < 0.55)
        image = mix(image, _plain(256, code), rings)
    return _framed(image, "e8e0cc", 0.05)


def poster_map(rng: np.random.Generator) -> Array:
    """An invented coast with height contours and a grid of meridians."""
    u, v = grid(256)
    height = fractal(256, 3, 6, rng)
    image = mix(_plain(256, "6f9bb0"), _plain(256, "c9bf86"), height > 0.0)
    image = mix(image, _plain(256, "9a7a50"), height > 0.3)
    image = mix(image, _plain(256, "f2eee2"), height > 0.55)
    contour = (height > 0) & (np.abs((height * 7) % 1 - 0.5) > 0.42)
    meridian = (np.abs((u * 6) % 1 - 0.5) > 0.47) | (np.abs((v * 6) % 1 - 0.5) > 0.47)
    image = mix(image, _plain(256, "4a3a2c"), 0.7 * contour + 0.35 * meridian)
    return _framed(image, "6a4a32", 0.05)


def rug(rng: np.random.Generator) -> Array:
    """Borders, a field of diamonds, a medallion; wool is uneven."""
    u, v = grid(512)
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    image = _plain(512, "8a3434")
    diamond = (np.abs((u * 8) % 1 - 0.5) + np.abs((v * 6) % 1 - 0.5)) < 0.32
    image = mix(image, _plain(512, "c79a56"), 0.85 * diamond)
    inner = (np.abs((u * 8) % 1 - 0.5) + np.abs((v * 6) % 1 - 0.5)) < 0.14
    image = mix(image, _plain(512, "2c3f5c"), inner)
    radius = np.abs(u - 0.5) * 1.2 + np.abs(v - 0.5)
    for limit, code in ((0.27, "2c3f5c"), (0.21, "d8c8a0"), (0.14, "8a3434"), (0.07, "c79a56")):
        image = mix(image, _plain(512, code), radius < limit)
    for limit, code in ((0.085, "2c3f5c"), (0.06, "d8c8a0"), (0.025, "5a2626")):
        image = mix(image, _plain(512, code), edge < limit)
    return shade(image, fractal(512, 10, 5, rng), 0.18)


def banner(rng: np.random.Generator) -> Array:
    """The hanging cloth: bold waves, a star, dots along the hem."""
    u, v = grid(512)
    wave = (v * 7 + 0.5 * np.sin(2 * np.pi * u) + 0.15 * fractal(512, 3, 3, rng)) % 1
    image = mix(_plain(512, "d9d2bf"), _plain(512, "2f6f74"), wave < 0.42)
    image = mix(image, _plain(512, "d8913c"), (wave > 0.42) & (wave < 0.55))
    x, y = u - 0.5, v - 0.42
    star = np.hypot(x, y) < 0.17 + 0.07 * np.cos(5 * np.arctan2(y, x) + np.pi / 2)
    image = mix(image, _plain(512, "a83a3a"), star)
    dots = (np.hypot((u * 9) % 1 - 0.5, (v * 9) % 1 - 0.5) < 0.32) & (v > 0.86)
    image = mix(image, _plain(512, "33263a"), dots)
    return shade(image, fractal(512, 12, 4, rng), 0.10)


def ball(rng: np.random.Generator) -> Array:
    """Six coloured gores, a belt, dots between, so that its spin can be followed."""
    u, v = grid(512)
    codes = ("d8433a", "efe6d2", "2f69a8", "e6b53a", "efe6d2", "3b8a5e")
    image = np.stack([hex_colour(c) for c in codes])[(u * 6).astype(int)]
    dots = np.hypot((u * 12) % 1 - 0.5, ((v * 6) % 1 - 0.5) * 1.2) < 0.25
    image = mix(image, _plain(512, "2b2b33"), 0.85 * dots * (np.abs(v - 0.5) < 0.34))
    image = mix(image, _plain(512, "efe6d2"), np.abs(v - 0.5) < 0.035)
    return shade(image, fractal(512, 8, 4, rng), 0.08)


def spines(rng: np.random.Generator) -> Array:
    """A row of 16 book spines, each with bands and a label."""
    size, count = 512, 16
    u, v = grid(size)
    index = (u * count).astype(int)
    codes = ("8a3b32", "2f4f6f", "c9a24d", "4f6f4a", "6a4a6f", "b9b09a", "3a3a40", "a8653a")
    image = np.stack([hex_colour(c) for c in codes])[rng.integers(len(codes), size=count)][index]
    place = rng.uniform(0.15, 0.7, count)[index]
    label = (v > place) & (v < place + 0.16) & (np.abs((u * count) % 1 - 0.5) < 0.36)
    image = mix(image, _plain(size, "e2d8b8"), 0.8 * label)
    band = (np.abs(v - 0.08) < 0.02) | (np.abs(v - 0.92) < 0.02)
    image = mix(image, _plain(size, "d0b060"), 0.7 * band)
    image = shade(image, ((u * count) % 1 < 0.07).astype(float), -0.6)
    return shade(image, fractal(size, 8, 4, rng), 0.12)


PAINTERS: dict[str, Painter] = {
    "floor": planks,
    "wall_left": wallpaper,
    "wall_right": plaster,
    "timber": timber,
    "pale_wood": partial(timber, base="b08d5f"),
    "plinth": partial(mottled, base="b9b4ac", strength=0.3, cells=4),
    "hills": poster_hills,
    "blocks": poster_blocks,
    "rings": poster_rings,
    "map": poster_map,
    "rug": rug,
    "banner": banner,
    "ball": ball,
    "spines": spines,
    "glaze": partial(plaid, colours=("2f7a70", "d8c898", "8a3b32")),
    "shirt": partial(plaid, colours=("b8483c", "e8d8b8", "2b3a55")),
    "trousers": denim,
    "skin": partial(mottled, base="c98f6c"),
    "hair": partial(mottled, base="4a3222", strength=0.4, cells=10),
    "shoes": partial(mottled, base="5a3a28", strength=0.3),
    "dark": partial(mottled, base="26221f", strength=0.2),
}


def paint(name: str, seed: int) -> Array:
    """Texture ``name`` as an sRGB array (H, W, 3) in [0, 1].

    Each texture has its own generator, so that adding one leaves the others as they are.
    """
    number = list(PAINTERS).index(name)
    return PAINTERS[name](np.random.default_rng([seed, number]))
