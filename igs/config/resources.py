"""Where the configs and weights that come with igs lie: in its source tree or inside its wheel."""

from __future__ import annotations

import difflib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def config_path(name: str | Path) -> Path:
    """Find a config: a file as given, else one that comes with igs.

    Args:
        name: path of a YAML file, or the name of a packaged one with or without its folder and
            suffix (``demo``, ``demo.yaml`` and ``configs/demo.yaml`` are the same).

    Returns:
        Path of an existing file; a file in the working folder wins over a packaged one.

    Raises:
        FileNotFoundError: neither exists; the message lists what comes with igs.
    """
    return _find("configs", name, suffix=".yaml")


def config_names() -> list[str]:
    """Names of the packaged configs, sorted, without suffix; ``folder/name`` in a subfolder."""
    return [path.removesuffix(".yaml") for path in _names("configs", "*.yaml")]


def weights_path(name: str | Path) -> Path:
    """Find a weight file: a file as given, else one that comes with igs under ``ckpt/``.

    Raises:
        FileNotFoundError: neither exists; the message lists what comes with igs.
    """
    return _find("ckpt", name, suffix=".safetensors")


def weights_names() -> list[str]:
    """Names of the packaged weight files, sorted, relative to ``ckpt/``."""
    return _names("ckpt", "*.safetensors")


def resource_folder(kind: str) -> Path | None:
    """The folder ``configs`` or ``ckpt`` that comes with igs, or None where it has none.

    A wheel carries it inside the package; a checkout, also an editable install, beside it.
    """
    for folder in (_PACKAGE / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    return None


def _names(kind: str, pattern: str) -> list[str]:
    folder = resource_folder(kind)
    if folder is None:
        return []
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))


def _find(kind: str, name: str | Path, suffix: str) -> Path:
    given = Path(name)
    if given.is_file():
        return given
    folder = resource_folder(kind)
    inside = given.relative_to(kind) if given.parts[:1] == (kind,) else given
    if folder is not None and not inside.is_absolute():
        for candidate in (folder / inside, folder / f"{inside.as_posix()}{suffix}"):
            if candidate.is_file():
                return candidate
    known = [found.removesuffix(suffix) for found in _names(kind, f"*{suffix}")]
    near = difflib.get_close_matches(inside.as_posix().removesuffix(suffix), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known) or "none"
    raise FileNotFoundError(f"{name}: no such file{hint} (in {kind}/ of igs: {listed})")
