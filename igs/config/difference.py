"""What differs between two configs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str] = (), prefix: str = ""
) -> tuple[str, Any, Any] | None:
    """The first setting in which two configs differ, both as plain nested values.

    Args:
        old: settings that were.
        new: settings that are; its keys are looked at, in order.
        free: dotted keys, of settings or whole sections, that may differ.
        prefix: put before every key; for the recursion.

    Returns:
        Dotted key, old and new value; None where nothing differs.
    """
    for name, value in new.items():
        key, before = f"{prefix}{name}", old.get(name)
        if key in free:
            continue
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found = first_difference(before, value, free, f"{key}.")
            if found is not None:
                return found
        elif before != value:
            return key, before, value
    return None
