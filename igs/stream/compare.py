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

    A config with refinement off gets preset `s` where a mode refines. All modes run in one
    process, so that `peak_memory_mb` of one is at least that of those before it.

    Returns:
        Summary of each mode that ran, and one line for each that did not, with the reason.

    Raises:
        OSError, ValueError: as `StreamSession`; whatever a mode lacks is found before the first
            one starts.
    """
    has_weights = bool(config.motion.weights)
    names = [name for name, (motion, _) in MODES.items() if motion == "none" or has_weights]
    left_out = [
        f"{name}: left out, motion.weights names no trained weights"
        for name in MODES
        if name not in names
    ]
    if has_weights:
        StreamSession(_configured(config, "agm", None))  # opens all that the modes need
    summaries: dict[str, Mapping[str, Any]] = {}
    frame0: RunFolder | None = None
    for name in names:
        mode = _configured(config, name, frame0)
        summaries[name] = StreamSession(mode, progress=progress).run()["summary"]
        frame0 = frame0 or RunFolder(mode.output)
    return summaries, left_out


def _configured(config: RunConfig, name: str, frame0: RunFolder | None) -> RunConfig:
    motion, refines = MODES[name]
    mode = copy.deepcopy(config)
    mode.output = str(Path(config.output) / name)
    mode.motion.mode = motion
    if not refines:
        mode.refine.mode = "off"
    elif mode.refine.mode == "off":
        mode.refine.mode = "s"
    if frame0 is not None:
        colors = frame0.camera_colors
        if config.frame0.mode != "load" and colors.is_file():
            mode.frame0.colors = str(colors.resolve())
        mode.frame0.mode, mode.frame0.ply = "load", str(frame0.frame0.resolve())
    return mode
