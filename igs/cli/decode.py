"""`igs decode`: frames of a `.fvv` file as stills of other formats."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igs.fvv import FvvReader

EPILOG = """examples:
  igs decode demo.fvv frames                      every frame as frames/000000.ply and so on
  igs decode demo.fvv stills --frames 0 10:20 --format spz
  igs decode demo.fvv frame7.glb --frames 7       one frame, the format by its name
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "decode",
        help="write frames of a .fvv file as ply, spz, splat, glb or gltf",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help=".fvv file")
    parser.add_argument("out", help="folder, or with one frame a file")
    parser.add_argument("--frames", nargs="+", metavar="N|A:B", help="frames; B is left out")
    parser.add_argument("--format", choices=("ply", "spz", "splat", "glb", "gltf"))
    parser.add_argument("--layers", type=int, help="how many layers to use; 1 is the base alone")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the frames; 1 if damage kept some from being written or the file is cut off."""
    from tqdm import tqdm

    from igs.fvv import STILL_FORMATS, FvvReader, write_still

    out = Path(arguments.out)
    single = out.suffix.lower().removeprefix(".") in STILL_FORMATS
    with FvvReader(arguments.file) as reader:
        there = [entry.frame for entry in reader.entries]
        cut_off = _cut_off(reader)
        if cut_off:
            print(f"igs: {arguments.file}: {cut_off}", file=sys.stderr)
        wanted = _wanted(arguments.frames, there, arguments.file)
        if single and len(wanted) != 1:
            raise ValueError(f"{out}: one file holds one frame; name it with --frames")
        written = 0
        with tqdm(total=len(wanted), unit="frame", disable=len(wanted) < 2) as bar:
            for start, stop in _runs(wanted, there):
                for frame in reader.frames(start, stop + 1, arguments.layers):
                    name = f"{frame.index:06d}.{arguments.format or 'ply'}"
                    write_still(out if single else out / name, frame.gaussians)
                    written += 1
                    bar.update()
        for damage in reader.damage:
            print(f"igs: {arguments.file}: {damage}", file=sys.stderr)
    print(f"{out}: {written} of {len(wanted)} frames")
    lost = reader.unread and arguments.frames is None
    return 0 if written == len(wanted) and not lost else 1


def _cut_off(reader: FvvReader) -> str:
    """Where and behind which frame the file breaks off; empty for a finished one."""
    if reader.indexed:
        return ""
    last = f"frame {reader.entries[-1].frame}" if reader.entries else "the header"
    return f"byte {reader.end}: cut off, or still being written, behind {last}"


def _wanted(words: list[str] | None, there: list[int], name: str) -> list[int]:
    if not there:
        raise ValueError(f"{name}: holds no frames")
    if words is None:
        return there
    wanted: set[int] = set()
    for word in words:
        first, colon, last = word.partition(":")
        try:
            low = int(first) if first or not colon else there[0]
            high = (int(last) if last else there[-1] + 1) if colon else low + 1
        except ValueError:
            raise ValueError(f"--frames {word}: give a number, or a range such as 10:20") from None
        inside = [frame for frame in there if low <= frame < high]
        if not inside:
            raise ValueError(f"--frames {word}: {name} has frames {there[0]} to {there[-1]}")
        wanted.update(inside)
    return sorted(wanted)


def _runs(wanted: list[int], there: list[int]) -> list[tuple[int, int]]:
    """(first, last) of wanted frames that follow each other in the file."""
    runs: list[tuple[int, int]] = []
    following = dict(itertools.pairwise(there))
    for frame in wanted:
        if runs and following.get(runs[-1][1]) == frame:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs
