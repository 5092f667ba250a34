"""What stands still: floor, two walls, pictures and furniture."""

from __future__ import annotations

import numpy as np

from .geometry import (
    Array,
    Mesh,
    box,
    concatenate,
    ellipsoid,
    lathe,
    pose,
    quad,
    rod,
    rotation,
    transform,
)
from .motion import CLOTH_CORNER, CLOTH_WIDTH

Parts = list[tuple[str, Mesh]]

CORNER = np.array([-0.35, 0.0, 2.1])
LEFT = np.array([-0.5, 0.0, -np.sqrt(0.75)])  # along the left wall, away from the corner
RIGHT = np.array([np.sqrt(0.75), 0.0, -0.5])  # along the right wall, away from the corner
DOWN = np.array([0.0, 1.0, 0.0])
WALL_HEIGHT = 3.2
RIGHT_TURN = rotation("y", np.radians(30))  # turns the x axis into RIGHT


def _on_right(along: float, height: float, out: float) -> Array:
    """Point ``along`` metres from the corner, ``out`` metres in front of the right wall."""
    # The walls meet at a right angle, so LEFT is the right wall's inward normal.
    return CORNER + along * RIGHT - height * DOWN + out * LEFT


def _picture(texture: str, corner: Array, right: Array, width: float, height: float) -> Parts:
    """A framed picture: the sheet and the bar behind it, both off the wall by a centimetre."""
    front = np.cross(DOWN, right)
    sheet = quad(corner + 0.02 * front, width * right, height * DOWN, np.array([width, height]))
    turn = np.stack([right, DOWN, np.cross(right, DOWN)], axis=1)
    centre = corner + 0.5 * (width * right + height * DOWN) + 0.005 * front
    frame = transform(box([width + 0.04, height + 0.04, 0.02]), pose(centre, turn))
    return [(texture, sheet), ("dark", frame)]


def shell() -> Parts:
    """Floor, both walls and the rug."""
    floor = quad([-7, 0, 4], [14, 0, 0], [0, 0, -11], np.array([2.4, 2.4]))
    tile = np.array([1.6, 1.6])
    up = WALL_HEIGHT * -DOWN
    left = quad(CORNER + 6 * LEFT + up, -6 * LEFT, WALL_HEIGHT * DOWN, tile)
    right = quad(CORNER + up, 7 * RIGHT, WALL_HEIGHT * DOWN, tile)
    spot = quad([-0.95, -0.012, 1.0], [1.95, 0, 0], [0, 0, -1.45], np.array([1.95, 1.45]))
    skirt_left = quad(
        CORNER + 6 * LEFT - 0.12 * DOWN + 0.015 * RIGHT, -6 * LEFT, 0.12 * DOWN, np.ones(2)
    )
    skirt_right = quad(CORNER - 0.12 * DOWN + 0.015 * LEFT, 7 * RIGHT, 0.12 * DOWN, np.ones(2))
    return [
        ("floor", floor),
        ("wall_left", left),
        ("wall_right", right),
        ("rug", spot),
        ("pale_wood", concatenate([skirt_left, skirt_right])),
    ]


def pictures() -> Parts:
    """Four posters, two on each wall."""
    up = -DOWN
    return [
        *_picture("hills", CORNER + 0.55 * RIGHT + 2.05 * up, RIGHT, 0.75, 0.75),
        *_picture("map", CORNER + 2.75 * RIGHT + 1.95 * up, RIGHT, 0.85, 0.85),
        *_picture("rings", CORNER + 1.10 * LEFT + 2.10 * up, -LEFT, 0.70, 0.70),
        *_picture("blocks", CORNER + 2.45 * LEFT + 2.00 * up, -LEFT, 0.80, 0.80),
    ]


