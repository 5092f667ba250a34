"""Room for a new run in its output folder: files of two runs never lie side by side."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import yaml

from igs.config.frame0_run import Frame0RunConfig
from igs.frame0.attempts import RECORD

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
CHECKPOINT = "checkpoint.safetensors"
REPORT = "frame0.json"
_WORTH = (REPORT, CHECKPOINT, RECORD, "point_cloud")
_PART = ".part"  # what `atomic_path` writes to


def make_room(config: Frame0RunConfig, resume: bool = False) -> Path | None:
    """Move an earlier run in the output folder aside, unless it is gone on with.

    One earlier run is kept, under the same name with ``.previous``, as streams do. A run that was
    cut off before it saved anything is not worth that: its folder is used again.

    Args:
        config: its `output` is looked at; nothing else in it may lie in there.
        resume: leave an earlier run where it is.

    Returns:
        Where the earlier run went, None if there was none.

    Raises:
        ValueError: the folder, or the one in the way of the earlier run, holds something else than
            a run, or the new run reads from it; nothing is moved or removed then.
    """
    root = Path(config.output)
    if not root.exists() or all(path.suffix == _PART for path in root.iterdir()):
        return None
    _require_run(root)
    if resume or not any((root / name).exists() for name in _WORTH):
        return None
    for key, path in (("root", config.root), ("start", config.start)):
        if path is not None and Path(path).resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"output {root}: the run there would be moved aside, and {key} ({path}) with it; "
                "name another output"
            )
    absolute = Path(os.path.abspath(root))  # "." has no name of its own
    previous = absolute.with_name(absolute.name + ".previous")
    if previous.exists():
        _require_run(previous)
        shutil.rmtree(previous)
    absolute.rename(previous)
    logger.warning("%s: the earlier run is now in %s", root, previous)
    return previous


def _require_run(folder: Path) -> None:
    try:
        settings = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        settings = None
    if not isinstance(settings, dict) or not settings.keys() >= {"frame0", "compress", "output"}:
        raise ValueError(
            f"output {folder}: holds files, but no run of igs frame0; name another folder or "
            "empty it"
        )
