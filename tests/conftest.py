"""Fixtures that every test of igs may use. The packages under submodules/ do not rely on it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SEED = 20250101
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2

torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with parity/ and data/: IGS_SHARED, else ../shared beside the project."""
    folder = Path(os.environ.get("IGS_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no fixtures: {folder} is not a folder (set IGS_SHARED)")
    return folder


@pytest.fixture(scope="session")
def parity_folder(shared: Path) -> Callable[[str], Path]:
    """From a system's name (``agm_net``) to its folder of fixtures; skips where it is absent."""

    def find(name: str) -> Path:
        folder = shared / "parity" / name
        if not folder.is_dir():
            pytest.skip(f"no fixtures: {folder} is not a folder")
        return folder

    return find


@pytest.fixture
def generator() -> torch.Generator:
    """A CPU generator with the suite's one seed."""
    return torch.Generator().manual_seed(SEED)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Same global state before every test, whatever ran before it."""
    random.seed(SEED)
    np.random.seed(SEED)  # libraries under test may draw from the global state
    torch.manual_seed(SEED)
