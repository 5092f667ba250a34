"""Saving the engine after a key frame, and going on from there to the same results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from igs.config.difference import first_difference
from igs.config.schema import StreamConfig
from igs.gaussians import Gaussians
from igs.scene.files import atomic_path

FORMAT = "igs-engine-state-1"


@dataclass
class EngineState:
    """All that the next frames depend on, as it stands behind a key frame.

    Attributes:
        index: the key frame.
        gaussians: its Gaussians.
        network_images: what the motion network saw of it, camera name to (S, S, 3) uint8.
        reference: what the change detector compares with, camera name to (H, W, 3) uint8.
    """

    index: int
    gaussians: Gaussians
    network_images: Mapping[str, torch.Tensor] = field(default_factory=dict)
    reference: Mapping[str, torch.Tensor] = field(default_factory=dict)


def save_state(path: str | Path, state: EngineState, config: StreamConfig) -> None:
    """Write a state as one safetensors file: temporary name first, then renamed.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full.
    """
    tensors = {f"gaussians/{k}": v.cpu().contiguous() for k, v in state.gaussians.tensors().items()}
    for group in ("network_images", "reference"):
        for name, image in getattr(state, group).items():
            tensors[f"{group}/{name}"] = image.cpu().contiguous()
    metadata = {
        "format": FORMAT,
        "index": str(state.index),
        "settings": json.dumps(_settings(config)),
    }
    with atomic_path(Path(path)) as temporary:
        try:
            save_file(tensors, str(temporary), metadata)
        except SafetensorError as error:  # wraps the operating system's error as text
            raise OSError(f"cannot write {path}: {error}") from error


def load_state(path: str | Path, config: StreamConfig) -> EngineState:
    """Read a state and check that it was made with the same settings.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, a damaged one, or one made with other settings; names the
            first setting that differs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"engine state {path}: no such file")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"engine state {path}: damaged ({error})") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"engine state {path}: not an engine state of format {FORMAT}")
    _check_settings(path, json.loads(metadata["settings"]), config)
    names = [f.name for f in fields(Gaussians)]
    return EngineState(
        index=int(metadata["index"]),
        gaussians=Gaussians(**{n: tensors[f"gaussians/{n}"].to(config.device) for n in names}),
        network_images=_group(tensors, "network_images", config.device),
        reference=_group(tensors, "reference", config.device),
    )


def _group(
    tensors: Mapping[str, torch.Tensor], group: str, device: torch.device | str
) -> dict[str, torch.Tensor]:
    prefix = f"{group}/"
    return {k[len(prefix) :]: v.to(device) for k, v in tensors.items() if k.startswith(prefix)}


# What results do not depend on, but for rounding.
_FREE = ("threads", "device", "gpu")


def _settings(config: StreamConfig) -> dict[str, object]:
    """The settings of the engine alone, also of a config that has more."""
    whole = asdict(config)
    return {f.name: whole[f.name] for f in fields(StreamConfig) if f.name not in _FREE}


def _check_settings(path: Path, saved: Mapping[str, object], config: StreamConfig) -> None:
    difference = first_difference(saved, _settings(config))
    if difference is not None:
        key, old, new = difference
        raise ValueError(
            f"engine state {path}: made with {key}={old}, the config says {new}; "
            "resume with the same settings or start anew"
        )
