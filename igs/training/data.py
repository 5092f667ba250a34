"""From the settings of a run to the samples it learns from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from igs.config.load import ConfigError
from igs.config.training import TrainDataConfig
from igs.training.batches import SampleSource
from igs.training.igs_data import IgsData, IgsDataConfig
from igs.training.sample import TrainingSample
from igs.training.synthetic_data import SyntheticData, SyntheticDataConfig

T = TypeVar("T")

# What follows from the other settings of a run.
DERIVED = ("root", "split", "input_size", "photometric", "flow")


def scene_source(
    config: TrainDataConfig,
    seed: int,
    size: int,
    *,
    targets: bool = False,
    flow: bool = False,
    validation: bool = False,
) -> SampleSource[TrainingSample]:
    """Samples of scenes.

    Args:
        config: see `TrainDataConfig`.
        seed: of everything that is drawn.
        size: side of the input images, pixels.
        targets: also make supervision views.
        flow: also make the true flow.
        validation: hold out. Synthetic scenes are other ones for another seed; stored ones have a
            list of their own.

    Raises:
        ConfigError: settings of scenes that do not exist or do not fit.
        FileNotFoundError, SceneError: stored scenes that are missing or damaged.
    """
    if config.kind == "igs_data":
        return IgsData(igs_data_config(config, size, targets, validation), seed)
    return SyntheticData(synthetic_config(config, size, targets, flow), seed)


def synthetic_config(
    config: TrainDataConfig, size: int, targets: bool, flow: bool
) -> SyntheticDataConfig:
    """What synthetic samples are drawn from.

    Raises:
        ConfigError: names the key, and the nearest right one.
    """
    key, changes = "data.synthetic", dict(config.synthetic)
    if config.photos is not None:
        scene = _mapping(changes.get("scene", {}), f"{key}.scene")
        changes["scene"] = {**scene, "photos": config.photos}
    made = _changed(SyntheticDataConfig(), changes, key)
    return replace(made, input_size=size, photometric=targets, flow=flow)


def igs_data_config(
    config: TrainDataConfig, size: int, targets: bool, validation: bool
) -> IgsDataConfig:
    """How stored samples are read.

    Raises:
        ConfigError: names the key, and the nearest right one.
    """
    split = "val" if validation else "train"
    made = IgsDataConfig(str(config.root), split=split, input_size=size, photometric=targets)
    made = _changed(made, config.igs_data, "data.igs_data")
    return (
        _changed(made, config.igs_data_validation, "data.igs_data_validation")
        if validation
        else made
    )


def _changed(settings: T, changes: Mapping[str, Any], key: str) -> T:
    """A copy of a dataclass with changes from plain values; lists become tuples."""
    assert is_dataclass(settings)
    assert not isinstance(settings, type)
    kinds = {f.name: str(f.type) for f in fields(settings)}
    names, values = list(kinds), {}
    for name, value in changes.items():
        if name in DERIVED:
            raise ConfigError(f"{key}.{name}: follows from the other settings; leave it out")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {key}.{near[0]}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown key {key}.{name}; {hint}")
        before = getattr(settings, name)
        if is_dataclass(before):
            value = _changed(before, _mapping(value, f"{key}.{name}"), f"{key}.{name}")
        elif isinstance(before, tuple):
            value = _row(value, before, f"{key}.{name}")
        elif isinstance(value, list) and "tuple" in kinds[name]:
            value = tuple(value)
        elif before is not None and not isinstance(value, type(before)):
            value = _number(value, before, f"{key}.{name}")
        values[name] = value
    try:
        return replace(settings, **values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: {error}") from error


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key}: {value!r} must be a section of settings")
    return value


def _row(value: Any, before: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    wants_words = isinstance(before[0], str)
    fits = isinstance(value, list) and (wants_words or len(value) == len(before))
    kinds = str if wants_words else (int, float)
    if not fits or not all(isinstance(v, kinds) for v in value):
        raise ConfigError(f"{key}: {value!r} must be a list such as {list(before)}")
    return tuple(value)


def _number(value: Any, before: Any, key: str) -> Any:
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise ConfigError(f"{key}: {value!r} must be of the kind of {before!r}")
