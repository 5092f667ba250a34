"""Kill -9 at random moments: `igs encode`, a live session's writer, the server; open what is left.

    python bench/fvv_kill.py [--times 10] [--seed 0] [--only encode writer server]

Each kind is killed so many times. A recording counts as opening if the reader finds no damage,
every frame from the first on is there and decodes, and none is missing that had been published
before. A session whose server was killed must finish its recording by itself: its index is there in
the end.
Prints a table; ends with 1 if one recording did not open. Everything runs on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from serve_load import ENVIRONMENT, Bench, make_running

# Found where serve_load looks for it.
from live_rig import scene  # pyright: ignore[reportMissingImports]  # isort: skip

from igs.fvv import FvvError, FvvReader
from igs.gaussians import write_ply

KINDS = ("encode", "writer", "server")
FRAMES = 400
COLUMNS = "{:8s} {:>8s} {:>10s} {:>8s} {:>10s} {:>6s}"


@dataclass
class Outcome:
    """What one kill left.

    Attributes:
        kind: what was killed.
        seconds: after its first frames.
        before: frames that were known to be written before.
        played: frames that decode.
        unread: bytes at the end that are no whole chunk.
        problem: why it does not count as opening; empty if it does.
    """

    kind: str
    seconds: float
    before: int
    played: int
    unread: int
    problem: str

    def row(self) -> str:
        """A line of the table."""
        said = "yes" if not self.problem else f"no: {self.problem}"
        numbers = (str(self.before), str(self.played), str(self.unread))
        return COLUMNS.format(self.kind, f"{self.seconds:.2f} s", *numbers, said)


def look(path: Path, kind: str, seconds: float, before: int) -> Outcome:
    """Open a file that was left."""
    try:
        with FvvReader(path) as reader:
            played = [frame.index for frame in reader.frames()]
            problem = "; ".join(map(str, reader.damage))
            unread = reader.unread
    except FvvError as error:
        return Outcome(kind, seconds, before, 0, 0, str(error))
    if played != list(range(len(played))):
        problem = "frames are missing"
    elif len(played) < before:
        problem = f"{before} frames had been written"
    return Outcome(kind, seconds, before, len(played), unread, problem)


def kill_encode(folder: Path, moment: float) -> Outcome:
    """Kill `igs encode` a moment after its file appeared."""
    path = folder / "out.fvv"
    path.unlink(missing_ok=True)
    words = [sys.executable, "-m", "igs.cli", "encode", str(folder / "plys"), str(path)]
    process = subprocess.Popen(
        [*words, "--preset", "live"],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (path.is_file() and path.stat().st_size > 5000):
        if process.poll() is not None:
            raise RuntimeError(f"igs encode ended with {process.returncode}")
        time.sleep(0.005)
    time.sleep(moment)
    if process.poll() is not None:
        raise RuntimeError("igs encode had finished: raise FRAMES")
    with FvvReader(path) as reader:
        before = len(reader.entries)
    process.kill()
    process.wait()
    return look(path, "encode", moment, before)


def kill_live(bench: Bench, kind: str, moment: float) -> Outcome:
    """Kill the session's process, or the server, a moment after the first frames."""
    time.sleep(moment)
    state = bench.session()
    path = bench.folder / state["recording"]["file"]
    server = psutil.Process(bench.process.pid)
    workers = [c for c in server.children() if "spawn_main" in " ".join(c.cmdline())]
    (server if kind == "server" else workers[-1]).kill()
    time.sleep(0.05)
    outcome = look(path, kind, moment, state["recording"]["frames"])
    if kind == "server":
        psutil.wait_procs(workers, timeout=120)
        with FvvReader(path) as reader:
            if not reader.indexed:
                outcome.problem = "the session did not finish its recording"
    return outcome


def encodes(times: int, rng: random.Random) -> list[Outcome]:
    """Kill `igs encode`; prints as it goes."""
    with tempfile.TemporaryDirectory() as name:
        folder, gaussians = Path(name), [scene(0.02 * i) for i in range(8)]
        (folder / "plys").mkdir()
        for i, one in enumerate(gaussians):
            write_ply(folder / f"{i}.ply", one)
        for i in range(FRAMES):
            (folder / "plys" / f"{i:04d}.ply").symlink_to(folder / f"{i % 8}.ply")
        return [_told(kill_encode(folder, rng.uniform(0, 2))) for _ in range(times)]


def lives(kind: str, times: int, rng: random.Random) -> list[Outcome]:
    """Kill the server or the writer of a live session; prints as it goes."""
    outcomes: list[Outcome] = []
    while len(outcomes) < times:
        with make_running() as (bench, _, _):
            outcomes.append(_told(kill_live(bench, kind, rng.uniform(0, 3))))
            # A server outlives its session, which can be started again.
            while kind == "writer" and len(outcomes) < times:
                bench.restart()
                outcomes.append(_told(kill_live(bench, kind, rng.uniform(0, 3))))
    return outcomes


def _told(outcome: Outcome) -> Outcome:
    print(outcome.row(), flush=True)
    return outcome


def main() -> int:
    """Kill as often as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    print(COLUMNS.format("killed", "after", "frames", "played", "cut bytes", "opens"))
    outcomes: list[Outcome] = []
    for kind in given.only:
        outcomes += encodes(given.times, rng) if kind == "encode" else lives(kind, given.times, rng)
    good = sum(not outcome.problem for outcome in outcomes)
    print(f"{good} of {len(outcomes)} recordings open")
    return 0 if good == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
