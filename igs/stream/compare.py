"""The same capture streamed in several modes, so that a figure says something."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igs.config.schema import RunConfig
from igs.stream.folder import RunFolder
from igs.stream.session import ProgressCallback, StreamSession

logger = logging.getLogger(__name__)

# name -> (motion.mode, whether key frames are refined)
MODES: Mapping[str, tuple[str, bool]] = {
    "hold": ("none", False),
    "none": ("none", True),
    "agm": ("agm", True),
    "agm_refine_off": ("agm", False),
}


def compare_modes(
    config: RunConfig, *, progress: ProgressCallback | None = None
) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Run every mode into `<output>/<mode>`; frame 0 is made once and shared.

    `hold` keeps frame 0 still for the whole stream, `none` adds refinement, `agm` adds motion,
    `agm_refine_off` is motion alone. Modes with AGM-Net need `motion.weights`.

    Returns:
        Summary of each mode that ran, and one line for each that did not, with the reason.

    Raises:
        ConfigError: the config has refinement off, so that two modes would be one.
        OSError, ValueError: as `StreamSession`.
    """
    summaries: dict[str, Mapping[str, Any]] = {}
    left_out: list[str] = []
    frame0: Path | None = None
    for name, (motion, refines) in MODES.items():
        if motion == "agm" and not config.motion.weights:
            left_out.append(f"{name}: left out, motion.weights names no trained weights")
            continue
        mode = _configured(config, name, motion, refines, frame0)
        summaries[name] = StreamSession(mode, progress=progress).run()["summary"]
        frame0 = RunFolder(mode.output).frame0.resolve()
    return summaries, left_out


def _configured(
    config: RunConfig, name: str, motion: str, refines: bool, frame0: Path | None
) -> RunConfig:
    mode = copy.deepcopy(config)
    mode.output = str(Path(config.output) / name)
    mode.motion.mode = motion
    if not refines:
        mode.refine.mode = "off"
    elif mode.refine.mode == "off":
        mode.refine.mode = "s"
    if frame0 is not None:
        mode.frame0.mode, mode.frame0.ply = "load", str(frame0)
    return mode
