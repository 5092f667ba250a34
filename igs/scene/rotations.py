"""Rotation matrices and quaternions (w, x, y, z) in NumPy."""

from __future__ import annotations

import numpy as np

from igs.scene.errors import SceneError


def rotation_from_quat(quat: np.ndarray) -> np.ndarray:
    """(3, 3) float64 rotation of a quaternion w x y z of any non-zero length.

    Raises:
        SceneError: a quaternion of length zero or not finite.
    """
    quat = np.asarray(quat, np.float64)
    length = float(np.linalg.norm(quat))
    if not 0 < length < np.inf:
        raise SceneError(f"quaternion {quat.tolist()} has no direction")
    w, x, y, z = quat / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quat_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """(4,) float64 unit quaternion w x y z with w >= 0 of a (3, 3) rotation.

    The quaternion is the eigenvector to the largest eigenvalue of a symmetric 4 x 4 matrix, which
    is stable for every rotation and takes the nearest one where the matrix is slightly off.

    Source: Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix", 2000.
    """
    r = np.asarray(rotation, np.float64)
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], 0, 0, 0],
            [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], 0, 0],
            [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0],
            [r[1, 0] - r[0, 1], r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    quat = np.linalg.eigh(k)[1][:, -1]  # eigh reads the lower triangle only
    return -quat if quat[0] < 0 else quat
