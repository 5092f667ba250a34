"""Peak memory of a stream against its length: it must not grow with the number of frames.

python bench/stream_memory.py [--config configs/demo.yaml] [key=value ...]

Each length runs in a process of its own, with frame 0 made once and shared. The capture is played
forth and back to make the long one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHEAP = ["refine.iterations=10", "write.videos=false", "threads=2"]


def run(config: str, output: Path, words: list[str]) -> dict:
    """One stream in a fresh process; returns its summary."""
    command = [sys.executable, "-m", "igs.cli", "stream", "--config", config]
    words = [f"output={output}", *CHEAP, *words]
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / "results.json").read_text())["summary"]


def main() -> None:
    """Run the lengths and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/demo.yaml")
    parser.add_argument("--loops", type=int, nargs="+", default=[1, 5])
    parser.add_argument("words", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "first"
        run(arguments.config, shared, [*arguments.words, "data.num_frames=1"])
        load = ["frame0.mode=load", f"frame0.ply={(shared / 'frame0.ply').resolve()}"]
        print("frames  peak MB  Gaussians")
        first = None
        for loops in arguments.loops:
            words = [*arguments.words, *load, f"data.loops={loops}"]
            summary = run(arguments.config, Path(folder) / f"loops{loops}", words)
            first = first or summary
            print(
                f"{summary['num_frames']:6d} {summary['peak_memory_mb']:8.0f} "
                f"{summary['num_gaussians']:10d}   "
                f"{summary['peak_memory_mb'] / first['peak_memory_mb']:.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
