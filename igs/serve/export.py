"""A folder that plays from any web server: the player, one recording, and what it is called."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from igs.fvv import FvvError, FvvReader, FvvWriter
from igs.scene.files import write_json

logger = logging.getLogger(__name__)

PLAYER = Path(__file__).resolve().parent / "player"
MANIFEST = "manifest.json"
_OURS = (MANIFEST, "index.html", "worker.js")  # what a folder must hold to be replaced


@dataclass(frozen=True)
class WebExport:
    """What was written.

    Attributes:
        folder: the folder.
        num_files: in it and below.
        num_bytes: of them.
        num_frames: of the recording.
    """

    folder: Path
    num_files: int
    num_bytes: int
    num_frames: int


def export_web(
    recording: str | Path,
    folder: str | Path,
    *,
    title: str | None = None,
    videos: Mapping[str, str | Path] | None = None,
    replace: bool = False,
    player: Path = PLAYER,
) -> WebExport:
    """Write a folder that any web server of files can serve.

    A recording without an index, unfinished or damaged, is written anew with one, so that it plays
    at once. The folder is whole or not there.

    Args:
        recording: a `.fvv` file.
        folder: to make; may exist if it is empty.
        title: shown above the video; the name of the recording without.
        videos: by name of a camera of the recording, the video that it took; second 0 is frame 0.
        replace: replace an earlier export in `folder`.
        player: the built player.

    Raises:
        FileNotFoundError: no such recording or video, or a package without the player.
        FileExistsError: `folder` holds something.
        FvvError: not a recording, or one without frames.
        ValueError: a video of a camera that the recording does not have.
    """
    source, target, taken = Path(recording), Path(folder), dict(videos or {})
    if not (player / "index.html").is_file():
        raise FileNotFoundError(f"{player}: the player is not built; run `npm ci && npm run build`")
    _check_target(target, replace)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copytree(player, temporary)
        with FvvReader(source) as reader:
            _check_videos(reader, taken)
            count = _copy_recording(reader, temporary / source.name)
        manifest = {"title": title or source.stem, "recording": quote(source.name)}
        more = {"videos": _copy_videos(taken, temporary)} if taken else {}
        write_json(temporary / MANIFEST, {**manifest, **more}, indent=2)
        _put_in_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    files = [path for path in target.rglob("*") if path.is_file()]
    return WebExport(target, len(files), sum(path.stat().st_size for path in files), count)


def _check_target(target: Path, replace: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{target}: is a file; name a folder")
    if not any(target.iterdir()):
        return
    if not all((target / name).is_file() for name in _OURS):
        raise FileExistsError(f"{target}: is not empty, and no export; name a new folder")
    if not replace:
        raise FileExistsError(f"{target}: holds an export; --force replaces it")


def _check_videos(reader: FvvReader, videos: Mapping[str, str | Path]) -> None:
    cameras = [camera.name for camera in reader.header.cameras]
    for name, path in videos.items():
        if name not in cameras:
            known = ", ".join(cameras) or "none"
            raise ValueError(f"{reader.path}: has no camera {name!r}; its cameras: {known}")
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such video")


def _copy_recording(reader: FvvReader, path: Path) -> int:
    """Copy it, or write it anew where that is better; returns the number of frames."""
    if not reader.entries:
        raise FvvError(f"{reader.path}: holds no frames (yet)")
    if reader.indexed:
        shutil.copyfile(reader.path, path)
        return len(reader.entries)
    count = 0
    with FvvWriter(path, reader.header) as writer:
        for entry in reader.entries:
            try:
                writer.write(reader.chunks(entry))
                count += 1
            except FvvError as error:
                logger.warning("%s: left out: %s", reader.path, error)
    if count == 0:
        raise FvvError(f"{reader.path}: none of its {len(reader.entries)} frames can be read")
    logger.info("%s: has no index; written anew with %d frames", reader.path, count)
    return count


def _copy_videos(videos: Mapping[str, str | Path], folder: Path) -> dict[str, str]:
    """Copy them; returns their addresses relative to the folder, by camera."""
    (folder / "videos").mkdir()
    addresses = {}
    for number, (name, path) in enumerate(videos.items()):
        # Numbered: a camera's name need not be one that a file can have.
        file = f"videos/{number:02d}{Path(path).suffix.lower()}"
        shutil.copyfile(path, folder / file)
        addresses[name] = quote(file)
    return addresses


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename; an earlier export is moved away first and comes back if that fails."""
    if not target.exists():
        os.replace(temporary, target)
        return
    before = target.with_name(f".{target.name}.{os.getpid()}.before")
    os.replace(target, before)
    try:
        os.replace(temporary, target)
    except OSError:
        with suppress(OSError):
            os.replace(before, target)
        raise
    shutil.rmtree(before, ignore_errors=True)
