"""Small file routines that all readers and writers of this room share."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from igs.scene.errors import SceneError


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parse a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: it is not JSON; the message names the file, line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as error:
        raise SceneError(f"{path}: cannot be read as text ({error})") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SceneError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then rename.

    Missing parent folders are made. On failure the temporary file is removed and the old
    content of `path`, if any, is untouched.

    Raises:
        OSError: the disk is full or the folder not writable; the error names `path`.
    """
    target = Path(path)
    try:
        _replace(target, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(target)) from error


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The process's mask can only be read by setting it; mkstemp's own mode (0600) would lock
    # other users out of results.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, indent: int = 4) -> None:
    """Write a JSON file whole or not at all, ending in a line feed."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")
