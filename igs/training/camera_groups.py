"""Four spatial groups of cameras, from which input views are drawn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2

from igs.scene import Camera

_GROUPS = 4


def camera_groups(cameras: Sequence[Camera], *, seed: int = 0) -> list[list[int]]:
    """K-means of the camera centres.

    Args:
        cameras: at least four.
        seed: chooses the camera that the first group grows from; the other groups start at the
            cameras farthest from those chosen before.

    Returns:
        Four lists of positions in `cameras`, ascending, none empty, each camera in one.

    Raises:
        ValueError: fewer than four cameras.

    Source: spec `streaming.md`, section 2.2.
    """
    if len(cameras) < _GROUPS:
        raise ValueError(f"{len(cameras)} cameras make no {_GROUPS} groups")
    centers = np.stack([camera.center for camera in cameras])
    chosen = [int(np.random.default_rng(seed).integers(len(cameras)))]
    while len(chosen) < _GROUPS:
        distance = np.linalg.norm(centers[:, None] - centers[chosen], axis=-1).min(axis=1)
        distance[chosen] = -1.0  # cameras at one place are still different cameras
        chosen.append(int(distance.argmax()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # mended below
        means, labels = kmeans2(centers, centers[chosen], minit="matrix", missing="warn")
    for group in range(_GROUPS):
        if not (labels == group).any():
            # The camera that fits worst where it is, of a group that can spare one.
            error = np.linalg.norm(centers - means[labels], axis=1)
            spare = np.bincount(labels, minlength=_GROUPS)[labels] > 1
            labels[np.where(spare, error, -1.0).argmax()] = group
    return [np.flatnonzero(labels == group).tolist() for group in range(_GROUPS)]
