"""What happened: a log a worker, and the list of frames that were given up."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from igs.building.plan import FrameTask
from igs.scene.files import write_json

FAILURES = "failures.json"
LOG_FOLDER = "build_log"


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt at a frame that came to nothing.

    Attributes:
        kind: `failed` by an error, or `lost` with its worker.
        worker: who tried.
        error: the traceback's last line, or how the worker ended.
    """

    kind: str
    worker: str
    error: str


@dataclass(frozen=True)
class Failure:
    """A frame that was given up, with all attempts at it."""

    scene: str
    frame: int
    attempts: tuple[FailedAttempt, ...]


def log_event(task: FrameTask, event: str, **details: Any) -> None:
    """Append a line to this process's log in the output.

    Every process has its own file: appending to a common one is not safe on network disks.
    """
    folder = task.root / LOG_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "event": event,
        "scene": task.scene,
        "frame": task.frame,
        "attempt": task.attempt,
        **details,
    }
    path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read_events(root: str | Path) -> Iterator[dict[str, Any]]:
    """All workers' events, file by file; a line that a killed worker left unfinished is skipped."""
    for path in sorted((Path(root) / LOG_FOLDER).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                yield json.loads(line)


def write_failures(root: str | Path, failures: Sequence[Failure]) -> Path | None:
    """Write ``failures.json``, or remove an older one where nothing failed.

    Returns:
        The file, None where nothing failed.
    """
    path = Path(root) / FAILURES
    if not failures:
        path.unlink(missing_ok=True)
        return None
    write_json(path, [asdict(failure) for failure in failures], indent=1)
    return path
