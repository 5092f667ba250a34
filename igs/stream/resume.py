"""Going on with a run that was cut off: what must be as it was, and what is made again."""

from __future__ import annotations

import logging
from dataclasses import asdict

from igs.config import ConfigError, RunConfig, load_config
from igs.config.difference import first_difference
from igs.stream.engine import MultiViewEngine
from igs.stream.folder import RunFolder

logger = logging.getLogger(__name__)

# Settings that figures do not depend on, but for rounding. The capture and the run may have moved.
MAY_DIFFER = (
    "threads",
    "device",
    "output",
    "data.root",
    "data.prefetch",
    "data.decode_threads",
    "write.videos",
    "write.state",
)


def is_there_to_resume(folder: RunFolder, config: RunConfig) -> bool:
    """Whether the folder holds a run, which then must have the same settings; changes nothing.

    Raises:
        ConfigError: it was made with other settings; names the first one.
    """
    if not folder.config.is_file():
        logger.warning("%s: no run to resume here; starting one", folder.root)
        return False
    difference = first_difference(
        asdict(load_config(RunConfig, folder.config)), asdict(config), MAY_DIFFER
    )
    if difference is not None:
        key, old, new = difference
        raise ConfigError(
            f"{folder.config}: the run was made with {key}={old}, not {new}; resume with the same "
            "settings or start anew"
        )
    return True


def take_up(folder: RunFolder, engine: MultiViewEngine) -> int:
    """Bring engine and folder to the newest saved key frame.

    Everything of later frames is removed: it is made again.

    Returns:
        The first frame to do; 0 where no key frame was saved.

    Raises:
        ValueError: a damaged state, one of other settings, or a record that is missing.
    """
    start = engine.resume(folder.state) + 1 if folder.state.is_file() else 0
    folder.check_records(start)
    folder.forget_from(start)
    return start
