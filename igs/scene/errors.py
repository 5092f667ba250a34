"""What scene code raises on bad input, and the hint that goes with a wrong name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SceneError(ValueError):
    """Input data that does not fit: one line that names the file, camera or value."""


def nearest_hint(wrong: str, known: Iterable[str]) -> str:
    """A clause that offers the right name for a wrong one, to be appended to an error.

    Args:
        wrong: the name that was not found.
        known: the names that exist.

    Returns:
        ``"; did you mean 'x'?"`` where one is close, else ``"; there are: ..."`` (the first ten).
    """
    names = [str(name) for name in known]
    close = get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {list_names(names)}"


def list_names(names: Iterable[str], limit: int = 10) -> str:
    """Names joined by commas, cut after `limit` with a count of the rest; ``none`` if empty."""
    known = list(names)
    if not known:
        return "none"
    tail = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + tail
