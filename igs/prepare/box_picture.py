"""A picture of a box in several views, to see at a glance whether it is right."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from igs.scene import Box, Camera, choose_input_views, resize_image, write_image

_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1]
_TINT = np.array([255.0, 40.0, 40.0])
_LINE = (255, 220, 0)
_NEAR = 1e-3


def box_corners(box: Box) -> np.ndarray:
    """(8, 3) corners; bit k of a corner's number says whether axis k is at its maximum."""
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    return np.where(bits == 1, box.maximum, box.minimum)


def box_segments(camera: Camera, box: Box) -> list[tuple[np.ndarray, np.ndarray]]:
    """The box's edges as pairs of (2,) pixel positions, cut where they pass behind the camera."""
    corners = box_corners(box)
    local = corners @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    near = _NEAR * float(np.linalg.norm(box.size) + 1e-12)
    segments = []
    for a, b in _EDGES:
        ends = _in_front(local[a], local[b], near)
        if ends is not None:
            segments.append((_pixel(camera, ends[0]), _pixel(camera, ends[1])))
    return segments


def box_silhouette(camera: Camera, box: Box) -> np.ndarray:
    """(H, W) bool: pixels whose ray meets the box."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    world = rays @ camera.camera_to_world[:3, :3].T
    world = np.where(np.abs(world) < 1e-12, 1e-12, world)
    one = (box.minimum - camera.center) / world
    two = (box.maximum - camera.center) / world
    enter = np.minimum(one, two).max(axis=-1)
    leave = np.maximum(one, two).min(axis=-1)
    return (leave >= enter) & (leave > 0)


def draw_moving_box(
    path: str | os.PathLike[str],
    cameras: Mapping[str, Camera],
    images: Mapping[str, np.ndarray],
    box: Box,
    masks: Mapping[str, np.ndarray] | None = None,
    inputs: Sequence[str] = (),
    max_views: int = 4,
    width: int = 480,
) -> None:
    """Write a picture (PNG or JPEG) with the box drawn into several views, two in a row.

    Args:
        path: the picture.
        cameras: camera name to camera.
        images: camera name to (H, W, 3) uint8 of one time step.
        box: the box to draw.
        masks: camera name to (h, w) bool, changed pixels, which are tinted red.
        inputs: input views of the motion network; where given, these are shown and named so.
        max_views: number of views shown, spread over the rig, where there are no inputs.
        width: pixels across of each view.
    """
    names = list(inputs) or choose_input_views(cameras, min(max_views, len(cameras)), box)
    tiles = [
        _tile(
            cameras[name],
            images[name],
            box,
            None if masks is None else masks.get(name),
            width,
            f"{name}, input view" if name in inputs else name,
        )
        for name in names
    ]
    write_image(path, _mosaic(tiles))


def _tile(
    camera: Camera, image: np.ndarray, box: Box, mask: np.ndarray | None, width: int, title: str
) -> np.ndarray:
    height = max(1, round(camera.height * width / camera.width))
    shown = resize_image(image, width, height)
    if mask is not None:
        grown = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), 0))
        shown = np.where(grown[..., None] > 0, 0.55 * shown + 0.45 * _TINT, shown).astype(np.uint8)
    picture = Image.fromarray(shown)
    draw = ImageDraw.Draw(picture)
    for start, end in box_segments(camera.resized(width, height), box):
        ends = _clipped(start, end, 4 * width)
        draw.line([(float(x), float(y)) for x, y in ends], fill=_LINE, width=2)
    draw.text((6, 4), title, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(picture)


def _mosaic(tiles: Sequence[np.ndarray]) -> np.ndarray:
    height = max(tile.shape[0] for tile in tiles)
    width = tiles[0].shape[1]
    columns = min(2, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * height, k % columns * width
        sheet[top : top + tile.shape[0], left : left + width] = tile
    return sheet


def _in_front(a: np.ndarray, b: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray] | None:
    if a[2] < near and b[2] < near:
        return None
    if a[2] < near:
        a = a + (b - a) * (near - a[2]) / (b[2] - a[2])
    elif b[2] < near:
        b = b + (a - b) * (near - b[2]) / (a[2] - b[2])
    return a, b


def _pixel(camera: Camera, local: np.ndarray) -> np.ndarray:
    return np.array(
        [
            camera.fx * local[0] / local[2] + camera.cx,
            camera.fy * local[1] / local[2] + camera.cy,
        ]
    )


def _clipped(start: np.ndarray, end: np.ndarray, reach: float) -> list[np.ndarray]:
    """The part of a line within ``reach`` pixels of the origin; drawing libraries dislike more."""
    low, high = 0.0, 1.0
    direction = end - start
    for axis in range(2):
        if abs(direction[axis]) < 1e-9:
            continue
        a = (-reach - start[axis]) / direction[axis]
        b = (reach - start[axis]) / direction[axis]
        low, high = max(low, min(a, b)), min(high, max(a, b))
    high = max(high, low)
    return [start + low * direction, start + high * direction]
