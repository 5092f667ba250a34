"""The synthetic capture of bench/gpu.py: a cloud of Gaussians of which a part moves, as videos."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from igs.gaussians import Gaussians, write_ply
from igs.render import render
from igs.render.video import VideoWriter
from igs.scene import Camera, Rig
from igs.scene.cameras_json import write_camera_object


@dataclass(frozen=True)
class Size:
    """How large the capture is."""

    gaussians: int = 150_000
    width: int = 1352
    height: int = 1014
    views: int = 20
    frames: int = 60


def make_cameras(size: Size) -> list[Camera]:
    """A row of cameras on an arc, all looking at the cloud's centre."""
    focal = size.width / 1.5
    cameras = []
    for k in range(size.views):
        angle = np.radians(40.0) * (k / max(1, size.views - 1) - 0.5)
        position = np.array([6.0 * np.sin(angle), 0.0, 6.0 - 6.0 * np.cos(angle)])
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[:3, 3] = -turn @ position
        cameras.append(
            Camera(
                name=f"cam{k:02d}",
                width=size.width,
                height=size.height,
                fx=focal,
                fy=focal,
                cx=size.width / 2,
                cy=size.height / 2,
                world_to_camera=pose,
            )
        )
    return cameras


def make_gaussians(size: Size, device: torch.device) -> Gaussians:
    """A slab of coloured Gaussians at depth 4 to 8, a few pixels large."""
    random = torch.Generator().manual_seed(0)
    count = size.gaussians
    means = torch.rand(count, 3, generator=random) * torch.tensor([6.0, 4.5, 4.0])
    means += torch.tensor([-3.0, -2.25, 4.0])
    spread = 0.35 * torch.randn(count, 3, generator=random)
    pixels = 3.0 * (150_000 / count) ** 0.5
    colours = 0.5 + 0.5 * torch.sin(means * 2.0 + torch.tensor([0.0, 2.0, 4.0]))
    sh = torch.zeros(count, 4, 3)
    sh[:, 0] = (colours - 0.5) / 0.28209479177387814
    return Gaussians(
        means=means,
        log_scales=float(np.log(pixels * 6.0 / (size.width / 1.5))) + spread,
        quats=torch.randn(count, 4, generator=random),
        opacity_logits=torch.full((count,), 1.5),
        sh=sh,
    ).to(device)


def moved(gaussians: Gaussians, frame: int) -> Gaussians:
    """The middle of the slab swings to and fro."""
    middle = (gaussians.means[:, :1].abs() < 1.0).float()
    shift = gaussians.means.new_tensor([0.1, 0.05, 0.0]) * float(np.sin(0.3 * frame))
    return gaussians.replace(means=gaussians.means + middle * shift)


@torch.no_grad()
def write_capture(folder: Path, size: Size, device: torch.device) -> None:
    """Videos, cameras.json, bbox.json and frame0.ply."""
    cameras, gaussians = make_cameras(size), make_gaussians(size, device)
    background = torch.zeros(3, device=device)
    for camera in cameras:
        with VideoWriter(folder / "videos" / f"{camera.name}.mp4") as video:
            for frame in range(size.frames):
                image = render(moved(gaussians, frame), camera, background).color.clamp(0, 1)
                video.add((image.permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy())
    write_camera_object(folder / "cameras.json", Rig.of(cameras))
    box = {"bench": [[-3.1, -2.4, 3.9], [3.1, 2.4, 8.1]]}
    (folder / "bbox.json").write_text(json.dumps(box), encoding="utf-8")
    write_ply(folder / "frame0.ply", gaussians.to("cpu"))
