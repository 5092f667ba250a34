"""Where the fixtures of the original programs lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

_DEFAULT = Path(__file__).resolve().parents[2].parent / "shared"


@pytest.fixture(scope="session")
def frame0() -> dict[str, np.ndarray]:
    """Golden arrays of frame-0 training and key-frame refinement, by name."""
    path = Path(os.environ.get("IGS_SHARED", _DEFAULT)) / "parity/frame0/frame0_ops.npz"
    if not path.is_file():
        pytest.skip(f"fixture {path.name} is not there; set IGS_SHARED to the folder with parity/")
    with np.load(path) as arrays:
        return dict(arrays)
