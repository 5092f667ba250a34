"""The record of a preparation: its settings and what it read, so that it can be taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igs.config.difference import first_difference
from igs.config.prepare import PrepareConfig
from igs.prepare.capture import Capture
from igs.scene import SceneError
from igs.scene.files import read_json, write_json

RECORD = "prepare.json"
# Settings that may change when a preparation is gone on with: where things lie, and what is made
# anew every time because it takes little beside the images.
_FREE = tuple(
    f"settings.{key}"
    for key in (
        "input",
        "output",
        "workers",
        "held_out",
        "inputs",
        "interval",
        "cameras.max_error",
        "images.work",
        "points",
        "box",
    )
)


def fingerprint(capture: Capture) -> dict[str, list[Any]]:
    """Camera name to the name and bytes of its first file and the number of its images."""
    return {
        name: [view.path.name, view.path.stat().st_size, len(view.images)]
        for name, view in capture.views.items()
    }


def claim(folder: Path, config: PrepareConfig, capture: Capture, resume: bool) -> None:
    """Note the settings in the scene's folder, once they fit those noted there before.

    Args:
        folder: the scene's folder in the output.
        config: of this run.
        capture: what it reads.
        resume: whether work that is there shall be gone on with.

    Raises:
        SceneError: the folder holds something already and `resume` is off, holds no record, or was
            begun with other settings or pictures; names the setting.
    """
    path = folder / RECORD
    wanted = {"settings": asdict(config), "pictures": fingerprint(capture)}
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if folder.resolve() == capture.folder.resolve():  # frames go in beside the videos
        there = {name for name in there if name == RECORD or name.startswith("colmap_")}
    if there <= {RECORD}:  # a record alone is of a run that ended before it wrote anything
        write_json(path, wanted)
        return
    if not path.is_file():
        raise SceneError(
            f"{folder}: holds something that igs prepare did not write; choose another output"
        )
    if not resume:
        raise SceneError(
            f"{folder}: is (partly) prepared already; --resume goes on with it, or choose another "
            "output or scene"
        )
    noted = read_json(path)
    if not isinstance(noted, Mapping) or "settings" not in noted:
        raise SceneError(f"{path}: damaged; remove {folder} and prepare it anew")
    found = first_difference(noted, wanted, _FREE)
    if found is not None:
        key, before, now = found
        raise SceneError(
            f"{folder}: was begun with {key.removeprefix('settings.')}={before}, now it is {now}; "
            "go on with the same settings, or choose another output or scene"
        )
    write_json(path, {**noted, **wanted})


def add_results(folder: Path, results: Mapping[str, Any], written: str | None) -> None:
    """Put what was found into the record, beside the settings.

    Args:
        folder: the scene's folder.
        results: what was found.
        written: digest of the stream's config as it was last written; see `keep_edited`.
    """
    record = read_json(folder / RECORD)
    added = {"results": dict(results), "stream_config_sha256": written}
    write_json(folder / RECORD, {**record, **added})


def written(folder: Path) -> str | None:
    """Digest of the stream's config as it was last written; None where none is noted."""
    return read_json(folder / RECORD).get("stream_config_sha256")
