"""Keeps `torch.compile` outside: one clean break of the graph where an engine is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def outside_graphs(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let compiled callers break their graph at this function, and trace nothing below it.

    A compiler has nothing to gain there, and no shapes to plan with: how many (tile, Gaussian)
    pairs there are is known only when the Gaussians have been looked at. Programs that do not
    compile do not load the compiler.
    """
    kept: list[Any] = []

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Result:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not kept:
            kept.append(torch.compiler.disable(function))
        return kept[0](*args, **kwargs)

    return call
