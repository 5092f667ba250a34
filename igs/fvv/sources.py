"""What can be encoded: the output folder of a run, or Gaussians as PLY files in a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from igs.fvv.encoder import SourceFrame
from igs.gaussians import Gaussians, read_ply
from igs.motion import Motion, warp

if TYPE_CHECKING:
    from igs.stream.folder import RunFolder

_DEFAULT_FPS = 30.0


@dataclass(frozen=True)
class FrameSequence:
    """Frames that can be gone through more than once.

    Attributes:
        name: for messages.
        num_frames: how many.
        records: of a run, one per frame; empty for PLY files.
        plys: PLY files, one per frame; empty for a run.
        folder: of a run.
        fps: of PLY files, which know no time.
        background: RGB that a run was optimised over.
    """

    name: str
    num_frames: int
    records: tuple[dict[str, Any], ...] = ()
    plys: tuple[Path, ...] = ()
    folder: RunFolder | None = None
    fps: float = _DEFAULT_FPS
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def psnr(self) -> float | None:
        """Mean over frames and held-out views of a run, None if unknown."""
        known = [v for r in self.records for v in (r.get("psnr") or {}).values() if v is not None]
        return sum(known) / len(known) if known else None

    def frames(self, stop: int | None = None) -> Iterator[SourceFrame]:
        """The frames in order, at most `stop` of them.

        Raises:
            ValueError: a damaged file, or one that does not fit the others.
            FileNotFoundError: a file of the run is missing.
        """
        count = self.num_frames if stop is None else min(stop, self.num_frames)
        if self.folder is None:
            for i in range(count):
                yield SourceFrame(i, i / self.fps, read_ply(self.plys[i]))
            return
        key: Gaussians | None = None
        for record in self.records[:count]:
            frame = _run_frame(self.folder, record, key)
            key = frame.gaussians if frame.is_key else key
            yield frame


def find_frames(paths: Sequence[str | Path], fps: float = _DEFAULT_FPS) -> FrameSequence:
    """Frames of a run's folder, of a folder of PLY files, or of PLY files.

    Files of a folder are taken in the order of the numbers in their names.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a folder without frames; says what would be right.
    """
    if not fps > 0:
        raise ValueError(f"fps {fps}: must be above 0")
    found = [Path(path) for path in paths]
    missing = [path for path in found if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: no such file or folder")
    if len(found) == 1 and found[0].is_dir():
        # Who only reads containers has no need of the engine, which this brings with it.
        from igs.stream.folder import RunFolder

        folder = RunFolder(found[0])
        records = tuple(folder.read_records())
        if records:
            return _run(folder, records)
        found = sorted(found[0].glob("*.ply"), key=_in_order)
        if not found:
            raise ValueError(f"{paths[0]}: neither a run of igs nor a folder of .ply files")
    if any(path.is_dir() for path in found):
        raise ValueError("give one run, one folder of .ply files, or .ply files")
    return FrameSequence(str(paths[0]), len(found), plys=tuple(found), fps=fps)


def _run(folder: RunFolder, records: tuple[dict[str, Any], ...]) -> FrameSequence:
    try:
        for number, record in enumerate(records):
            if record["index"] != number:
                raise ValueError(f"{folder.record(number)}: missing; the run has a gap there")
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder.records}: not the records of a run ({error})") from error
    if not folder.key_ply(0).is_file():
        raise ValueError(f"{folder.key_ply(0)}: missing; stream with write.gaussians=true")
    background = _background(folder)
    return FrameSequence(
        str(folder.root), len(records), records=records, folder=folder, background=background
    )


def _config(folder: RunFolder) -> DictConfig:
    config = OmegaConf.load(folder.config)
    if not isinstance(config, DictConfig):
        raise ValueError("it holds no settings")
    return config


def _background(folder: RunFolder) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(v) for v in _config(folder)["background"])
    except (OSError, YAMLError, OmegaConfBaseException, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder.config}: names no background colour ({error})") from error
    return red, green, blue


def _run_frame(folder: RunFolder, record: dict[str, Any], key: Gaussians | None) -> SourceFrame:
    index, seconds, is_key = record["index"], float(record["time"]), bool(record["is_key"])
    if is_key or key is None:
        return SourceFrame(index, seconds, read_ply(folder.key_ply(index)))
    path = folder.motion_file(index)
    # A frame held still has no file: it looks like its key frame.
    gaussians = warp(key, _read_motion(path)) if path.is_file() else key
    return SourceFrame(index, seconds, gaussians, is_key=False, same_rows=True)


def _read_motion(path: Path) -> Motion:
    try:
        with safe_open(str(path), framework="pt") as file:
            names = ("index", "translation", "rotation")
            index, translation, rotation = (file.get_tensor(name) for name in names)
        return Motion(index.long(), translation, rotation)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: not a motion of igs ({error})") from error


def _in_order(path: Path) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", path.name)], path.name
