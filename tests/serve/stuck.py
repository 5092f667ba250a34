"""A session whose engine makes two frames and then sits in one call that no handler interrupts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from igs.serve import worker

FRAMES = 2
_run = worker.MultiViewEngine.run


def run_stuck(job: worker.WorkerJob, connection: Connection) -> None:
    """`run_worker`, with that engine."""

    def run(engine: Any, source: Any) -> Iterator[Any]:
        yield from islice(_run(engine, source), FRAMES)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # many minutes, without the interpreter

    setattr(worker.MultiViewEngine, "run", run)  # noqa: B010 - of another type
    worker.run_worker(job, connection)
