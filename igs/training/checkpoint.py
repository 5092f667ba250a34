"""Folders to go on from: weights that stand alone, and beside them all else a run depends on.

``<epoch>/`` holds the end of an epoch, counted from 0, ``step_<n>/`` a moment inside one, which is
removed when a later checkpoint is whole. In each:

- ``model.safetensors``: the network's weights with its sizes, for `load_agm` or `load_gmflow`;
- ``state.pt``: optimiser, scheduler, loss scaler and random states, and the settings of the run;
  plain tensors and values, which torch reads without running code.

A folder is written under another name and renamed: it is whole or not there.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = "igs-training-state-1"
MODEL = "model.safetensors"
STATE = "state.pt"
MOMENT = "step_"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        folder: where it lies.
        step: optimiser steps taken.
    """

    folder: Path
    step: int

    @property
    def model(self) -> Path:
        """The weights."""
        return self.folder / MODEL

    def state(self) -> dict[str, Any]:
        """What `write_checkpoint` was given as `state`.

        Raises:
            ValueError: the file is damaged.
        """
        return _read(self.folder / STATE)


def write_checkpoint(
    output: Path,
    name: str,
    step: int,
    save_model: Callable[[Path], None],
    state: Mapping[str, Any],
) -> Checkpoint:
    """Write a checkpoint whole or not at all, then remove the moments it outdates.

    Args:
        output: folder of the run.
        name: number of an epoch, or a name from `moment_name`.
        step: optimiser steps taken.
        save_model: writes the weights to a path.
        state: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    partial = output / f".{name}.part"
    for left_over in output.glob(".*.part"):  # of a run that was killed while it wrote
        shutil.rmtree(left_over, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_model(partial / MODEL)
        torch.save({"format": FORMAT, "step": step, **state}, partial / STATE)
        folder = output / name
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for other in output.glob(f"{MOMENT}*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)
    return Checkpoint(folder, step)


def moment_name(step: int) -> str:
    """Folder of a checkpoint inside an epoch."""
    return f"{MOMENT}{step:08d}"


def latest_checkpoint(output: Path) -> Checkpoint | None:
    """The one with the most steps, or None where there is none.

    Raises:
        ValueError: a state file that is damaged.
    """
    found = [
        Checkpoint(folder, int(_read(folder / STATE)["step"]))
        for folder in _candidates(output)
        if (folder / STATE).is_file()
    ]
    return max(found, key=lambda checkpoint: checkpoint.step, default=None)


def drop_old_epochs(output: Path, keep: int) -> None:
    """Remove all epoch folders but the `keep` latest."""
    epochs = sorted((f for f in output.glob("*") if f.name.isdigit()), key=lambda f: int(f.name))
    for folder in epochs[: max(0, len(epochs) - keep)]:
        shutil.rmtree(folder)


def random_states() -> dict[str, Any]:
    """Every global random state of this process, as plain values."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.array(keys, np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "devices": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Undo what happened to the global random states since `random_states`."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states["devices"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(states["devices"])


def _candidates(output: Path) -> list[Path]:
    """Moments and the last epoch: earlier epochs have fewer steps."""
    epochs = [f for f in output.glob("*") if f.name.isdigit() and (f / STATE).is_file()]
    last = sorted(epochs, key=lambda folder: int(folder.name))[-1:]
    return [*last, *output.glob(f"{MOMENT}*")]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path}: damaged ({type(error).__name__}); remove its folder to go on from an "
            "earlier checkpoint"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: not a training state of format {FORMAT}")
    return content
