"""From YAML files and ``key=value`` words to typed configs, with errors a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igs.config.resources import config_path

T = TypeVar("T")


class ConfigError(ValueError):
    """A config that cannot be used; one line that names the file or key and the cure."""


def load_config(schema: type[T], path: str | Path | None, overrides: Sequence[str] = ()) -> T:
    """Read a YAML file over the defaults of a dataclass, then apply ``key=value`` words.

    A section whose schema has a field `mode` may be given as that one word: ``motion: none``
    stands for ``motion: {mode: none}``. An `extends` key names a base: a file relative to this one,
    else a config that comes with igs.

    Args:
        schema: dataclass (of dataclasses) that holds every key with its type and default.
        path: YAML file, or None for the defaults alone.
        overrides: words such as ``refine.iterations=100``; later ones win.

    Returns:
        An instance of `schema`.

    Raises:
        ConfigError: unreadable file, unknown key (the nearest right name is offered), wrong type.
    """
    origin = str(path) if path is not None else "defaults"
    merged: dict[str, Any] = _read(Path(path)) if path is not None else {}
    merged = _expand_modes(schema, merged)
    _refuse_unknown(schema, merged, origin)
    config = _merge(OmegaConf.structured(schema), merged, origin)
    for word in overrides:
        tree = _expand_modes(schema, _parse_override(word))
        _refuse_unknown(schema, tree, f"override {word!r}")
        config = _merge(config, tree, f"override {word!r}")
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{origin}: {_first_line(error)}") from error


def to_yaml(config: Any) -> str:
    """The resolved config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"config {path}: no such file")
    if path.resolve() in above:
        raise ConfigError(f"config {path}: extends itself")
    try:
        loaded = OmegaConf.load(path)
        tree = OmegaConf.to_container(loaded, resolve=True)
    except (OmegaConfBaseException, ValueError, OSError) as error:
        raise ConfigError(f"config {path}: {_first_line(error)}") from error
    except Exception as error:  # the YAML reader has its own family of errors
        if type(error).__module__.split(".")[0] != "yaml":
            raise
        raise ConfigError(f"config {path}: not valid YAML: {_first_line(error)}") from error
    if not isinstance(loaded, DictConfig) or not isinstance(tree, dict):
        raise ConfigError(f"config {path}: must be a mapping of keys")
    base = tree.pop("extends", None)
    own = {str(k): v for k, v in tree.items()}
    if base is None:
        return own
    return _deep_update(_read(_base(path, str(base)), (*above, path.resolve())), own)


def _base(path: Path, name: str) -> Path:
    """The file that an `extends` means."""
    beside = path.parent / name
    if beside.is_file():
        return beside
    try:
        return config_path(name)
    except FileNotFoundError as error:
        raise ConfigError(f"config {path}: extends {name!r}: no file {beside}; {error}") from None


def _first_line(error: BaseException) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:3]) or type(error).__name__


def _deep_update(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _deep_update(result[key], value)
        else:
            result[key] = value
    return result


def _parse_override(word: str) -> dict[str, Any]:
    key, separator, _ = word.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {word!r}: must have the form key=value")
    try:
        tree = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
    except OmegaConfBaseException as error:
        raise ConfigError(f"override {word!r}: {_first_line(error)}") from error
    assert isinstance(tree, dict)
    return {str(k): v for k, v in tree.items()}


def _sections(schema: Any) -> dict[str, Any]:
    """Field name to dataclass, for the fields that are sections (optional ones included)."""
    found = {}
    for name, hint in get_type_hints(schema).items():
        for candidate in (hint, *get_args(hint)):
            if is_dataclass(candidate) and get_origin(hint) is not dict:
                found[name] = candidate
    return found


def _named_sections(schema: Any) -> dict[str, Any]:
    """Field name to dataclass, for the fields that hold sections of any name."""
    hints = get_type_hints(schema).items()
    of_dict = {name: get_args(hint) for name, hint in hints if get_origin(hint) is dict}
    return {name: kinds[1] for name, kinds in of_dict.items() if is_dataclass(kinds[1])}


def _expand_modes(schema: Any, tree: dict[str, Any]) -> dict[str, Any]:
    result = dict(tree)
    for name, section in _sections(schema).items():
        value = result.get(name)
        if isinstance(value, dict):
            result[name] = _expand_modes(section, value)
        elif name in result and "mode" in {f.name for f in fields(section)}:
            result[name] = {"mode": _mode_word(value)}
    for name, value in result.items():
        if name == "mode" and value is False:
            result[name] = "off"
    return result


def _mode_word(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as False and a bare `none` as the word, `null` as None."""
    if value is False:
        return "off"
    return "none" if value is None else value


def _refuse_unknown(schema: Any, tree: dict[str, Any], origin: str, prefix: str = "") -> None:
    names = [f.name for f in fields(schema)]
    sections, named = _sections(schema), _named_sections(schema)
    for key, value in tree.items():
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"{origin}: unknown key {prefix}{key}; {hint}")
        if key in sections and isinstance(value, dict):
            _refuse_unknown(sections[key], value, origin, f"{prefix}{key}.")
        if key in named and isinstance(value, dict):
            for name, section in value.items():
                if isinstance(section, dict):
                    _refuse_unknown(named[key], section, origin, f"{prefix}{key}.{name}.")


def _merge(base: DictConfig | ListConfig, tree: dict[str, Any], origin: str) -> DictConfig:
    try:
        merged = OmegaConf.merge(base, tree)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{origin}: {getattr(error, 'full_key', None) or ''}: {_first_line(error)}"
        ) from error
    assert isinstance(merged, DictConfig)
    return merged
