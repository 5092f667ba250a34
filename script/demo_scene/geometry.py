"""Triangle meshes with texture coordinates, and the few solids that the scene is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Mesh:
    """Triangles in metres.

    Attributes:
        vertices: (V, 3) positions.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        uv: (V, 2) texture coordinates; textures repeat.
        normals: (V, 3) unit outward normals.
    """

    vertices: Array
    faces: npt.NDArray[np.int64]
    uv: Array
    normals: Array


def transform(mesh: Mesh, pose: Array) -> Mesh:
    """Move a mesh by a rigid 4x4 ``pose`` (local to world)."""
    R, t = pose[:3, :3], pose[:3, 3]
    return Mesh(mesh.vertices @ R.T + t, mesh.faces, mesh.uv, mesh.normals @ R.T)


def concatenate(meshes: list[Mesh]) -> Mesh:
    """Put several meshes into one, keeping their vertices apart."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
    )


def rotation(axis: str, angle: float) -> Array:
    """3x3 right-handed rotation about the axis ``"x"``, ``"y"`` or ``"z"`` by radians."""
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    R = np.eye(3)
    R[j, j] = R[k, k] = np.cos(angle)
    R[k, j] = np.sin(angle)
    R[j, k] = -R[k, j]
    return R


def pose(translation: npt.ArrayLike, R: Array | None = None) -> Array:
    """4x4 rigid transform from a translation (3,) and an optional rotation (3, 3)."""
    matrix = np.eye(4)
    matrix[:3, 3] = translation
    if R is not None:
        matrix[:3, :3] = R
    return matrix


def grid_faces(rows: int, cols: int) -> npt.NDArray[np.int64]:
    """Two triangles for each cell of a (rows, cols) vertex grid in row-major order."""
    i, j = np.mgrid[0 : rows - 1, 0 : cols - 1]
    a = (i * cols + j).ravel()
    b, c, d = a + 1, a + cols, a + cols + 1
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def grid_normals(points: Array) -> Array:
    """Unit normals (rows, cols, 3) of a vertex grid (rows, cols, 3), on the side of its faces."""
    down = np.gradient(points, axis=0)
    right = np.gradient(points, axis=1)
    normals = np.cross(down, right)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def quad(corner: npt.ArrayLike, right: npt.ArrayLike, down: npt.ArrayLike, tile: Array) -> Mesh:
    """A flat rectangle seen with ``corner`` at its upper left.

    Args:
        corner, right, down: (3,) upper left corner and the two edges leaving it. The visible
            side is the one from which ``right`` points right and ``down`` points down.
        tile: (2,) size in metres that one copy of the texture covers.
    """
    corner, right, down = (np.asarray(v, dtype=float) for v in (corner, right, down))
    vertices = np.stack([corner, corner + right, corner + down, corner + right + down])
    u, v = np.linalg.norm(right) / tile[0], np.linalg.norm(down) / tile[1]
    normal = np.cross(down, right)
    normals = np.tile(normal / np.linalg.norm(normal), (4, 1))
    return Mesh(vertices, grid_faces(2, 2), np.array([[0, 0], [u, 0], [0, v], [u, v]]), normals)


def box(size: npt.ArrayLike, tile: float = 1.0) -> Mesh:
    """An axis-aligned box centred at the origin, each face textured at ``tile`` metres a copy."""
    half = np.asarray(size, dtype=float) / 2
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.eye(3)[axis] * sign
            down = np.array([0.0, 1.0, 0.0]) if axis != 1 else np.array([0.0, 0.0, 1.0])
            right = np.cross(normal, down)
            centre = normal * half
            corner = centre - (right + down) * half
            sides.append(quad(corner, 2 * right * half, 2 * down * half, np.array([tile, tile])))
    return concatenate(sides)


def lathe(radii: npt.ArrayLike, heights: npt.ArrayLike, around: int = 32, turns: int = 1) -> Mesh:
    """A surface of revolution about the y axis.

    Args:
        radii, heights: (N,) profile from the top (smallest y) to the bottom (largest y).
        around: segments of a full turn.
        turns: copies of the texture around the axis (a whole number, so that it closes).
    """
    r, y = np.asarray(radii, dtype=float), np.asarray(heights, dtype=float)
    angle = np.linspace(0, 2 * np.pi, around + 1)
    # From outside, with y down, growing angle runs to the right.
    ring = np.stack([np.sin(angle), np.zeros_like(angle), -np.cos(angle)], axis=-1)
    points = r[:, None, None] * ring + y[:, None, None] * np.array([0.0, 1.0, 0.0])
    slope = np.stack([np.gradient(y), -np.gradient(r)], axis=-1)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)
    normals = slope[:, 0, None, None] * ring + slope[:, 1, None, None] * np.array([0.0, 1.0, 0.0])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(r), np.diff(y)))])
    v = np.broadcast_to((length / length[-1])[:, None], points.shape[:2])
    u = np.broadcast_to(turns * angle / (2 * np.pi), points.shape[:2])
    return Mesh(
        points.reshape(-1, 3),
        grid_faces(len(r), around + 1),
        np.stack([u, v], axis=-1).reshape(-1, 2),
        normals.reshape(-1, 3),
    )


def ellipsoid(half: npt.ArrayLike, segments: int = 32) -> Mesh:
    """An ellipsoid about the origin with half axes (3,); poles on the y axis."""
    half = np.asarray(half, dtype=float)
    polar = np.linspace(0, np.pi, segments // 2 + 1)
    unit = lathe(np.sin(polar), -np.cos(polar), segments)
    normals = unit.vertices / half
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Mesh(unit.vertices * half, unit.faces, unit.uv, normals)


def capsule(length: float, top: float, bottom: float, turns: int = 1, flat: float = 1.0) -> Mesh:
    """A limb along +y from the origin: a cone between two balls of radius ``top``, ``bottom``.

    Args:
        length: distance between the centres of the two balls.
        turns: copies of the texture around the limb.
        flat: factor on z, below 1 for a chest that is wider than deep.
    """
    upper = np.linspace(0, np.pi / 2, 7)[:-1]
    lower = np.linspace(np.pi / 2, np.pi, 7)[1:]
    middle = np.linspace(0, 1, 6)
    radii = [top * np.sin(upper), top + (bottom - top) * middle, bottom * np.sin(lower)]
    heights = [-top * np.cos(upper), length * middle, length - bottom * np.cos(lower)]
    mesh = lathe(np.concatenate(radii), np.concatenate(heights), 24, turns)
    scale = np.array([1.0, 1.0, flat])
    normals = mesh.normals / scale
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return Mesh(mesh.vertices * scale, mesh.faces, mesh.uv, normals)


def rod(start: npt.ArrayLike, end: npt.ArrayLike, radius: float) -> Mesh:
    """A round bar between two points (3,)."""
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    length = float(np.linalg.norm(end - start))
    return transform(capsule(length, radius, radius), pose(start, aligned(end - start)))


def aligned(direction: npt.ArrayLike, side: npt.ArrayLike = (1.0, 0.0, 0.0)) -> Array:
    """Rotation whose y axis is ``direction`` and whose x axis is as near ``side`` as can be."""
    y = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    x = np.asarray(side, dtype=float)
    if abs(x @ y) > 0.99:
        x = np.array([0.0, 1.0, 0.0])
    x = x - (x @ y) * y
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)
