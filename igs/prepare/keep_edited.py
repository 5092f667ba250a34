"""The stream's config, written without losing what a person has changed in it."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from igs.prepare.stream_config import PreparedScene, write_stream_config
from igs.scene.files import write_text

logger = logging.getLogger(__name__)


def write_unless_edited(path: Path, scene: PreparedScene, noted: str | None) -> str | None:
    """Write the config; beside it, as ``<path>.new``, where somebody has edited it.

    Args:
        path: the config.
        scene: what it depends on.
        noted: digest of what was last written there; None where nothing is known of that, so that
            a file which is there counts as edited unless it is what would be written.

    Returns:
        The digest to note: of what is there now, or, where an edited file was kept, `noted`.

    Raises:
        ConfigError: settings that do not fit.
    """
    new = path.with_name(f"{path.name}.new")
    if not path.is_file() or digest(path) == noted:
        write_stream_config(path, scene)
        new.unlink(missing_ok=True)
        return digest(path)
    write_stream_config(new, scene)
    text = new.read_text(encoding="utf-8").replace(str(new), str(path))  # in its first lines
    if text == path.read_text(encoding="utf-8"):
        new.unlink()
        return digest(path)
    write_text(new, text)
    logger.warning(
        "%s: was edited and stays as it is; what would stand there now is in %s", path, new
    )
    return noted


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
