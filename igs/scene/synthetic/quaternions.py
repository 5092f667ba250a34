"""Many quaternions (w, x, y, z) at once, in NumPy."""

from __future__ import annotations

import numpy as np

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton product of (..., 4) quaternions that broadcast: `right` acts first."""
    w1, x1, y1, z1 = left[..., 0], left[..., 1], left[..., 2], left[..., 3]
    w2, x2, y2, z2 = right[..., 0], right[..., 1], right[..., 2], right[..., 3]
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 + y1 * w2 + z1 * x2 - x1 * z2,
            w1 * z2 + z1 * w2 + x1 * y2 - y1 * x2,
        ],
        axis=-1,
    )


def conjugate(quats: np.ndarray) -> np.ndarray:
    """Inverse of unit quaternions, (..., 4)."""
    return quats * np.array([1.0, -1.0, -1.0, -1.0])


def rotate(quats: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors turned by (..., 4) unit quaternions that broadcast."""
    w, v = quats[..., :1], quats[..., 1:]
    turned = 2 * _cross(v, vectors)
    return vectors + w * turned + _cross(v, turned)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As `np.cross`, which costs several times as much on few vectors."""
    (x1, y1, z1), (x2, y2, z2) = ((v[..., 0], v[..., 1], v[..., 2]) for v in (a, b))
    return np.stack([y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2], axis=-1)


def from_axis_angle(axes: np.ndarray, angles: np.ndarray | float) -> np.ndarray:
    """(..., 4) from (..., 3) unit axes and (...) angles in radians."""
    half = np.asarray(angles)[..., None] / 2
    sine = np.sin(half) * axes
    return np.concatenate([np.broadcast_to(np.cos(half), (*sine.shape[:-1], 1)), sine], axis=-1)


def z_to(normals: np.ndarray, spin: np.ndarray) -> np.ndarray:
    """(n, 4) that turn z into (n, 3) unit normals, after a turn of (n,) radians about z."""
    x, y, z = normals.T
    swing = np.stack([1 + z, -y, x, np.zeros_like(x)], axis=-1)
    swing[z < -1 + 1e-9] = (0.0, 1.0, 0.0, 0.0)
    swing /= np.linalg.norm(swing, axis=-1, keepdims=True)
    return product(swing, from_axis_angle(np.array([0.0, 0.0, 1.0]), spin))


def to_matrices(quats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations of (..., 4) unit quaternions."""
    columns = [rotate(quats, axis) for axis in np.eye(3)]
    return np.stack(columns, axis=-1)


def draw(rng: np.random.Generator) -> np.ndarray:
    """(4,) uniformly distributed over all rotations."""
    quat = rng.normal(size=4)
    return quat / np.linalg.norm(quat)


def draw_axis(rng: np.random.Generator) -> np.ndarray:
    """(3,) uniformly distributed over all directions."""
    axis = rng.normal(size=3)
    return axis / np.linalg.norm(axis)
