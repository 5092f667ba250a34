"""A small data set to build, and an engine that builds in this very process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inline_engine import InlineEngine
from small_data import write_data_set


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes `a` of three frames and `b` of two; not to be changed."""
    return write_data_set(tmp_path_factory.mktemp("source"), {"a": 3, "b": 2})


@pytest.fixture
def engine() -> InlineEngine:
    """See `InlineEngine`."""
    return InlineEngine()
