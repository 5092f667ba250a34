"""Small streams for the player's decoder, with everything in them that a stream can have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from igs.fvv import Encoder, FvvConfig, FvvWriter, SourceFrame, make_header
from igs.gaussians import Gaussians
from igs.motion import Motion, warp
from igs.scene import Camera


def cloud(count: int, seed: int, degree: int) -> Gaussians:
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


def turned(key: Gaussians, step: int, seed: int = 0) -> Gaussians:
    """A third of the Gaussians carried by one turn about y, and shaken a little."""
    rng = np.random.default_rng(seed + step)
    angle = 0.1 * step
    index = torch.arange(0, len(key), 3)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    turn = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=torch.float32)
    means = key.means[index]
    shaken = torch.from_numpy(rng.normal(0, 0.003, tuple(means.shape)).astype(np.float32))
    shift = means @ turn.T - means + shaken
    half = [float(np.cos(angle / 2)), 0.0, float(np.sin(angle / 2)), 0.0]
    rotation = torch.tensor([half] * len(index), dtype=torch.float32)
    return warp(key, Motion(index, shift, rotation))


def refined(key: Gaussians, seed: int) -> Gaussians:
    """Some changed a little, five gone, seven new, and all in another order."""
    rng = np.random.default_rng(seed)
    kept = key.select(torch.from_numpy(rng.permutation(len(key))[5:]))
    values = {}
    for name, tensor in kept.tensors().items():
        noise = torch.from_numpy(rng.normal(0, 0.03, tuple(tensor.shape)).astype(np.float32))
        noise[len(kept) // 3 :] = 0
        values[name] = tensor + noise
    return Gaussians.concatenate([Gaussians(**values), cloud(7, seed, key.sh_degree)])


def stream(count: int = 400, frames: int = 14, degree: int = 1) -> list[SourceFrame]:
    """Key frames every three frames, one of which keeps its rows; candidates between.

    One candidate changes colours, one has other rows than the frame that it refers to.
    """
    key = cloud(count, 1, degree)
    result = [SourceFrame(0, 0.0, key)]
    for t in range(1, frames):
        if t % 3 == 0:
            key = refined(turned(key, 3), t) if t != 6 else turned(key, 3)
            result.append(SourceFrame(t, t / 25, key, same_rows=t == 6))
            continue
        shown = turned(key, t % 3)
        if t == 4:
            shown = shown.replace(sh=shown.sh + 0.3, log_scales=shown.log_scales + 0.2)
        if t == 8:
            shown = refined(shown, t)
        result.append(SourceFrame(t, t / 25, shown, is_key=False, same_rows=t != 8))
    return result


def camera() -> Camera:
    """One of a rig, not looking along an axis."""
    pose = np.eye(4)
    pose[:3, :3] = [[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]]
    pose[:3, 3] = [0.1, 0.2, 4]
    return Camera("left", 64, 48, 60.0, 61.0, 32.0, 24.0, world_to_camera=pose)


def write(path: Path, frames: list[SourceFrame], config: FvvConfig) -> Path:
    """Encode into a file."""
    header = make_header(frames[0].gaussians, config, cameras={"left": camera()})
    encoder = Encoder(header, config)
    with FvvWriter(path, header) as writer:
        for frame in frames:
            writer.write(encoder.push(frame))
    return path
