"""Networks and scenes for the tests of the motion room."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gmflow import from_public
from gmflow.names import extractor_names

from igs.gaussians import Gaussians
from igs.motion import AGMConfig, AGMNet
from igs.motion.names import released_names
from igs.motion.weights import FLOW


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps of a few pixels are computed sooner than a second thread wakes up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def agm_folder(parity_folder: Callable[[str], Path]) -> Path:
    return parity_folder("agm_net")


@pytest.fixture(scope="session")
def arrays(agm_folder: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    """Loads one fixture file by name: arrays as tensors."""

    def load(name: str) -> dict[str, torch.Tensor]:
        with np.load(agm_folder / f"{name}.npz") as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    return load


@pytest.fixture(scope="session")
def filled(agm_folder: Path) -> AGMNet:
    """The published network with the fixtures' weights; fixtures speak of the released scaling."""
    spec = importlib.util.spec_from_file_location("parity_fill", agm_folder.parent / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    salt = json.loads((agm_folder / "fixture.json").read_text())["salt"]

    network = AGMNet(AGMConfig.released()).eval()
    state = network.state_dict()
    table = released_names(network.config)
    values = fill.fill_state_dict({other: state[ours].shape for ours, other in table.items()}, salt)
    tensors = {ours: values[other] for ours, other in table.items()}
    flow_table = extractor_names(network.config.flow)
    shapes = {other: state[FLOW + ours].shape for ours, other in flow_table.items()}
    flow = from_public(fill.fill_state_dict(shapes, salt), network.config.flow)
    tensors |= {FLOW + name: value for name, value in flow.items()}
    network.load_state_dict(tensors)
    return network


@pytest.fixture
def scene(generator: torch.Generator) -> Gaussians:
    """Gaussians in front of the cameras of `views`, about half of them in the box."""
    count = 120
    means = torch.rand(count, 3, generator=generator) * 8 - 4
    means[:, 2] += 8
    return Gaussians(
        means=means,
        log_scales=torch.full((count, 3), -3.0),
        quats=torch.randn(count, 4, generator=generator) * 2,
        opacity_logits=torch.zeros(count),
        sh=torch.rand(count, 4, 3, generator=generator),
    )


@pytest.fixture
def views() -> dict[str, torch.Tensor]:
    """Arguments of `encode_key` besides the Gaussians: three cameras, each with its own lens."""
    random = torch.Generator().manual_seed(3)
    count, size = 3, 32
    poses = torch.eye(4).repeat(count, 1, 1)
    poses[:, :3, 3] = torch.rand(count, 3, generator=random) - 0.5
    return {
        "images": torch.rand(count, 3, size, size, generator=random),
        "depth": torch.rand(count, 20, 24, generator=random) + 7,
        "world_to_camera": poses,
        "fov": torch.rand(count, 2, generator=random) * 0.2 + 0.9,
        "box": torch.tensor([[-3.0, -3, 5], [3, 3, 11]]),
    }


@pytest.fixture
def candidates(views: dict[str, torch.Tensor]) -> torch.Tensor:
    """Two candidate frames of the same cameras."""
    random = torch.Generator().manual_seed(4)
    return torch.rand(2, *views["images"].shape, generator=random)


TINY = AGMConfig(
    flow=AGMConfig.small().flow,
    network_size=32,
    anchors=40,
    width=32,
    heads=4,
    blocks=2,
    groups=8,
)


@pytest.fixture
def make_tiny() -> Callable[..., AGMNet]:
    """Small networks, all of one seed, whose output layers are not at their neutral start."""

    def make(**changes: object) -> AGMNet:
        torch.manual_seed(5)
        network = AGMNet(replace(TINY, **changes)).eval()  # type: ignore[arg-type]
        with torch.no_grad():
            network.decoder.translation.weight.normal_(std=0.2)
            network.decoder.rotation.weight.normal_(std=0.2)
        return network

    return make


@pytest.fixture
def tiny(make_tiny: Callable[..., AGMNet]) -> AGMNet:
    return make_tiny()
