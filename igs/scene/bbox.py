"""Boxes around the part of a scene that moves, and their file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from igs.scene.errors import SceneError, list_names
from igs.scene.files import read_json, write_json


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in world axes and units.

    Attributes:
        minimum: (3,) float64, lower corner.
        maximum: (3,) float64, upper corner.

    Raises:
        SceneError: corners that are not three finite numbers, or a minimum above the maximum.
    """

    minimum: np.ndarray
    maximum: np.ndarray

    def __post_init__(self) -> None:
        for side in ("minimum", "maximum"):
            try:
                corner = np.asarray(getattr(self, side), dtype=np.float64)
            except (TypeError, ValueError):
                corner = np.empty(0)
            if corner.shape != (3,) or not np.isfinite(corner).all():
                raise SceneError(
                    f"box: {side} must be three finite numbers, got {getattr(self, side)!r}"
                )
            object.__setattr__(self, side, corner)
        for axis, low, high in zip("xyz", self.minimum, self.maximum, strict=True):
            if low > high:
                raise SceneError(f"box: minimum {low:g} exceeds maximum {high:g} along {axis}")

    @property
    def center(self) -> np.ndarray:
        """(3,) float64."""
        return (self.minimum + self.maximum) / 2

    @property
    def size(self) -> np.ndarray:
        """(3,) float64 edge lengths."""
        return self.maximum - self.minimum

    def contains(self, points: Any) -> Any:
        """(N,) bool: which of the (N, 3) points lie inside or on the border.

        `points` is a NumPy array or a torch tensor on any device; the mask is of the same kind.
        """
        if isinstance(points, np.ndarray):
            return ((points >= self.minimum) & (points <= self.maximum)).all(axis=-1)
        low, high = (points.new_tensor(corner.tolist()) for corner in (self.minimum, self.maximum))
        return ((points >= low) & (points <= high)).all(dim=-1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Box):
            return NotImplemented
        return bool(
            np.array_equal(self.minimum, other.minimum)
            and np.array_equal(self.maximum, other.maximum)
        )

    def __hash__(self) -> int:
        return hash((*self.minimum.tolist(), *self.maximum.tolist()))


def read_boxes(path: str | os.PathLike[str]) -> dict[str, Box]:
    """Read ``bbox.json``: scene name to box.

    Raises:
        FileNotFoundError: there is none.
        SceneError: another structure or a bad box; the message names the file and the scene.

    Source: spec `streaming.md`, section 2.1.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise SceneError(f"{path}: must be an object, scene name to [[x, y, z], [x, y, z]]")
    boxes: dict[str, Box] = {}
    for scene, corners in data.items():
        if not isinstance(corners, list) or len(corners) != 2:
            raise SceneError(f"{path}: {scene}: a box is [[x, y, z], [x, y, z]], minimum first")
        try:
            boxes[scene] = Box(corners[0], corners[1])
        except SceneError as error:
            raise SceneError(f"{path}: {scene}: {error}") from None
    return boxes


def read_box(path: str | os.PathLike[str], scene: str) -> Box:
    """Read one scene's box from ``bbox.json``.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: the scene is not in it; the message lists the scenes that are.
    """
    boxes = read_boxes(path)
    if scene not in boxes:
        raise SceneError(f"{path}: has no box for scene {scene!r}; it has {list_names(boxes)}")
    return boxes[scene]


def write_boxes(path: str | os.PathLike[str], boxes: Mapping[str, Box]) -> None:
    """Write ``bbox.json`` whole; keep other scenes by reading the old file first."""
    corners = {s: [box.minimum.tolist(), box.maximum.tolist()] for s, box in boxes.items()}
    write_json(path, corners)