def shelf() -> Parts:
    """An open bookcase against the right wall, three boards of books, a copper vase on top."""
    width, depth, height, board = 0.95, 0.26, 1.45, 0.03
    boards = [
        transform(box([width, board, depth]), pose([0, -h, 0])) for h in (0.06, 0.5, 0.95, height)
    ]
    for x in (-width / 2, width / 2):
        boards.append(transform(box([board, height, depth]), pose([x, -height / 2, 0])))
    boards.append(transform(box([width, height, 0.02]), pose([0, -height / 2, depth / 2])))
    books = []
    for h, size, x in ((0.075, 0.30, -0.10), (0.515, 0.33, 0.02), (0.965, 0.28, -0.06)):
        corner = [-width / 2 + 0.08 + x * 0.5, -h - size, -0.06]
        books.append(quad(corner, [0.72, 0, 0], [0, size, 0], np.array([0.72, size])))
        top = quad([corner[0], -h - size, 0.1], [0.72, 0, 0], [0, 0, -0.16], np.ones(2))
        boards.append(top)
    s = np.linspace(0, 1, 40)
    vase = lathe(0.055 + 0.06 * np.sin(np.pi * s**0.8) ** 2 - 0.02 * s, 0.32 * s - 1.785, 40)
    place = pose(_on_right(2.05, 0.0, 0.17), RIGHT_TURN)
    return [
        ("copper", transform(vase, place @ pose([-0.24, 0, 0]))),
        ("timber", transform(concatenate(boards), place)),
        ("spines", transform(concatenate(books), place)),
    ]


def cabinet() -> Parts:
    """A low chest near the corner with a glazed jar on it."""
    turn = rotation("y", np.radians(12))
    place = pose([-0.52, 0.0, 1.38], turn)
    chest = [transform(box([0.80, 0.50, 0.38], 0.6), pose([0, -0.28, 0]))]
    chest += [
        transform(box([0.05, 0.06, 0.05]), pose([x, -0.03, z]))
        for x in (-0.35, 0.35)
        for z in (-0.14, 0.14)
    ]
    doors = [
        transform(box([0.36, 0.38, 0.02], 0.5), pose([x, -0.28, -0.195])) for x in (-0.19, 0.19)
    ]
    s = np.linspace(0, 1, 40)
    jar = lathe(0.11 * np.sqrt(1 - (1.8 * s - 0.9) ** 2), 0.24 * s - 0.77, 40, 4)
    return [
        ("timber", transform(concatenate(chest), place)),
        ("pale_wood", transform(concatenate(doors), place)),
        ("glaze", transform(jar, place @ pose([0.10, 0, -0.02]))),
    ]


def plinth() -> Parts:
    """A stone block with a steel ball on it, and a striped crate beside it."""
    turn = rotation("y", np.radians(-18))
    block = transform(box([0.30, 0.62, 0.30], 0.5), pose([0.62, -0.31, 1.02], turn))
    globe = transform(ellipsoid([0.14] * 3, 48), pose([0.62, -0.76, 1.02]))
    crate = transform(box([0.36, 0.32, 0.36], 0.4), pose([1.42, -0.16, 0.42], turn))
    return [("plinth", block), ("steel", globe), ("crate", crate)]


def stand() -> Parts:
    """Two poles and the rod that the cloth hangs from."""
    overhang = np.array([0.06, 0, 0])
    left = CLOTH_CORNER - overhang
    right = CLOTH_CORNER + np.array([CLOTH_WIDTH, 0, 0]) + overhang
    bars = [rod(left, right, 0.016)]
    for top in (left, right):
        foot = np.array([top[0], 0.0, top[2]])
        bars.append(rod(top, foot, 0.016))
        bars.append(transform(box([0.10, 0.03, 0.34]), pose([foot[0], -0.015, foot[2]])))
    return [("dark", concatenate(bars))]


def room() -> Parts:
    """Everything that does not move, in world axes: (material, mesh)."""
    return [*shell(), *pictures(), *shelf(), *cabinet(), *plinth(), *stand()]
