"""`igs pairs`: the files that say which frame is predicted from which."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = """examples:
  igs pairs test prepared steak --interval 5
  igs pairs train igs_data --validation steak

`test` is for streaming, `train` for training the motion network: there, every built frame is paired
with those up to five before and after it, and the cameras of every scene are put into four groups.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "pairs",
        help="write pair files for streaming or training",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", metavar="kind", required=True)
    test = kinds.add_parser("test", help="for streaming scenes")
    test.add_argument("root", help="folder of the scenes")
    test.add_argument("scenes", nargs="*", help="all if not given")
    test.add_argument("--interval", type=int, default=5, help="frames from key frame to key frame")
    test.add_argument("--frames", type=int, help="how many; all if not given")
    train = kinds.add_parser("train", help="for training on built frames (igs build)")
    train.add_argument("root", help="folder of the scenes")
    train.add_argument("scenes", nargs="*", help="all with built frames if not given")
    train.add_argument("--validation", nargs="+", default=[], metavar="SCENE")
    train.add_argument("--reach", type=int, default=5, help="farthest distance of two frames")
    train.add_argument("--seed", type=int, default=0, help="of the camera groups")
    train.add_argument("--iteration", help="saved Gaussians that a frame must have")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    from igs.building.pairs import generate_test_pair, generate_train_pair
    from igs.scene import Dataset

    if arguments.kind == "test":
        for scene in arguments.scenes or Dataset.open(arguments.root).scenes():
            print(
                generate_test_pair(
                    arguments.root, scene, interval=arguments.interval, num_frames=arguments.frames
                )
            )
        return 0
    print(
        generate_train_pair(
            arguments.root,
            arguments.scenes,
            validation=arguments.validation,
            reach=arguments.reach,
            seed=arguments.seed,
            iteration=arguments.iteration,
        )
    )
    return 0
