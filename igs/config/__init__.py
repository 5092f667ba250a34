"""Typed settings: schema, YAML and command-line words, checks."""

from igs.config.load import ConfigError, load_config, to_yaml
from igs.config.schema import RunConfig, StreamConfig
from igs.config.training import FlowTrainConfig, TrainConfig
from igs.config.validate import check_run, check_stream
from igs.config.validate_training import check_flow_train, check_train

__all__ = [
    "ConfigError",
    "FlowTrainConfig",
    "RunConfig",
    "StreamConfig",
    "TrainConfig",
    "check_flow_train",
    "check_run",
    "check_stream",
    "check_train",
    "load_config",
    "to_yaml",
]
