"""A whole server as a process: cameras over UDP in, viewers and a recording out, and faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from live_rig import Cameras, free_ports, make_capture
from watching import watch

from igs.config import to_yaml
from igs.config.serve import LiveConfig
from igs.fvv import FvvReader

STARTS_WITHIN = 120  # seconds; two processes load torch, perhaps on a busy machine


class Server:
    """`igs serve --live` in a process of its own."""

    def __init__(self, folder: Path, config: LiveConfig) -> None:
        (folder / "rig.yaml").write_text(to_yaml(config))
        self.recordings = folder / "recordings"
        words = [sys.executable, "-m", "igs.cli", "serve", str(self.recordings)]
        words += ["--live", str(folder / "rig.yaml"), "--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True)
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


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator:
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


def balanced(camera: dict) -> bool:
    gone = ("used", "skipped", "incomplete", "late", "damaged", "overflow", "waiting")
    return camera["received"] == sum(camera[key] for key in gone)


@pytest.mark.slow
def test_a_camera_goes_and_comes_back(tmp_path: Path, make_server):
    """The session goes on, the recording is whole, and every picture is accounted for."""
    config = make_capture(tmp_path, free_ports(4), lost_after=0.7, start_seconds=120.0)
    server = make_server(config)
    with Cameras(config) as cameras:
        server.wait_for(lambda s: s["state"] == "live" and s["frames"] >= 5)
        before = server.session()
        cameras.cut.add("cam02")
        away = server.wait_for(
            lambda s: (
                s["cameras"]["cam02"]["state"] == "away"
                and s["partial_frames"] >= before["partial_frames"] + 5
            )
        )
        cameras.cut.clear()
        back = server.wait_for(
            lambda s: (
                s["cameras"]["cam02"]["state"] == "open"
                and s["steps"]["delivered"] - s["partial_frames"]
                >= away["steps"]["delivered"] - away["partial_frames"] + 5
            )
        )
        assert back["frames"] > away["frames"] > before["frames"]
        assert server.api.post("/sessions/live/stop").status_code == 200
        watched = asyncio.run(watch_until_over(server))
        ended = server.wait_for(lambda s: s["state"] == "ended" and not s["running"])
    for viewer in watched:
        assert viewer.broken == 0
    steps = ended["steps"]
    assert steps["whole"] - steps["delivered"] - steps["skipped"] in (0, 1)  # one may be held
    for name, camera in ended["cameras"].items():
        assert balanced(camera), (name, camera)
        assert camera["received"] + camera["lost"] <= cameras.sent[name] + 5
    assert ended["cameras"]["cam02"]["outages"] >= 1
    [entry] = server.api.get("/recordings").json()
    about = server.api.get(f"/recordings/{entry['name']}").json()
    assert about["finished"]
    assert about["frames"] == ended["frames"] == ended["recording"]["frames"]
    assert about["report"]["steps"] == steps
    with FvvReader(server.recordings / entry["name"]) as reader:
        decoded = list(reader.frames())
        assert [f.index for f in decoded] == list(range(ended["frames"]))
        assert reader.damage == []
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) in (0, -signal.SIGTERM)


async def watch_until_over(server: Server) -> list:
    """The session may be over before the viewers are in: that is refused with a reason."""
    try:
        return await watch(server.url, 2)
    except websockets.InvalidStatus as error:
        if error.response.status_code == 410:
            return []
        raise


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_a_recording(tmp_path: Path, make_server):
    """The server is killed; its session notices, finishes the recording and ends."""
    config = make_capture(tmp_path, free_ports(4), start_seconds=120.0)
    server = make_server(config)
    with Cameras(config):
        state = server.wait_for(lambda s: s["state"] == "live" and s["frames"] >= 3)
        server.process.kill()
        path = server.recordings / state["recording"]["file"]
        with FvvReader(path) as reader:  # at once, while the session may still write
            assert len(list(reader.frames())) >= 3
            assert reader.damage == []
        deadline = time.monotonic() + 60
        while not path.with_suffix(".json").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    report = json.loads(path.with_suffix(".json").read_text())
    with FvvReader(path) as reader:
        assert reader.indexed
        assert len(reader.entries) == report["recording"]["frames"] >= 3
