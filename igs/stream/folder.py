"""The output folder of a run: every name in it, and what may be overwritten.

Files appear whole (temporary name, then renamed), frame by frame, so that a run that is cut off
leaves finished frames only. Source of the names: spec `streaming.md`, section 6.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from igs.motion import Motion
from igs.scene.files import atomic_path, write_json


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
        self.state = self.root / "state.safetensors"
        self.records = self.root / "records"
        self.gaussians = self.root / "gaussians"
        self.eval_pred = self.root / "eval_pred"
        self.eval_gt = self.root / "eval_gt"
        self.free_views = self.root / "free_views"
        self.free_video = self.root / "free_view.mp4"
        self.comparison = self.root / "comparison.mp4"

    def start(self) -> Path | None:
        """Make room for a new run; an earlier run's folder is moved aside, never deleted into.

        One earlier run is kept, under the same name with `.previous`.

        Returns:
            Where the earlier run went, None if there was none.
        """
        previous = None
        if self.root.exists() and any(self.root.iterdir()):
            previous = self.root.with_name(self.root.name + ".previous")
            if previous.exists():
                shutil.rmtree(previous)
            self.root.rename(previous)
        self.root.mkdir(parents=True, exist_ok=True)
        return previous

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
