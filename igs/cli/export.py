"""`igs export web`: a folder that plays a recording from any web server."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = """examples:
  igs export web site --file demo.fvv --title "The demo"
  igs export web site --file demo.fvv --video left=left.mp4 --video right=right.mp4
  python -m http.server --directory site          try it at http://localhost:8000

Any server of files will do: nothing runs on it. One that answers range requests (nearly all do;
Python's does not) lets a video begin at once, however long it is. Browsers do not play from file://.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "export",
        help="write a folder that plays a .fvv file from any web server",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=("web",), help="what to write")
    parser.add_argument("out", help="folder to make")
    parser.add_argument("--file", required=True, metavar="FILE", help=".fvv file")
    parser.add_argument("--title", help="shown above the video; the file's name without")
    parser.add_argument(
        "--video",
        action="append",
        default=[],
        metavar="CAMERA=FILE",
        help="what a real camera took, to be shown beside; its second 0 is frame 0",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder."""
    from igs.serve.export import export_web

    pairs = [word.partition("=") for word in arguments.video]
    for word, (name, _, path) in zip(arguments.video, pairs, strict=True):
        if not name or not path:
            raise ValueError(f"--video {word}: must be CAMERA=FILE")
    made = export_web(
        arguments.file,
        arguments.out,
        title=arguments.title,
        videos={name: path for name, _, path in pairs},
        replace=arguments.force,
    )
    size = made.num_bytes / 1e6
    print(f"{made.folder}: {made.num_frames} frames, {made.num_files} files, {size:.1f} MB")
    return 0
