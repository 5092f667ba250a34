"""`cfg_args`: the options a model was trained with, in the text form that 3DGS programs read.

The file holds ``Namespace(eval=True, images='images', ...)``. Those programs run it as code; here
it is parsed, and nothing but names and literal values is accepted (spec `frame0.md`, fault 11 of
section 8).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igs.scene.files import write_text

_SCALARS = (bool, int, float, str, type(None))
_MOST_BYTES = 1 << 20


def write_cfg_args(path: str | Path, options: Mapping[str, Any]) -> None:
    """Write options, sorted by name.

    Args:
        path: the file, by custom ``<model>/cfg_args``.
        options: names to None, booleans, finite numbers, strings, or lists of these.

    Raises:
        ValueError: a name that is no Python name, or a value that would not be read back.
    """
    for name, value in options.items():
        if not name.isidentifier():
            raise ValueError(f"{path}: option {name!r} is not a name")
        if not _is_plain(value):
            raise ValueError(
                f"{path}: option {name} is {value!r}; only None, booleans, finite numbers, strings "
                "and lists of them are stored"
            )
    words = ", ".join(f"{name}={_plain(value)!r}" for name, value in sorted(options.items()))
    write_text(path, f"Namespace({words})")


def read_cfg_args(path: str | Path) -> dict[str, Any]:
    """Read options without running anything.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything but a `Namespace` of names and literal values; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: more than {_MOST_BYTES} bytes; this is no cfg_args")
    try:
        call = ast.parse(path.read_text(encoding="utf-8").strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not _is_namespace(call):
            raise ValueError("it must read Namespace(name=value, ...)")
        return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not options of a model: {reason}") from error


def _is_namespace(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Name)
        and call.func.id == "Namespace"
        and not call.args
        and all(word.arg is not None for word in call.keywords)
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v) for v in value)
    return isinstance(value, _SCALARS) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
