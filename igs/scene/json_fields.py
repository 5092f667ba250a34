"""Typed access to the fields of parsed JSON, with errors that name the place and the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from igs.scene.errors import SceneError


def require(entry: Mapping[str, Any], *keys: str, where: str) -> Any:
    """The value under the first of `keys` that is there.

    Raises:
        SceneError: none of them is.
    """
    for key in keys:
        if key in entry:
            return entry[key]
    raise SceneError(f"{where}: lacks " + " or ".join(f'"{key}"' for key in keys))


def read_number(
    entry: Mapping[str, Any], *keys: str, where: str, default: float | None = None
) -> float:
    """A finite number under the first of `keys` that is there, else `default`.

    Raises:
        SceneError: it is missing and there is no default, or it is not a finite number.
    """
    if default is not None and not any(entry.get(key) is not None for key in keys):
        return default
    value = require(entry, *keys, where=where)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise SceneError(f'{where}: "{keys[0]}" must be a number, got {value!r}')
    return float(value)


def read_size(entry: Mapping[str, Any], *keys: str, where: str) -> int:
    """A positive whole number of pixels.

    Raises:
        SceneError: it is missing or another thing.
    """
    value = read_number(entry, *keys, where=where)
    if value <= 0 or value != int(value):
        raise SceneError(f'{where}: "{keys[0]}" must be a positive whole number, got {value:g}')
    return int(value)


def read_array(
    entry: Mapping[str, Any], *keys: str, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """An array of finite float64 numbers of a given shape.

    Raises:
        SceneError: it is missing, ragged, of another shape, or not all finite numbers.
    """
    value = require(entry, *keys, where=where)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        wanted = " x ".join(str(n) for n in shape)
        raise SceneError(f'{where}: "{keys[0]}" must hold {wanted} finite numbers')
    return array


def invert_pose(pose: np.ndarray, key: str, where: str) -> np.ndarray:
    """The inverse of a (4, 4) camera-to-world matrix read under `key`.

    Raises:
        SceneError: it has none, so its 3 x 3 part cannot be a rotation.
    """
    if not abs(np.linalg.det(pose)) > 1e-9:
        raise SceneError(f'{where}: "{key}" is singular, not a rotation')
    return np.linalg.inv(pose)
