"""How much disk a preparation will need, measured on its first pictures, before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from igs.prepare.write_images import ViewTask
from igs.scene import SceneError, resize_image

_MARGIN = 1.15  # later frames may be harder to compress than the first
_MOST_SAMPLES = 4


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that are still to be written, and bytes that are free.

    Attributes:
        pictures: number of camera pictures still to be written.
        per_picture: bytes of one in all its sizes, mean of the samples.
        free: bytes free where the output will be.
    """

    pictures: int
    per_picture: float
    free: int

    @property
    def needed(self) -> int:
        """Bytes, with a margin."""
        return round(self.pictures * self.per_picture * _MARGIN)

    def __str__(self) -> str:
        return (
            f"{self.pictures} pictures of {self.per_picture / 1e6:.2f} MB in all sizes: about "
            f"{self.needed / 1e9:.2f} GB to write, {self.free / 1e9:.1f} GB free"
        )


def estimate_disk(tasks: Sequence[ViewTask], output: Path) -> DiskNeed:
    """Encode the first missing picture of some cameras to see what one takes.

    Raises:
        SceneError, OSError: a picture that cannot be read.
    """
    missing = [task for task in (task.missing() for task in tasks) if task.steps]
    count = sum(len(task.steps) for task in missing)
    step = max(len(missing) // _MOST_SAMPLES, 1)
    sizes = [_encoded(task) for task in missing[::step][:_MOST_SAMPLES]]
    per_picture = sum(sizes) / len(sizes) if sizes else 0.0
    return DiskNeed(count, per_picture, free_bytes(output))


def _encoded(task: ViewTask) -> int:
    _, picture = next(replace(task, steps=task.steps[:1]).pictures())
    return sum(
        len(task.encoding.encode(resize_image(picture, width, height)))
        for _, width, height in task.folders
    )


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that a folder is on or, where it does not exist yet, will be on."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def require_disk(need: DiskNeed, output: Path) -> None:
    """Refuse to start what the disk cannot hold.

    Raises:
        SceneError: with the figures and what would help.
    """
    if need.needed > need.free:
        raise SceneError(
            f"{output}: the disk is too small: {need}; fewer frames (--frames), smaller images "
            "(images.scale=0.5), fewer sizes (images.folders=[images_r2,images_512]) or "
            "images.format=jpg would fit"
        )
