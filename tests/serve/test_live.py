"""A whole server as a process: cameras over UDP in, viewers and a recording out, and faults."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest
import websockets
from live_rig import Cameras, free_ports, make_capture
from live_server import Server
from watching import watch

from igs.fvv import FvvReader


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
