"""A small rig in motion, sent over the loopback, and servers in threads and processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for live_rig

from live_server import Server

from igs.config.serve import LiveConfig


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[[LiveConfig], Server]]:
    """Starts `igs serve` with one session; what still runs in the end is killed."""
    made: list[Server] = []

    def make(config: LiveConfig) -> Server:
        made.append(Server(tmp_path, config))
        return made[-1]

    yield make
    for server in made:
        server.api.close()
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
