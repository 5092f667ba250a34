"""Compiled code on disk: one file per architecture, sources and compiler version."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``$IGS_KERNEL_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("IGS_KERNEL_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "igs" / "kernels"


def load(name: str) -> bytes | None:
    """The stored code of that name, or None; an empty or unreadable file counts as none."""
    path = cache_folder() / name
    try:
        return path.read_bytes() or None
    except OSError:
        return None


def store(name: str, code: bytes) -> None:
    """Keep the code; written under another name and renamed, so that no reader sees half a file.

    A folder that cannot be written costs only the next start's compile time: it is logged.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
            part.write(code)
        os.replace(part.name, folder / name)
    except OSError as error:
        logger.warning("compiled kernels are not kept: %s", error)
