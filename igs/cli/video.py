"""`igs video`: a folder of numbered images as a video."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "video", help="join a folder of images into a video", description=__doc__
    )
    parser.add_argument("folder", help="of PNG or JPEG images with numbers in their names")
    parser.add_argument("--out", help="video to write, .mp4; output.mp4 in FOLDER if not given")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the video and say where it is."""
    from igs.building.video import video

    print(video(arguments.folder, arguments.out, fps=arguments.fps))
    return 0
