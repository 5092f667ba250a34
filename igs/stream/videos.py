"""Videos made from the images a run has written.

Source: spec `streaming.md`, section 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from igs.render.compare import comparison_frame
from igs.render.video import frames_from_folder, write_video
from igs.stream.folder import RunFolder


def write_videos(folder: RunFolder, fps: float) -> list[Path]:
    """Write `free_view.mp4` and `comparison.mp4` from the images that are there.

    Returns:
        The videos written; one whose images were switched off is left out.

    Raises:
        OSError: the disk is full; nothing half-written stays.
    """
    written = []
    if folder.free_views.is_dir():
        write_video(folder.free_video, frames_from_folder(folder.free_views), fps)
        written.append(folder.free_video)
    if folder.eval_pred.is_dir() and folder.eval_gt.is_dir():
        write_video(folder.comparison, _comparison(folder), fps)
        written.append(folder.comparison)
    return written


def _comparison(folder: RunFolder) -> Iterator[np.ndarray]:
    """Captured, rendered and error side by side."""
    captured = frames_from_folder(folder.eval_gt)
    for truth, rendered in zip(captured, frames_from_folder(folder.eval_pred), strict=True):
        yield comparison_frame(truth, rendered)
