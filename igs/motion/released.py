"""Reading the `experiment_config.yaml` that lies beside the released weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from igs.motion.config import AGMConfig

# Switches of the original that change what is computed, with the only value that the released
# network has. All other keys of its network part do nothing (spec `agm_net.md`, section 15).
FIXED = {
    "local_ray": False,
    "up_sample": True,
    "use_gs_emb": False,
    "grid_type": "irgrid",
    "proj_type": "perspective_projection",
    "interpolate_first": True,
    "lbs": False,
}
NEIGHBOURS = "neighbor_size"
HEADS = "feature_channels"
HEAD_ORDER = [("xyz", 3), ("rotation", 4)]  # this order numbers the output heads


def read_released_config(path: str | Path) -> AGMConfig:
    """The network that an original configuration describes.

    Args:
        path: YAML file; references are resolved, keys that do nothing are ignored.

    Returns:
        The released network's config, with what the file changes about it.

    Raises:
        ValueError: no readable YAML with a `system` part, or a setting that asks for a variant
            of the network which does not exist here; the key is named.

    Source: spec `agm_net.md`, section 15.
    """
    config = AGMConfig.released()
    system = _system(Path(path))
    for key, value in _effective(system, OmegaConf.to_container(system), str(path)):
        if key in FIXED and value != FIXED[key]:
            raise ValueError(f"{path}: {key} is {value!r}; only {FIXED[key]!r} is supported")
        if key == NEIGHBOURS:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{path}: {key} is {value!r}, must be a whole number above 0")
            config = replace(config, neighbours=value)
        heads = list(value.items()) if isinstance(value, dict) else value
        if key == HEADS and heads != HEAD_ORDER:
            raise ValueError(f"{path}: {key} is {value}, must be {dict(HEAD_ORDER)} in this order")
    return config


def _system(path: Path) -> DictConfig:
    _register_gt0()
    try:
        content = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable configuration ({reason})") from error
    system = content.get("system") if isinstance(content, DictConfig) else None
    if not isinstance(system, DictConfig):
        raise ValueError(f"{path}: has no `system` part that describes the network")
    return system


def _register_gt0() -> None:
    """The one function that original configurations call in references."""
    if OmegaConf.has_resolver("gt0"):
        return
    with warnings.catch_warnings():
        # The name that all of OmegaConf 2 shares; 2.4 would rather have it shorter.
        warnings.simplefilter("ignore")
        OmegaConf.register_new_resolver("gt0", lambda value: value > 0)


def _effective(node: Any, plain: Any, source: str) -> Iterator[tuple[str, Any]]:
    """All settings with an effect, at any depth; references in other settings stay unresolved.

    `plain` is the same tree as `node` without references resolved.
    """
    entries = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in entries:
        if key in FIXED or key in (NEIGHBOURS, HEADS):
            yield key, _resolved(node, key, source)
        elif isinstance(value, dict | list):
            yield from _effective(node[key], value, source)


def _resolved(node: Any, key: Any, source: str) -> Any:
    try:
        value = node[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{source}: {key} cannot be resolved ({reason})") from error
