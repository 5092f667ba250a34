"""`igs evaluate`: the figures of finished runs, side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "evaluate", help="print the figures of runs side by side", description=__doc__
    )
    parser.add_argument("folders", nargs="+", help="output folders of `igs stream`")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read every run's results and print one table."""
    from igs.stream.results import table

    names = [Path(folder).name for folder in arguments.folders]
    summaries = {}
    for folder, name in zip(arguments.folders, names, strict=True):
        label = name if names.count(name) == 1 else str(folder)
        summaries[label] = _summary(Path(folder) / "results.json")
    print(table(summaries))
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
