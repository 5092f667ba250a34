"""Bytes as they lie on disk, not as they are estimated."""

from __future__ import annotations

from pathlib import Path


def bytes_written(path: str | Path) -> int:
    """Size of a file, or of all files in a folder and below.

    Raises:
        FileNotFoundError: nothing is there.
    """
    path = Path(path)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
