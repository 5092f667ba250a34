"""A folder of numbered images as a video.

Source: spec `streaming.md`, section 12.
"""

from __future__ import annotations

from pathlib import Path

from igs.render.video import frames_from_folder, write_video


def video(folder: str | Path, output: str | Path | None = None, *, fps: float = 30.0) -> Path:
    """Join the PNG and JPEG images of a folder, sorted by the first integer in their names.

    Args:
        folder: of the images.
        output: the file to write; None is ``output.mp4`` in the folder.
        fps: frames per second.

    Returns:
        The file, H.264 in MP4, of the size of the first image.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        ValueError: an image without a number in its name, or of another size than the first;
            names it.
        OSError: the file cannot be written; nothing half-written stays.
    """
    if not fps > 0:
        raise ValueError(f"fps: {fps} must be positive")
    path = Path(folder) / "output.mp4" if output is None else Path(output)
    write_video(path, frames_from_folder(folder), fps)
    return path
