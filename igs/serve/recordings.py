"""The folder of recordings: names that can only mean files in it, and what is known of each."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

from igs.fvv import FvvError, FvvReader
from igs.scene.files import read_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.fvv")
_REMEMBERED = 64


class Recordings:
    """`.fvv` files of one folder; it need not exist yet.

    Args:
        folder: the folder; files in folders below are not served.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._known: OrderedDict[tuple, dict[str, Any]] = OrderedDict()

    def path(self, name: str) -> Path:
        """The file of a name.

        Raises:
            FileNotFoundError: no such recording, or a name that could lead elsewhere.
        """
        path = self.folder / name
        # A link may point out of the folder; what it points at is not ours to give.
        ours = _NAME.fullmatch(name) and path.resolve().parent == self.folder.resolve()
        if ours and path.is_file():
            return path
        raise FileNotFoundError(f"no recording is called {name!r}")

    def listed(self) -> list[dict[str, Any]]:
        """Name, bytes and time of change of every recording, newest first."""
        if not self.folder.is_dir():
            return []
        found = []
        for entry in self.folder.iterdir():
            try:
                stat = self.path(entry.name).stat()
            except FileNotFoundError:
                continue
            found.append(
                {"name": entry.name, "bytes": stat.st_size, "modified": round(stat.st_mtime, 3)}
            )
        return sorted(found, key=lambda item: (-item["modified"], item["name"]))

    def described(self, name: str) -> dict[str, Any]:
        """What is in a recording; also of one that still grows or was cut off.

        Raises:
            FileNotFoundError: no such recording.
            FvvError: it cannot be opened.
        """
        path = self.path(name)
        stat = path.stat()
        key = (name, stat.st_size, stat.st_mtime_ns)
        if key not in self._known:
            self._known[key] = _describe(path)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return {"name": name, "bytes": stat.st_size, **self._known[key]}

    def report(self, name: str) -> dict[str, Any] | None:
        """The counters of the live session that made it; None where there are none."""
        path = self.path(name).with_suffix(".json")
        return read_json(path) if path.is_file() else None

    def delete(self, name: str) -> None:
        """Remove a recording and its report.

        Raises:
            FileNotFoundError: no such recording.
            OSError: it cannot be removed.
        """
        path = self.path(name)
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)


def _describe(path: Path) -> dict[str, Any]:
    with FvvReader(path) as reader:
        header = reader.header
        entries = list(reader.entries)
        seconds = 0.0
        if entries:
            numerator, denominator = header.time_base
            seconds = _ticks(reader, entries[-1]) * numerator / denominator
        return {
            "frames": len(entries),
            "first": entries[0].frame if entries else None,
            "last": entries[-1].frame if entries else None,
            "seconds": seconds,
            "layers": len(header.layers),
            "finished": reader.indexed,
            "damage": [str(damage) for damage in reader.damage],
            "cameras": [camera.name for camera in header.cameras],
            "bounds": [list(corner) for corner in header.bounds],
        }


def _ticks(reader: FvvReader, entry: Any) -> int:
    try:
        return reader.chunks(entry, 1)[0].header.ticks
    except FvvError:  # damaged; the rest of the description still stands
        return 0
