"""Files that are either whole or not there, and JSON with errors that name the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to a temporary name in the same folder, renamed to `path` when the block ends well.

    Missing parent folders are made. If the block fails, the temporary file is removed and what
    stood at `path` before stays as it was.

    Raises:
        OSError: a full disk or a folder that may not be written, with `path` in the message.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the error that brought us here says more than a failed clean-up
            temporary.unlink(missing_ok=True)
        # A failed write knows no file name; an error from elsewhere keeps its own.
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, indent: int = 4) -> None:
    """Write a JSON file whole or not at all, ending in a line feed."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")
