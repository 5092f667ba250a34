"""A small stream: two things that move, key frames that change a little, as a run would make it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from igs.fvv import Encoder, FvvConfig, FvvWriter, SourceFrame, StreamHeader, make_header
from igs.gaussians import Gaussians
from igs.motion import Motion, warp


def cloud(count: int, seed: int, degree: int = 1) -> Gaussians:
    """Random Gaussians in a box of 4 units."""
    rng = np.random.default_rng(seed)

    def normal(scale: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, scale, shape).astype(np.float32))

    return Gaussians(
        means=torch.from_numpy(rng.uniform(-2, 2, (count, 3)).astype(np.float32)),
        log_scales=normal(0.4, count, 3) - 2.5,
        quats=normal(1.0, count, 4),
        opacity_logits=normal(2.0, count),
        sh=normal(0.4, count, (degree + 1) ** 2, 3),
    )


def turn(angle: float, count: int) -> torch.Tensor:
    """The same unit quaternion `count` times, about y."""
    values = [np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0]
    return torch.tensor([values] * count, dtype=torch.float32)


def moved(key: Gaussians, step: int) -> Gaussians:
    """A third of the Gaussians shifted and turned on the spot."""
    index = torch.arange(0, len(key), 3)
    shift = torch.tensor([[0.02, -0.01, 0.03]]) * step
    return warp(key, Motion(index, shift.expand(len(index), 3), turn(0.02 * step, len(index))))


def refined(key: Gaussians, seed: int) -> Gaussians:
    """Some changed a little, five gone, seven new, and all in another order."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(key))[5:]
    kept = key.select(torch.from_numpy(rows))
    values = {}
    for name, tensor in kept.tensors().items():
        noise = torch.from_numpy(rng.normal(0, 0.03, tuple(tensor.shape)).astype(np.float32))
        noise[len(kept) // 3 :] = 0
        values[name] = tensor + noise
    return Gaussians.concatenate([Gaussians(**values), cloud(7, seed, key.sh_degree)])


def stream(count: int = 300, frames: int = 12, degree: int = 1) -> list[SourceFrame]:
    """Key frames every four frames, candidates between."""
    key = cloud(count, 1, degree)
    result = [SourceFrame(0, 0.0, key)]
    for t in range(1, frames):
        if t % 4 == 0:
            key = refined(moved(key, 4), t)
            result.append(SourceFrame(t, t / 25, key))
        else:
            shown = moved(key, t % 4)
            result.append(SourceFrame(t, t / 25, shown, is_key=False, same_rows=True))
    return result


def write(path: Path, frames: list[SourceFrame], config: FvvConfig) -> StreamHeader:
    """Encode into a file."""
    header = make_header(frames[0].gaussians, config)
    encoder = Encoder(header, config)
    with FvvWriter(path, header) as writer:
        for frame in frames:
            writer.write(encoder.push(frame))
    return header


@pytest.fixture(scope="session")
def frames() -> list[SourceFrame]:
    return stream()


@pytest.fixture
def config() -> FvvConfig:
    return FvvConfig(intra_interval=8, level=3)


@pytest.fixture
def path(tmp_path: Path, frames: list[SourceFrame], config: FvvConfig) -> Path:
    write(tmp_path / "stream.fvv", frames, config)
    return tmp_path / "stream.fvv"
