"""Fixtures of the original program, and networks filled by the rule that goes with them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from gmflow import GMFlow, from_public, public_names

SHARED = Path(os.environ.get("IGS_SHARED") or Path(__file__).parents[4] / "shared")
FOLDER = SHARED / "parity" / "gmflow"


def _fill_state_dict(shapes: dict, salt: int) -> dict:
    path = SHARED / "parity" / "fill.py"
    spec = importlib.util.spec_from_file_location("parity_fill", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fill_state_dict(shapes, salt)


@pytest.fixture(scope="session")
def filled() -> GMFlow:
    """The public-size network with the fixtures' weights."""
    if not FOLDER.is_dir():
        pytest.skip(f"no parity fixtures at {FOLDER}")
    network = GMFlow().eval()
    names = public_names(network.config)
    shapes = {names[name]: tuple(v.shape) for name, v in network.state_dict().items()}
    salt = json.loads((FOLDER / "fixture.json").read_text())["salt"]
    network.load_state_dict(from_public(_fill_state_dict(shapes, salt), network.config))
    return network


@pytest.fixture(scope="session")
def arrays():
    """Loads one fixture file by name: arrays as tensors."""

    def load(name: str) -> dict[str, torch.Tensor]:
        path = FOLDER / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"no parity fixture {path}")
        with np.load(path) as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    return load


@pytest.fixture(autouse=True)
def _repeatable():
    """One seed, and one thread: small maps are computed sooner than a second thread wakes up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
