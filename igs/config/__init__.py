"""Typed settings: schema, YAML and command-line words, checks."""

from igs.config.load import ConfigError, load_config, to_yaml
from igs.config.schema import RunConfig, StreamConfig
from igs.config.validate import check_run, check_stream

__all__ = [
    "ConfigError",
    "RunConfig",
    "StreamConfig",
    "check_run",
    "check_stream",
    "load_config",
    "to_yaml",
]
