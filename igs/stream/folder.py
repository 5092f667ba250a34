"""The output folder of a run: every name in it, and what may be overwritten.

Files appear whole (temporary name, then renamed), frame by frame, so that a run that is cut off
leaves finished frames only. Source of the names: spec `streaming.md`, section 6.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from igs.motion import Motion
from igs.scene.files import atomic_path, write_json

_PART = ".part"  # what `atomic_path` writes to


class RunFolder:
    """Paths of one run.

    Args:
        root: the output folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.config = self.root / "experiment_config.yaml"
        self.results = self.root / "results.json"
        self.frame0 = self.root / "frame0.ply"
        self.frame0_report = self.root / "frame0.json"
        self.camera_colors = self.root / "camera_colors.json"
        self.state = self.root / "state.safetensors"
        self.records = self.root / "records"
        self.gaussians = self.root / "gaussians"
        self.eval_pred = self.root / "eval_pred"
        self.eval_gt = self.root / "eval_gt"
        self.free_views = self.root / "free_views"
        self.free_video = self.root / "free_view.mp4"
        self.comparison = self.root / "comparison.mp4"

    def start(self) -> Path | None:
        """Make room for a new run; an earlier one is moved aside.

        One earlier run is kept, under the same name with `.previous`. A run that finished no frame
        is not worth that: its folder is used again.

        Returns:
            Where the earlier run went, None if there was none.

        Raises:
            ValueError: the folder, or the one in the way of the earlier run, holds something else
                than a run; nothing is moved or removed then.
            OSError: it cannot be made.
        """
        previous = None
        if self.root.exists() and any(self.root.iterdir()):
            _require_run(self.root)
            if any(self.records.glob("*.json")):
                previous = self._move_aside()
            else:
                self._clear()
        self.root.mkdir(parents=True, exist_ok=True)
        return previous

    def _move_aside(self) -> Path:
        root = Path(os.path.abspath(self.root))  # "." has no name of its own
        previous = root.with_name(root.name + ".previous")
        if previous.exists():
            _require_run(previous)
            shutil.rmtree(previous)
        root.rename(previous)
        return previous

    def _clear(self) -> None:
        self.forget_from(0)
        first = (self.frame0, self.frame0_report, self.camera_colors)
        for path in (*first, self.state, self.results):
            path.unlink(missing_ok=True)

    def forget_from(self, index: int) -> None:
        """Remove what there is of frame `index` and later ones, and half-written files."""
        folders = (self.records, self.gaussians, self.eval_pred, self.eval_gt, self.free_views)
        for path in (path for folder in folders for path in folder.glob("*")):
            number = re.search(r"\d+", path.name)
            if path.suffix == _PART or (number and int(number.group()) >= index):
                path.unlink()
        for path in self.root.glob(f".*{_PART}"):
            path.unlink()

    def check_records(self, count: int) -> None:
        """Check that the records of frames 0 .. count - 1 are there.

        Raises:
            ValueError: one is missing; names the file.
        """
        for index in range(count):
            if not self.record(index).is_file():
                raise ValueError(
                    f"{self.record(index)}: missing, so the run cannot be resumed; start anew"
                )

    def image(self, folder: Path, index: int) -> Path:
        """Image of frame `index`, named as the original does."""
        return folder / f"train_pred_images_{index}.png"

    def key_ply(self, index: int) -> Path:
        """Whole Gaussians of a frame."""
        return self.gaussians / f"{index:06d}.ply"

    def motion_file(self, index: int) -> Path:
        """Motion of a candidate since its key frame."""
        return self.gaussians / f"{index:06d}.motion.safetensors"

    def record(self, index: int) -> Path:
        """What is known of one frame."""
        return self.records / f"{index:06d}.json"

    def read_records(self) -> Iterator[dict[str, Any]]:
        """All records in the order of their frames.

        Raises:
            ValueError: a record that is not JSON; names the file.
        """
        for path in sorted(self.records.glob("*.json")):
            try:
                yield json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path}: not a frame record ({error})") from error


def _require_run(folder: Path) -> None:
    if not RunFolder(folder).config.is_file():
        raise ValueError(
            f"output {folder}: holds files, but no run of igs; name another folder or empty it"
        )


def write_results(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON, indented by 4, whole or not at all.

    Numbers that are not finite, for which JSON has no word, become null.

    Raises:
        OSError: it cannot be written; names the file.
    """
    write_json(path, _finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_motion(path: Path, motion: Motion, key_index: int) -> int:
    """Write a candidate's motion (index, translation, rotation); returns the bytes on disk.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full.
    """
    tensors = {
        "index": motion.index.to(torch.int32),
        "translation": motion.translation,
        "rotation": motion.rotation,
    }
    with atomic_path(path) as temporary:
        try:
            save_file(
                {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
                str(temporary),
                {"key_index": str(key_index)},
            )
        except SafetensorError as error:  # wraps the operating system's error as text
            raise OSError(f"cannot write {path}: {error}") from error
    return path.stat().st_size
