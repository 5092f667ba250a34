"""Weights of AGM-Net: our files, and the released one."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from gmflow import (
    FeatureExtractor,
    WeightsError,
    load_extractor,
    load_gmflow,
    load_strictly,
    read_tensors,
    write_tensors,
)
from gmflow.checkpoint import rename
from torch import Tensor

from igs.motion.config import AGMConfig
from igs.motion.names import released_names
from igs.motion.network import AGMNet
from igs.motion.released import read_released_config

log = logging.getLogger(__name__)

CONFIG_KEY = "agm_config"  # metadata entry of our files
FLOW = "flow."  # prefix of the flow features in our files
RELEASED_CONFIG = "experiment_config.yaml"


def load_agm(
    path: str | Path,
    flow: str | Path | FeatureExtractor | None = None,
    config: AGMConfig | None = None,
) -> AGMNet:
    """A motion network with the weights of a file.

    Args:
        path: our safetensors (with its config, and with or without flow features), or the
            released `pytorch_model.bin`, whose `experiment_config.yaml` is looked for beside it
            and one folder up.
        flow: flow features, or a file of them (GMFlow's public checkpoint or ours); needed
            where `path` has none, and used instead where it has.
        config: sizes; None takes those written with the weights, or the released ones.

    Returns:
        The network on the CPU, in evaluation mode. The SHA-256 of each file is logged.

    Raises:
        FileNotFoundError: a file is not there.
        WeightsError: a file cannot be read or does not fit; missing, unexpected and misshapen
            tensors are listed. Also where flow features are needed and not given.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    config = config or _written_config(path, metadata)
    tensors = rename(tensors, {other: ours for ours, other in released_names(config).items()})
    own_flow = any(name.startswith(FLOW) for name in tensors)
    network = AGMNet(config, _flow_features(flow, config, path, own_flow))
    if flow is not None or not own_flow:
        tensors = {name: value for name, value in tensors.items() if not name.startswith(FLOW)}
        tensors |= {FLOW + name: value for name, value in network.flow.state_dict().items()}
    load_strictly(network, tensors, str(path))
    log.info("motion weights %s, sha256 %s", path, sha256(path))
    return network.eval()


def save_agm(
    path: str | Path,
    network: AGMNet,
    include_flow: bool = True,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a network as safetensors, under our names, with its config.

    Args:
        path: ends in `.safetensors`; appears whole or not at all.
        network: what to save.
        include_flow: also the flow features, so that the file is all that `load_agm` needs.
        dtype: store the weights in another precision, e.g. float16.
    """
    state = {
        name: value.to(dtype or value.dtype)
        for name, value in network.state_dict().items()
        if include_flow or not name.startswith(FLOW)
    }
    write_tensors(path, state, {CONFIG_KEY: network.config.to_json()})


def to_released(tensors: dict[str, Tensor], config: AGMConfig) -> dict[str, Tensor]:
    """Our names to the released ones, without the flow features."""
    table = released_names(config)
    return {table[name]: value for name, value in tensors.items() if not name.startswith(FLOW)}


def sha256(path: str | Path) -> str:
    """Checksum of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _written_config(path: Path, metadata: dict[str, str]) -> AGMConfig:
    if CONFIG_KEY in metadata:
        try:
            return AGMConfig.from_json(metadata[CONFIG_KEY])
        except ValueError as error:
            raise WeightsError(f"{path}: unreadable network config ({error})") from error
    for folder in (path.parent, path.parent.parent):
        if (folder / RELEASED_CONFIG).is_file():
            return read_released_config(folder / RELEASED_CONFIG)
    log.info("no %s near %s: taking the released network's settings", RELEASED_CONFIG, path)
    return AGMConfig.released()


def _flow_features(
    flow: str | Path | FeatureExtractor | None, config: AGMConfig, path: Path, own: bool
) -> FeatureExtractor | None:
    if isinstance(flow, FeatureExtractor):
        return flow
    if flow is not None:
        load = load_gmflow if config.triangulate else load_extractor
        extractor = load(flow, config.flow)
        log.info("flow weights %s, sha256 %s", flow, sha256(flow))
        return extractor
    if not own:
        raise WeightsError(
            f"{path} holds no flow features; name GMFlow's weights as well "
            "(gmflow-scale1-mixdata-train320x576-4c3a6e9a.pth)"
        )
    return None
