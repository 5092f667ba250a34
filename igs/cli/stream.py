"""`igs stream`: a capture in, Gaussians frame by frame and a free-viewpoint video out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EPILOG = """examples:
  igs stream --config configs/demo.yaml
  igs stream --config configs/panoptic_basketball.yaml data.root=DIR output=outputs/basketball
  igs stream --config configs/demo.yaml refine.mode=l motion=none
  igs stream --config configs/panoptic_basketball.yaml --weights igs_small
  igs stream --config configs/demo.yaml --resume
  igs stream --config configs/demo.yaml --compare
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "stream",
        help="reconstruct a multi-view capture frame by frame",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `igs stream` and `infer_batch.py` share."""
    parser.add_argument("--config", required=True, help="YAML file; see configs/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings that win over the file"
    )
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="predict motion with these weights: a file or folder, a name of ckpt/, or a hub id "
        "(the same as motion=agm motion.weights=NAME)",
    )
    parser.add_argument(
        "--flow-weights",
        metavar="NAME",
        help="GMFlow's weights, for motion weights that hold no flow features",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the output folder, which must have the same settings",
    )
    group.add_argument(
        "--compare",
        action="store_true",
        help="run every comparison mode into a folder of its own and print one table",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the stream and say where everything is."""
    from igs.cli.progress import ProgressBars
    from igs.config import RunConfig, load_config
    from igs.config.resources import config_path
    from igs.stream import StreamSession
    from igs.stream.compare import compare_modes
    from igs.stream.results import table

    words = [*_weight_words(arguments), *arguments.overrides]
    config = load_config(RunConfig, config_path(arguments.config), words)
    if arguments.compare:
        with ProgressBars() as bars:
            summaries, left_out = compare_modes(config, progress=bars)
        for line in left_out:
            print(line)
        print(table(summaries))
        print(f"{'runs:':12} {Path(config.output) / '<mode>'}")
        return 0
    _say_what_is_off(config)
    with ProgressBars() as bars:
        session = StreamSession(config, resume=arguments.resume, progress=bars)
        result = session.run()
    print(table({Path(config.output).name: result["summary"]}))
    _say_where(session)
    return 0


def _weight_words(arguments: argparse.Namespace) -> list[str]:
    words = []
    if arguments.weights is not None:
        words += ["motion=agm", f"motion.weights={arguments.weights}"]
    if arguments.flow_weights is not None:
        words.append(f"motion.flow_weights={arguments.flow_weights}")
    return words


def _say_what_is_off(config: Any) -> None:
    if config.motion.mode == "none":
        print(
            "motion=none: Gaussians are held still between key frames and moved by refinement "
            "alone (--weights igs_small predicts motion; it needs a box)"
        )


def _say_where(session: Any) -> None:
    folder, write = session.folder, session.config.write
    rows = [("table", folder.results)]
    if write.gaussians:
        rows.append(("Gaussians", folder.gaussians))
    if write.videos and folder.free_video.is_file():
        rows.append(("video", folder.free_video))
    if write.videos and folder.comparison.is_file():
        rows.append(("comparison", folder.comparison))
    for name, path in rows:
        print(f"{name + ':':12} {path}")
