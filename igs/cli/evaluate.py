"""`igs evaluate`: figures of finished runs side by side, or with `motion` of motion networks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

EPILOG = """examples:
  igs evaluate outputs/demo outputs/basketball
  igs evaluate motion --config configs/evaluate_motion.yaml
  igs evaluate motion --config configs/evaluate_motion.yaml weights.mine=outputs/train_small/19
"""

MOTION = "motion"


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "evaluate",
        help="print the figures of runs or of motion networks side by side",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "overrides",
        nargs="+",
        metavar="folder | motion key=value",
        help="output folders of `igs stream`, or motion and settings that win over --config",
    )
    parser.add_argument("--config", help="with motion: YAML file; see configs/evaluate_motion.yaml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one table of finished runs, or one of motion networks for every data set."""
    from igs.stream.results import table

    if arguments.overrides[0] == MOTION:
        return _motion(arguments)
    folders = arguments.overrides
    names = [Path(folder).name for folder in folders]
    summaries = {}
    for folder, name in zip(folders, names, strict=True):
        label = name if names.count(name) == 1 else str(folder)
        summaries[label] = _summary(Path(folder) / "results.json")
    print(table(summaries))
    return 0


def _motion(arguments: argparse.Namespace) -> int:
    from igs.cli.progress import ProgressBars
    from igs.config import load_config
    from igs.config.evaluation import MotionEvaluationConfig
    from igs.config.resources import config_path
    from igs.training.evaluation import evaluate_motion, motion_table

    if arguments.config is None:
        raise ValueError("igs evaluate motion: give --config, for instance evaluate_motion")
    path = config_path(arguments.config)
    config = load_config(MotionEvaluationConfig, path, arguments.overrides[1:])
    with ProgressBars() as bars:
        tables = evaluate_motion(config, bars)
    for name, rows in tables.items():
        print(f"{name}\n{motion_table(rows)}\n")
    print(f"figures: {config.output}/motion.json")
    return 0


def _summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the output folder of a finished run")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))["summary"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the results of a run ({error})") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{path}: not the results of a run (its summary is no object)")
    return summary
