"""What the tests of the page share: a scene, a server, and waiting for the player."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from igs.fvv import Encoder, FvvConfig, FvvWriter, SourceFrame, make_header
from igs.scene import Camera

FRAMES = 14
WIDTH, HEIGHT = 160, 120

# Strings are run by the debugger's protocol: the page itself forbids `eval`.
CAPTURE = """async ([frame, camera, width, height]) => {
  const { player } = igs;
  player.setSize([width, height]);
  player.viewpoint.setCamera(camera);
  player.transport.seekFrame(frame);
  const { pixels } = await player.capture();
  return btoa(String.fromCharCode(...pixels));
}"""


def rig() -> dict[str, Camera]:
    """Two cameras with principal points off the centre, one of them turned."""
    straight, turned = np.eye(4), np.eye(4)
    straight[:3, 3] = [0.1, 0.2, 5]
    turned[:3, :3] = [[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]]
    turned[:3, 3] = [-0.2, 0.1, 6]
    return {
        "front": Camera("front", WIDTH, HEIGHT, 150.0, 155.0, 84.0, 57.0, straight),
        "side": Camera("side", WIDTH, HEIGHT, 160.0, 160.0, 70.5, 66.0, turned),
    }


def write_recording(path: Path, frames: list[SourceFrame]) -> Path:
    """Encode with the rig, finely."""
    config = FvvConfig()
    header = make_header(frames[0].gaussians, config, cameras=rig(), background=(0.2, 0.3, 0.1))
    encoder = Encoder(header, config)
    with FvvWriter(path, header) as writer:
        for frame in frames:
            writer.write(encoder.push(frame))
    return path


def open_player(page: Any, address: str) -> None:
    """Go to an address and wait until something is on screen."""
    page.goto(address)
    wait_for(page, "window.igs && igs.firstPicture !== null")


def wait_for(page: Any, condition: str, seconds: float = 90) -> None:
    """Wait until a JavaScript expression is true."""
    for _ in range(int(10 * seconds)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    notice = page.evaluate("document.querySelector('#notice p')?.textContent")
    raise AssertionError(f"never true: {condition}; the page says: {notice!r}; {page.errors}")


def capture(page: Any, frame: int, camera: Camera) -> np.ndarray:
    """(H, W, 3) values of 0..1 that the player shows of a frame from a camera."""
    words = [frame, camera.name, camera.width, camera.height]
    data = base64.b64decode(page.evaluate(CAPTURE, words))
    pixels = np.frombuffer(data, np.uint8).reshape(camera.height, camera.width, 4)
    return pixels[..., :3] / 255.0
