"""A whole server with one live session, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from igs.config import to_yaml
from igs.config.serve import LiveConfig

STARTS_WITHIN = 120  # seconds; two processes load torch, perhaps on a busy machine


class Server:
    """`igs serve --live` in a process, and a process group, of its own."""

    def __init__(self, folder: Path, config: LiveConfig) -> None:
        (folder / "rig.yaml").write_text(to_yaml(config))
        self.recordings = folder / "recordings"
        words = [sys.executable, "-m", "igs.cli", "serve", str(self.recordings)]
        words += ["--live", str(folder / "rig.yaml"), "--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("page:"), line
        self.address = line.split("http://")[1].strip().strip("/")
        self.api = httpx.Client(base_url=f"http://{self.address}/api/v1", timeout=30)

    def session(self) -> dict:
        return self.api.get("/sessions/live").json()

    def wait_for(self, condition, seconds: float = STARTS_WITHIN) -> dict:
        deadline = time.monotonic() + seconds
        while not condition(state := self.session()):
            assert time.monotonic() < deadline, state
            assert self.process.poll() is None
            time.sleep(0.1)
        return state

    @property
    def url(self) -> str:
        return f"ws://{self.address}/api/v1/sessions/live/live"
