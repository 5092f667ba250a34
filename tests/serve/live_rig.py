"""Four cameras around a blob that moves before a wall: rendered, sent, served."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import uvicorn

from igs.config.fvv import PRESETS
from igs.config.serve import CameraInput, LiveConfig
from igs.fvv import Encoder, SourceFrame, make_header
from igs.gaussians import Gaussians, write_ply
from igs.render import render
from igs.render.images import to_uint8
from igs.scene import Camera
from igs.serve.guard import Guard
from igs.serve.publisher import PublishedFrame, published, stream_start
from igs.serve.sender import TsSender

WIDTH, HEIGHT, FPS = 64, 48, 15.0


def rig_cameras(count: int = 4) -> dict[str, Camera]:
    """Cameras side by side that look at the blob."""
    cameras = {}
    for i in range(count):
        x = 0.5 * (i - (count - 1) / 2)
        pose = np.eye(4)
        turn = np.arctan2(-x, 2.5)
        pose[0, [0, 2]] = np.cos(turn), np.sin(turn)
        pose[2, [0, 2]] = -np.sin(turn), np.cos(turn)
        pose[:3, 3] = -pose[:3, :3] @ np.array([-x, 0.0, 0.0])
        name = f"cam{i:02d}"
        cameras[name] = Camera(name, WIDTH, HEIGHT, 60.0, 60.0, WIDTH / 2, HEIGHT / 2, pose)
    return cameras


def scene(shift: float = 0.0, degree: int = 1) -> Gaussians:
    """A wall of 96 Gaussians and a blob of 24, moved along x."""
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1.6, 1.6, 12), indexing="ij")
    wall = torch.stack([x.ravel(), y.ravel(), torch.full((96,), 3.0)], 1)
    blob = torch.randn(24, 3, generator=generator) * 0.12 + torch.tensor([shift, 0.0, 2.2])
    sh = torch.randn(120, (degree + 1) ** 2, 3, generator=generator) * 0.3
    sh[:96, 0] = torch.rand(96, 3, generator=generator) - 0.5
    sh[96:, 0] = torch.tensor([1.4, -1.0, -1.0])
    return Gaussians(
        means=torch.cat([wall, blob]),
        log_scales=torch.cat([torch.full((96, 3), -1.8), torch.full((24, 3), -2.4)]),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(120, 1),
        opacity_logits=torch.full((120,), 3.0),
        sh=sh,
    )


def rendered(period: int = 16) -> list[dict[str, np.ndarray]]:
    """The images of all cameras over one swing of the blob."""
    frames = []
    for i in range(period):
        gaussians = scene(0.25 * float(np.sin(2 * np.pi * i / period)))
        with torch.no_grad():
            frames.append(
                {n: to_uint8(render(gaussians, c).color) for n, c in rig_cameras().items()}
            )
    return frames


def make_capture(root: Path, ports: list[int], **settings: object) -> LiveConfig:
    """A camera file and frame 0 in a folder, and the config of a session on these ports."""
    cameras = {
        name: {
            "width": camera.width,
            "height": camera.height,
            "K": camera.intrinsics.tolist(),
            "world_to_camera": camera.world_to_camera.tolist(),
        }
        for name, camera in rig_cameras().items()
    }
    (root / "cameras.json").write_text(json.dumps({"fps": FPS, "cameras": cameras}))
    write_ply(root / "frame0.ply", scene())
    config = LiveConfig(threads=1)
    config.inputs = [
        CameraInput(name=name, url=f"udp://127.0.0.1:{port}")
        for name, port in zip(rig_cameras(), ports, strict=True)
    ]
    config.frame0.mode, config.frame0.ply = "load", "frame0.ply"
    config.schedule.interval, config.refine.iterations = 2, 2
    config.refine.densify.enabled = False
    config.ingest.fps, config.ingest.timeout = FPS, 2.0
    for key, value in settings.items():
        setattr(config.ingest, key, value)
    return config


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    held = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cameras:
    """Sends the rendered rig until closed; single cameras can be cut.

    All cameras take their pictures at the same moments; the time stamps are the moments.
    """

    def __init__(self, config: LiveConfig) -> None:
        self._frames, self._stop = rendered(), threading.Event()
        self.cut: set[str] = set()
        self.sent = {entry.name: 0 for entry in config.inputs}
        self._urls = {entry.name: entry.url for entry in config.inputs}
        self._begin = time.monotonic()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in self._urls]

    def __enter__(self) -> Cameras:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, name: str) -> None:
        number = 0
        with TsSender(self._urls[name], (WIDTH, HEIGHT), FPS) as sender:
            while not self._stop.is_set():
                if name not in self.cut:
                    images = self._frames[number % len(self._frames)]
                    sender.send(images[name], 1 + number / FPS)
                    self.sent[name] = sender.sent
                number += 1
                self._stop.wait(max(self._begin + number / FPS - time.monotonic(), 0.0))


class Stream:
    """Chunks of the scene in motion, as a session publishes them, without engine or cameras."""

    def __init__(self, interval: int = 2, intra: int = 12) -> None:
        from dataclasses import replace

        config = replace(PRESETS["live"], intra_interval=intra)
        self._interval, self._key = interval, scene()
        header = make_header(scene(), config)
        self._encoder = Encoder(header, config)
        self.start, self.index = stream_start(header), 0

    def next(self) -> PublishedFrame:
        """The next frame."""
        index, self.index = self.index, self.index + 1
        gaussians = scene(0.25 * float(np.sin(index / 5)))
        is_key = index % self._interval == 0
        frame = SourceFrame(index, index / FPS, gaussians, is_key, same_rows=index > 0)
        return published(self._encoder.push(frame), index / FPS)


@contextlib.contextmanager
def served(app: Guard) -> Iterator[str]:
    """Run an application in a thread; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(
        app, log_level="error", ws="websockets-sansio", ws_per_message_deflate=False,
        ws_max_size=app.config.limits.control_bytes, timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
