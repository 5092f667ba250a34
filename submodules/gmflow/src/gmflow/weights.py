"""Weights of the flow network: the public checkpoint's form, and our own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gmflow.checkpoint import (
    WeightsError,
    load_strictly,
    read_tensors,
    rename,
    write_tensors,
)
from gmflow.config import GMFlowConfig
from gmflow.names import MATCHING, public_names
from gmflow.network import FeatureExtractor, GMFlow

Network = TypeVar("Network", bound=FeatureExtractor)

CONFIG_KEY = "gmflow_config"  # metadata entry of our files
PUBLIC_ENTRY = "model"  # where the public pickles keep the state dict


def load_gmflow(path: str | Path, config: GMFlowConfig | None = None) -> GMFlow:
    """A flow network with the weights of a file.

    Args:
        path: our safetensors, or the public checkpoint (`.pth` or converted to safetensors).
        config: sizes; None takes those written in the file, or the public checkpoint's.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it cannot be read or does not fit; missing, unexpected and misshapen
            tensors are listed.
    """
    return _load(GMFlow, path, config)


def load_extractor(path: str | Path, config: GMFlowConfig | None = None) -> FeatureExtractor:
    """The feature extractor alone, from the same files as `load_gmflow`.

    The eight tensors of propagation and upsampler are left aside where the file has them.
    """
    return _load(FeatureExtractor, path, config)


def save_weights(
    path: str | Path, network: FeatureExtractor, dtype: torch.dtype | None = None
) -> None:
    """Write a network (or extractor) as safetensors, under our names, with its config.

    Args:
        path: ends in `.safetensors`; appears whole or not at all.
        network: what to save.
        dtype: store floats in another precision, e.g. float16.
    """
    state = {name: value.to(dtype or value.dtype) for name, value in network.state_dict().items()}
    write_tensors(path, state, {CONFIG_KEY: json.dumps(asdict(network.config))})


def from_public(tensors: dict[str, Tensor], config: GMFlowConfig) -> dict[str, Tensor]:
    """Public names to ours; names that the table does not have are kept, for the error."""
    return rename(tensors, {public: ours for ours, public in public_names(config).items()})


def to_public(tensors: dict[str, Tensor], config: GMFlowConfig) -> dict[str, Tensor]:
    """Our names to those of the public checkpoint."""
    return rename(tensors, public_names(config))


def config_from_json(text: str, source: str) -> GMFlowConfig:
    """Read back the config that `save_weights` wrote.

    Raises:
        WeightsError: it is not such a text, or names unknown settings.
    """
    try:
        return GMFlowConfig(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source}: unreadable network config ({error})") from error


def _load(kind: type[Network], path: str | Path, config: GMFlowConfig | None) -> Network:
    tensors, metadata = read_tensors(path, PUBLIC_ENTRY)
    if config is None:
        written = metadata.get(CONFIG_KEY)
        config = config_from_json(written, str(path)) if written else GMFlowConfig()
    tensors = from_public(tensors, config)
    if not issubclass(kind, GMFlow):
        tensors = {name: value for name, value in tensors.items() if name not in MATCHING}
    network = kind(config)
    load_strictly(network, tensors, str(path))
    return network.eval()
