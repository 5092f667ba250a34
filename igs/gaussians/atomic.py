"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
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
        _remove(temporary)
        # A failed write knows no file name; an error from elsewhere keeps its own.
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The error that brought us here says more than the failed clean-up would.
        return
