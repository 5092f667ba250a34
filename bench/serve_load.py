"""What a live session costs, and what it survives; everything on 127.0.0.1.

    python bench/serve_load.py load  [--viewers 100] [--seconds 60]
    python bench/serve_load.py cut   [--seconds 60] [--cut 10]

A server runs as `igs serve --live`; four simulated cameras send MPEG-TS over UDP at 15 frames a
second. `load` compares the reconstruction time of frames with and without viewers, in turns, so
that other work on the machine meets both alike; viewers check every checksum. `cut` takes one
camera away for a while and accounts for every picture. For kills see bench/fvv_kill.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "serve"))

# The path is made above.
from live_rig import (  # pyright: ignore[reportMissingImports]
    Cameras,
    free_ports,
    make_capture,
)
from watching import Watched, watch_for  # pyright: ignore[reportMissingImports]

from igs.config import to_yaml
from igs.config.serve import LiveConfig
from igs.fvv import FvvReader

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


class Bench:
    """A server, its session, and its numbers."""

    def __init__(self, folder: Path, config: LiveConfig) -> None:
        self.folder = folder / "recordings"
        (folder / "rig.yaml").write_text(to_yaml(config))
        words = [sys.executable, "-m", "igs.cli", "serve", str(self.folder), "--port", "0"]
        words += ["--live", str(folder / "rig.yaml")]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split("http://")[1].strip().strip("/")
        self.url = f"ws://{self.address}/api/v1/sessions/live/live"
        self.api = httpx.Client(base_url=f"http://{self.address}/api/v1", timeout=60)

    def session(self) -> dict:
        return self.api.get("/sessions/live").json()

    def until(self, frames: int, limit: float = 240) -> dict:
        deadline = time.monotonic() + limit
        while (state := self.session()).get("frames", 0) < frames:
            if time.monotonic() > deadline or state["state"] in ("failed", "ended"):
                raise RuntimeError(f"the session does not run: {state}")
            time.sleep(0.2)
        return state

    def stop(self) -> dict:
        """Stop the session and wait for its end; gives its last numbers."""
        self.api.post("/sessions/live/stop")
        while (state := self.session())["running"]:
            time.sleep(0.2)
        return state

    def restart(self) -> None:
        """Start the session again once it has died, and wait for its first frames."""
        while self.session()["running"]:
            time.sleep(0.1)
        self.api.post("/sessions/live/start").raise_for_status()
        self.until(10)

    def close(self) -> None:
        self.api.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@contextlib.contextmanager
def make_running(
    iterations: int = 6, **settings: object
) -> Iterator[tuple[Bench, Cameras, LiveConfig]]:
    """A session that has made its first frames."""
    with tempfile.TemporaryDirectory() as name:
        config = make_capture(Path(name), free_ports(4), start_seconds=120.0, **settings)
        config.refine.iterations = iterations
        bench = Bench(Path(name), config)
        try:
            with Cameras(config) as cameras:
                bench.until(10)
                yield bench, cameras, config
        finally:
            bench.close()


def seconds_a_frame(before: dict, after: dict) -> float:
    frames = after["frames"] - before["frames"]
    return (after["engine_seconds"] - before["engine_seconds"]) / max(frames, 1)


def _viewers(url: str, count: int, seconds: float, answer) -> None:
    os.nice(10)  # they stand for other machines, which would not take our processor
    answer.put(asyncio.run(watch_for(url, count, seconds)))


def load(viewers: int, seconds: float, turns: int, iterations: int) -> dict:
    """Rounds without and with viewers; viewers run in a process of their own."""
    quiet, loaded, watched, cpu = [], [], [], []
    context = multiprocessing.get_context("spawn")
    with make_running(iterations) as (bench, _, _):
        server = psutil.Process(bench.process.pid)
        for _ in range(turns):
            before = bench.session()
            time.sleep(seconds / turns)
            between = bench.session()
            quiet.append(seconds_a_frame(before, between))
            answer = context.Queue()
            # All viewers are there for the time asked for; those who come in first wait.
            watcher = context.Process(
                target=_viewers, args=(bench.url, viewers, seconds / turns, answer)
            )
            watcher.start()
            while bench.session()["viewers"] < viewers:
                time.sleep(0.1)
            begin, spent = bench.session(), sum(server.cpu_times()[:2])
            time.sleep(seconds / turns)
            loaded.append(seconds_a_frame(begin, bench.session()))
            cpu.append((sum(server.cpu_times()[:2]) - spent) / (seconds / turns))
            watched += answer.get(timeout=120)
            watcher.join()
        end = bench.stop()
    return {
        "viewers": viewers,
        "seconds_with_viewers": seconds,
        "ms_a_frame_without": [round(1000 * s, 2) for s in quiet],
        "ms_a_frame_with": [round(1000 * s, 2) for s in loaded],
        "rise": round(sum(loaded) / sum(quiet) - 1, 3),
        "server_cpu_share": [round(share, 3) for share in cpu],
        "frames_received": sum(len(viewer.frames) for viewer in watched),
        "broken": sum(viewer.broken for viewer in watched),
        "gaps": sum(gaps(viewer) for viewer in watched),
        "bytes_sent": end["sent_bytes"],
        "frames_made": end["frames"],
        "dropped_for_viewers": end["viewers_dropped_frames"],
    }


def load_table(result: dict) -> list[str]:
    """Reconstruction time of a frame in each turn, without and with viewers."""
    pairs = zip(result["ms_a_frame_without"], result["ms_a_frame_with"], strict=True)
    lines = [f"{'turn':>4s} {'without':>10s} {'with':>10s} {'rise':>8s}"]
    lines += [
        f"{turn:4d} {without:7.2f} ms {loaded:7.2f} ms {loaded / without - 1:+8.1%}"
        for turn, (without, loaded) in enumerate(pairs, start=1)
    ]
    return [*lines, f"all turns together: {result['rise']:+.1%}"]


def gaps(viewer: Watched) -> int:
    """Frames that a viewer did not get between its first live frame and its last."""
    # Behind the newest key frame at joining, candidates may have been published before.
    live = [n for n in viewer.frames if n > viewer.live_from]
    return 0 if not live else live[-1] - live[0] + 1 - len(live)


def cut(seconds: float, away: float) -> dict:
    """One camera is away in the middle."""
    with make_running(lost_after=1.0) as (bench, cameras, _):
        start = bench.session()
        time.sleep((seconds - away) / 2)
        cameras.cut.add("cam02")
        time.sleep(away)
        without = bench.session()
        cameras.cut.clear()
        time.sleep((seconds - away) / 2)
        back = bench.session()
        end = bench.stop()
        sent = dict(cameras.sent)
        path = bench.folder / end["recording"]["file"]
        with FvvReader(path) as reader:
            played = [frame.index for frame in reader.frames()]
            finished, damage = reader.indexed, [str(d) for d in reader.damage]
    gone = ("used", "skipped", "incomplete", "late", "damaged", "overflow", "waiting")
    held = end["steps"]["whole"] - end["steps"]["delivered"] - end["steps"]["skipped"]
    return {
        "frames": end["frames"] - start["frames"],
        "while_away": {"state": without["cameras"]["cam02"]["state"],
                       "partial_frames": without["partial_frames"]},
        "afterwards": back["cameras"]["cam02"]["state"],
        "steps": end["steps"],
        "cameras": {
            name: {
                "sent_by_then": sent[name],
                **{k: v for k, v in c.items() if isinstance(v, int)},
                "unaccounted": c["received"] - sum(c[key] for key in gone),
            }
            for name, c in end["cameras"].items()
        },
        "steps_unaccounted": held if held not in (0, 1) else 0,
        "recording": {
            "finished": finished,
            "plays_all": played == list(range(end["frames"])),
            "damage": damage,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("load", "cut"))
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--turns", type=int, default=4, help="rounds without and with viewers")
    parser.add_argument("--iterations", type=int, default=40, help="of refinement, for load")
    parser.add_argument("--cut", type=float, default=10)
    given = parser.parse_args()
    if given.what == "load":
        result = load(given.viewers, given.seconds, given.turns, given.iterations)
        print("\n".join(load_table(result)))
    else:
        result = cut(given.seconds, given.cut)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
