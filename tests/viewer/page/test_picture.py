"""The player's picture is that of the rasterizer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from igs.config.serve import ServeConfig
from igs.fvv import FvvReader
from igs.render import render
from igs.serve.app import create_app

from ...serve.live_rig import served
from ..streams import stream
from .watching import capture, open_player, rig, write_recording

# The player promises 30 dB. Both round to 8 bits, which alone gives 59; less than this is a fault.
USUAL_DB = 50.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    return write_recording(folder / "scene.fvv", stream(count=700, degree=3))


@pytest.fixture(scope="module")
def site(recording: Path) -> Iterator[str]:
    with served(create_app(ServeConfig(recordings=str(recording.parent)))) as address:
        yield f"http://{address}"


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(max(float(((a - b) ** 2).mean()), 1e-12))


def rasterized(recording: Path, frame: int, camera: str, kernel: float = 0.0) -> np.ndarray:
    with FvvReader(recording) as reader, torch.no_grad():
        gaussians = reader.frame(frame).gaussians
        background = reader.header.background
        view = rig()[camera]
        color = render(gaussians, view, background, kernel_size=kernel).color
    return color.clamp(0, 1).permute(1, 2, 0).numpy()


def test_three_frames_from_two_cameras(page: Any, site: str, recording: Path):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    for frame in (0, 13, 5):
        for name, camera in rig().items():
            value = psnr(capture(page, frame, camera), rasterized(recording, frame, name))
            assert value >= USUAL_DB, f"frame {frame}, camera {name}: {value:.1f} dB"


def test_softened_is_the_rasterizers_low_pass(page: Any, site: str, recording: Path):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    page.evaluate("igs.player.setSoft(true)")
    shown = capture(page, 3, rig()["front"])
    assert psnr(shown, rasterized(recording, 3, "front", 0.3)) >= USUAL_DB
    assert psnr(shown, rasterized(recording, 3, "front")) < USUAL_DB


def test_layers_left_out_are_left_out(page: Any, site: str, recording: Path):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    page.evaluate("igs.player.stream.setQuality(0)")
    shown = capture(page, 6, rig()["side"])
    with FvvReader(recording) as reader, torch.no_grad():
        gaussians = reader.frame(6, layers=1).gaussians
        color = render(gaussians, rig()["side"], reader.header.background).color
    assert psnr(shown, color.clamp(0, 1).permute(1, 2, 0).numpy()) >= USUAL_DB


def test_a_lost_context_is_restored(page: Any, site: str, recording: Path):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    before = capture(page, 4, rig()["front"])
    page.evaluate(
        """async () => {
          const { gl, canvas } = igs.player.renderer;
          const lose = gl.getExtension("WEBGL_lose_context");
          const back = new Promise((done) => canvas.addEventListener("webglcontextrestored", done));
          const lost = new Promise((done) => canvas.addEventListener("webglcontextlost", done));
          lose.loseContext();
          await lost;
          await new Promise((done) => setTimeout(done, 0));
          lose.restoreContext();
          await back;
        }"""
    )
    after = capture(page, 4, rig()["front"])
    assert psnr(before, after) >= USUAL_DB


IN_PARTS = """Object.defineProperty(igs.player.pace, "parts", { get: () => 3 })"""
GIVEN_UP = """async (frame) => {
  const { player } = igs;
  const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
  Object.defineProperty(player.pace, "parts", { get: () => 1000 });
  player.setSize([161, 120]);
  while (player.painting?.parts !== 1000) await next();
  const { painting } = player;
  player.transport.seekFrame(frame);
  await player.shown(frame);
  return painting.done;
}"""


def test_a_picture_drawn_in_parts(page: Any, tmp_path: Path):
    """It is the same as one drawn at once, and a frame that is sought does not wait for it."""
    path = write_recording(tmp_path / "large.fvv", stream(count=9000)[:3])  # three batches
    with served(create_app(ServeConfig(recordings=str(path.parent)))) as address:
        open_player(page, f"http://{address}/player/?recording=large.fvv")
        page.evaluate("igs.player.setSize([160, 120])")
        at_once = capture(page, 0, rig()["front"])
        page.evaluate(IN_PARTS)
        page.evaluate("igs.player.setSize([159, 120])")
        in_parts = capture(page, 0, rig()["front"])
        assert psnr(at_once, in_parts) > 60
        assert page.evaluate("igs.player.drawing.scale") == 1
    assert at_once.std() > 0.01


def test_a_seek_gives_up_a_picture_in_parts(page: Any, site: str):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    assert page.evaluate(GIVEN_UP, 7) is False
