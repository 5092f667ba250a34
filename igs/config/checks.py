"""Checks of single values that every part of the config shares; each error names the key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from igs.config.load import ConfigError


def one_of(key: str, value: Any, allowed: Collection[Any]) -> None:
    """Raise `ConfigError`, which names the key, unless the value is one of those allowed."""
    if value not in allowed:
        raise ConfigError(f"{key}: {value!r} must be one of {', '.join(map(str, allowed))}")


def at_least(key: str, value: float | None, least: int) -> None:
    """Raise `ConfigError` for a number below the least, NaN included; None means "not given"."""
    if value is not None and not value >= least:
        raise ConfigError(f"{key}: {value} must be at least {least}")


def share(key: str, value: float) -> None:
    """Raise `ConfigError` unless the number lies in 0..1."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{key}: {value} must lie in 0..1")
