"""Reading and writing tensor files, and loading them without leaving anything out in silence."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

LISTED = 8  # names spelled out per kind of misfit in an error


class WeightsError(ValueError):
    """A weights file that cannot be read or does not fit the network."""


def read_tensors(path: str | Path, entry: str | None = None) -> tuple[dict[str, Tensor], dict]:
    """Read a safetensors file or a pickled state dict, on the CPU.

    Args:
        path: `.safetensors`, or any torch pickle (`.pth`, `.pt`, `.bin`), which is read with
            `weights_only`, so that it cannot run code.
        entry: where a pickle may keep its state dict one level down, the key it is under.

    Returns:
        Tensors by name, and the string metadata of a safetensors file (else empty).

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is no such file, is damaged, or holds other things than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_pickle(path, entry), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error})") from error


def _read_pickle(path: Path, entry: str | None) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise WeightsError(
            f"{path}: not a plain state dict that torch can read with weights_only "
            f"({reason[0] if reason else type(error).__name__})"
        ) from error
    if (
        entry is not None
        and isinstance(content, Mapping)
        and isinstance(content.get(entry), Mapping)
    ):
        content = content[entry]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds {type(content).__name__}, not tensors by name")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(f"{path}: entries that are no tensors: {_some(others)}")
    return dict(content)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        ValueError: the name does not end in `.safetensors`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are saved as .safetensors")
    partial = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, partial, metadata=dict(metadata or {}))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def rename(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Exchange names; those that the table does not have stay as they are."""
    return {names.get(name, name): tensor for name, tensor in tensors.items()}


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a module if, and only if, names and shapes agree completely.

    Args:
        module: receives the values; dtype and device stay its own.
        tensors: values by the module's names.
        source: where they come from, for the error.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape or kind; all are listed
            by kind and nothing is loaded.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    unexpected = [name for name in tensors if name not in wanted]
    misfits = [
        f"{name} is {_kind(tensors[name])}, must be {_kind(value)}"
        for name, value in wanted.items()
        if name in tensors and _misfit(tensors[name], value)
    ]
    problems = {"missing": missing, "unexpected": unexpected, "misshapen": misfits}
    found = [f"{len(names)} {kind}: {_some(names)}" for kind, names in problems.items() if names]
    if found:
        raise WeightsError(f"{source} does not fit the network; " + "; ".join(found))
    module.load_state_dict(dict(tensors), strict=True)


def _misfit(got: Tensor, wanted: Tensor) -> bool:
    return got.shape != wanted.shape or got.is_floating_point() != wanted.is_floating_point()


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _some(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
