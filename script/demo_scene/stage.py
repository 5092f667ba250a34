"""The whole scene: what it is made of at any time, and the box that holds all motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import figure
from .geometry import Array, Mesh, concatenate
from .motion import ball, cloth
from .room import Parts, room

FIGURE_PLACE = np.array([-0.03, 0.0, 0.12])


@dataclass(frozen=True)
class Material:
    """How a surface reflects.

    Attributes:
        kind: ``"diffuse"``, ``"glossy"`` (a rough plastic coat over colour) or ``"metal"``.
        texture: name of a texture, or of the metal.
        roughness: GGX roughness of the coat or the metal; unused for ``"diffuse"``.
    """

    kind: str
    texture: str
    roughness: float = 0.0


SPECIAL = {
    "copper": Material("metal", "Cu", 0.22),
    "steel": Material("metal", "Cr", 0.14),
    "glaze": Material("glossy", "glaze", 0.10),
    "ball": Material("glossy", "ball", 0.12),
    "crate": Material("diffuse", "rings"),
    "timber": Material("glossy", "timber", 0.35),
    "shoes": Material("glossy", "shoes", 0.25),
}


def material(name: str) -> Material:
    """The material of that name; a name that is not special is a matt texture."""
    return SPECIAL.get(name, Material("diffuse", name))


def moving(time: float) -> Parts:
    """Figure, ball and cloth in world axes at ``time`` seconds: (material, mesh)."""
    return [*figure(time, FIGURE_PLACE), ("ball", ball(time)), ("banner", cloth(time))]


def still() -> Parts:
    """The room in world axes: (material, mesh)."""
    return room()


def by_material(parts: Parts) -> dict[str, Mesh]:
    """One mesh for each material, in order of first appearance."""
    groups: dict[str, list[Mesh]] = {}
    for name, mesh in parts:
        groups.setdefault(name, []).append(mesh)
    return {name: concatenate(meshes) for name, meshes in groups.items()}


def motion_box(times: Array, margin: float = 0.05) -> Array:
    """Box (2, 3), lowest and highest corner, of every moving vertex at ``times``, widened."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for time in times:
        for _, mesh in moving(float(time)):
            low = np.minimum(low, mesh.vertices.min(axis=0))
            high = np.maximum(high, mesh.vertices.max(axis=0))
    return np.stack([low - margin, high + margin])
