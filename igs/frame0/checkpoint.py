"""A long optimisation taken up where it was cut off, to the same bits.

One safetensors file (plain arrays, no code): parameters and Adam moments, statistics, filter,
random state, the draw's remaining views, camera colours and the best validated state. It belongs
to one config, seed and set of cameras, which it names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from igs.frame0.train import Frame0Trainer
from igs.gaussians import DensityStatistics, Gaussians
from igs.scene.files import atomic_path

FORMAT = "igs-frame0-state-1"
_STATISTICS = ("grad", "grad_abs", "count", "max_radii")


def save_checkpoint(path: str | Path, trainer: Frame0Trainer) -> None:
    """Write a trainer's whole state: temporary name first, then renamed.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full.
    """
    tensors = {f"optimizer/{k}": v for k, v in trainer.optimizer.state_tensors().items()}
    for name in _STATISTICS:
        tensors[f"statistics/{name}"] = getattr(trainer.statistics, name)
    if trainer.filter_3d is not None:
        tensors["filter_3d"] = trainer.filter_3d
    if trainer.colors is not None:
        tensors |= {f"colors/{k}": v for k, v in trainer.colors.state_tensors().items()}
    tensors["generator"] = trainer.generator.get_state()
    meta: dict[str, Any] = {
        "iteration": trainer.iteration,
        "left": trainer.draw.left,
        "start_count": trainer.start_count,
        "identity": _identity(trainer),
    }
    if trainer.validation is not None:
        meta["validation"] = [
            trainer.validation.best_iteration,
            trainer.validation.best_psnr,
            trainer.validation.history,
        ]
        if trainer.validation.best is not None:
            best = trainer.validation.best.tensors()
            tensors |= {f"best/{k}": v for k, v in best.items()}
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_path(Path(path)) as temporary:
        try:
            save_file(plain, str(temporary), {"format": FORMAT, "state": json.dumps(meta)})
        except SafetensorError as error:  # wraps the operating system's error as text
            raise OSError(f"cannot write {path}: {error}") from error


def load_checkpoint(path: str | Path, trainer: Frame0Trainer) -> None:
    """Put a fresh trainer of the same config, seed and cameras where the saved one stood.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one of other settings; says what differs.
    """
    tensors, meta = _read(Path(path))
    differs = [k for k, v in _identity(trainer).items() if meta["identity"].get(k) != v]
    if differs:
        raise ValueError(
            f"{path}: saved with other settings ({', '.join(differs)}); start anew, or give the "
            "settings it was started with"
        )
    device = trainer.start.device
    trainer.optimizer.load_state_tensors(_part(tensors, "optimizer"))
    saved = _part(tensors, "statistics")
    trainer.statistics = DensityStatistics(len(trainer.optimizer), device)
    for name in _STATISTICS:
        setattr(trainer.statistics, name, saved[name].to(device))
    trainer.filter_3d = tensors["filter_3d"].to(device) if "filter_3d" in tensors else None
    if trainer.colors is not None:
        trainer.colors.load_state_tensors(_part(tensors, "colors"))
    trainer.generator.set_state(tensors["generator"])
    trainer.draw.left = meta["left"]
    trainer.iteration, trainer.start_count = meta["iteration"], meta["start_count"]
    if trainer.validation is not None:
        when, psnr, history = meta["validation"]
        trainer.validation.best_iteration, trainer.validation.best_psnr = when, psnr
        trainer.validation.history = [(int(i), float(v)) for i, v in history]
        best = _part(tensors, "best")
        trainer.validation.best = Gaussians(**best).to(device) if best else None


def checkpoint_seed(path: str | Path) -> int:
    """The seed of the run that a checkpoint belongs to.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file.
    """
    return int(_read(Path(path))[1]["identity"]["seed"])


def _identity(trainer: Frame0Trainer) -> dict[str, Any]:
    """What must be the same for the run to go on; through JSON, so that tuples are lists."""
    identity = {
        "seed": trainer.seed,
        "cameras": [camera.name for camera in trainer.cameras],
        "sizes": [[camera.width, camera.height] for camera in trainer.cameras],
        "background": trainer.background.tolist(),
        **{f"frame0.{key}": value for key, value in asdict(trainer.config).items()},
    }
    return json.loads(json.dumps(identity))


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint here")
    try:
        with safe_open(str(path), framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("format") != FORMAT:
                raise ValueError(f"{path}: is no checkpoint of frame 0 ({FORMAT})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(meta["state"])
    except SafetensorError as error:
        raise ValueError(f"{path}: is damaged ({error})") from error


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
