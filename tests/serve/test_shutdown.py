"""Every way of ending a server leaves recordings with an index and a report, and no process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from live_rig import Cameras, free_ports, make_capture
from live_server import Server
from stuck import FRAMES, run_stuck

from igs.config.serve import LiveConfig
from igs.fvv import FvvReader
from igs.serve.worker import WorkerJob

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups' signals"),
]


def group(server: Server, number: int) -> None:
    os.killpg(server.process.pid, number)


def alone(server: Server, number: int) -> None:
    server.process.send_signal(number)


def twice(server: Server, number: int) -> None:
    group(server, number)
    time.sleep(0.05)  # the server has not yet begun to end
    group(server, number)


def check_recording(path: Path, at_least: int) -> None:
    """It has an index and all frames, and the report is of all of it."""
    report = json.loads(path.with_suffix(".json").read_text())
    with FvvReader(path) as reader:
        assert reader.indexed
        frames = [frame.index for frame in reader.frames()]
        assert reader.damage == []
    assert frames == list(range(report["recording"]["frames"]))
    assert len(frames) >= at_least
    assert (report["state"], report["recording"]["state"]) == ("ended", "finished")


def check_all_gone(pid: int, seconds: float = 20) -> None:
    """No process of the group is left."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "a process of the group is left"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("how", "number", "statuses"),
    [
        (group, signal.SIGTERM, (-signal.SIGTERM,)),
        (twice, signal.SIGTERM, (-signal.SIGTERM,)),
        (alone, signal.SIGTERM, (-signal.SIGTERM,)),
        (group, signal.SIGHUP, (0,)),
        # How it ends depends on what the second one meets: the server, or Python as it ends.
        (twice, signal.SIGINT, (0, 130, -signal.SIGINT)),
    ],
)
def test_a_running_session_is_finished(
    tmp_path: Path, make_server, how: Callable[[Server, int], None], number: int, statuses: tuple
):
    config = make_capture(tmp_path, free_ports(4), start_seconds=120.0)
    server = make_server(config)
    with Cameras(config):
        state = server.wait_for(lambda s: s["state"] == "live" and s["frames"] >= 3)
        begun = time.monotonic()
        how(server, number)
        assert server.process.wait(45) in statuses
        assert time.monotonic() - begun < 40
    check_all_gone(server.process.pid)
    check_recording(server.recordings / state["recording"]["file"], state["frames"])


def test_a_first_frame_in_work_is_given_up(tmp_path: Path, make_server):
    config = make_capture(tmp_path, free_ports(4), start_seconds=120.0)
    config.frame0.mode, config.frame0.ply = "optimise", None
    config.frame0.iterations = 1_000_000
    server = make_server(config)
    with Cameras(config):
        server.wait_for(lambda s: s["state"] == "frame0" and s["note"].startswith("frame0 "))
        group(server, signal.SIGTERM)
        assert server.process.wait(45) == -signal.SIGTERM
    check_all_gone(server.process.pid)
    assert not list(server.recordings.glob("*"))  # there was nothing to record yet


class StuckSession:
    """A process of `run_stuck`; what it says is read and counted."""

    def __init__(self, root: Path, config: LiveConfig, shutdown_seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.recordings = root / "recordings"
        job = WorkerJob(config, root, self.recordings, 1 << 30, shutdown_seconds)
        self.process = context.Process(target=run_stuck, args=(job, theirs))
        self.process.start()
        theirs.close()
        self.frames, self.ended = 0, False
        threading.Thread(target=self._read, args=(self.connection,), daemon=True).start()

    def _read(self, connection: Connection) -> None:
        try:
            while not self.ended:
                kind = connection.recv()[0]
                self.frames += kind == "frame"
                self.ended = kind == "end"
        except (EOFError, OSError):
            return

    def wait_until_stuck(self) -> None:
        deadline = time.monotonic() + 120
        while self.frames < FRAMES:
            assert self.process.exitcode is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("shutdown_seconds", [600.0, 1.0])
def test_a_frame_without_end_is_given_up(tmp_path: Path, shutdown_seconds: float):
    """By a second signal, or when the time is over: the recording is finished all the same."""
    config = make_capture(tmp_path, free_ports(4), start_seconds=120.0)
    with Cameras(config):
        session = StuckSession(tmp_path, config, shutdown_seconds)
        try:
            session.wait_until_stuck()
            session.process.terminate()
            if shutdown_seconds > 60:
                session.process.join(2)
                assert session.process.exitcode is None  # it waits for the frame
                session.process.terminate()
            session.process.join(20)
            assert session.process.exitcode == 0
        finally:
            session.process.kill()
            session.process.join()
    assert session.ended
    [path] = session.recordings.glob("*.fvv")
    check_recording(path, FRAMES)
