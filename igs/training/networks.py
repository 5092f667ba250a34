"""Networks from training settings."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import torch
from gmflow import FeatureExtractor, GMFlow, GMFlowConfig, load_extractor, load_gmflow

from igs.config.load import ConfigError
from igs.config.training import UNTRAINED, FlowSizes, FlowTrainConfig, NetworkSizes, TrainConfig
from igs.motion import AGMConfig, AGMNet, find_weights, load_agm

T = TypeVar("T", AGMConfig, GMFlowConfig)


def agm_config(sizes: NetworkSizes) -> AGMConfig:
    """The preset with what the settings change about it.

    Raises:
        ConfigError: sizes that do not fit each other.
    """
    preset = AGMConfig.small() if sizes.preset == "small" else AGMConfig()
    flow = flow_config(sizes.flow, preset.flow, "network.flow")
    return _changed(preset, sizes, "network", flow=flow)


def flow_config(sizes: FlowSizes, preset: GMFlowConfig, key: str) -> GMFlowConfig:
    """Sizes of the flow network: a preset's, with what the settings change about it."""
    return _changed(preset, sizes, key)


def make_agm(config: TrainConfig) -> AGMNet:
    """The motion network to train: new ones are drawn from `config.seed`.

    Raises:
        ConfigError: sizes that do not fit each other.
        FileNotFoundError, WeightsError: weights that are not there or do not fit.
    """
    torch.manual_seed(config.seed)
    sizes = agm_config(config.network)
    flow = _flow_features(config.flow_weights, sizes)
    if config.weights:
        network = load_agm(find_weights(config.weights), flow, sizes)
    else:
        network = AGMNet(sizes, flow)
    network.flow.requires_grad_(config.fine_tune_flow)
    return network


def make_flow(config: FlowTrainConfig) -> GMFlow:
    """The flow network to train: new ones are drawn from `config.seed`.

    Raises:
        ConfigError: sizes that do not fit each other, or an image size the network cannot take.
        FileNotFoundError, WeightsError: weights that are not there or do not fit.
    """
    torch.manual_seed(config.seed)
    network = config.network
    preset = GMFlowConfig.small() if network.preset == "small" else GMFlowConfig()
    sizes = flow_config(network.sizes, preset, "network.sizes")
    if config.size % (8 * sizes.windows):
        raise ConfigError(f"size: {config.size} must be a multiple of {8 * sizes.windows}")
    if config.weights:
        return load_gmflow(find_weights(config.weights), sizes)
    return GMFlow(sizes)


def _flow_features(weights: str | None, sizes: AGMConfig) -> FeatureExtractor | None:
    if weights is None:
        return None
    if weights == UNTRAINED:
        return (GMFlow if sizes.triangulate else FeatureExtractor)(sizes.flow)
    load = load_gmflow if sizes.triangulate else load_extractor
    return load(find_weights(weights), sizes.flow)


def _changed(preset: T, sizes: NetworkSizes | FlowSizes, key: str, **parts: GMFlowConfig) -> T:
    names = {f.name for f in fields(preset)} - {"flow"}
    changes = {n: getattr(sizes, n) for n in names if getattr(sizes, n, None) is not None}
    try:
        return replace(preset, **changes, **parts)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error
