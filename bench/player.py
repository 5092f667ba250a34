"""What the web player does in headless chromium with software graphics.

    python bench/player.py demo.fvv [--pictures FOLDER]

Prints milliseconds to the first picture over a network throttled to 50 Mbit/s, with what was
reached on the way and the processor time of the whole browser (which other jobs on the machine
hardly change); milliseconds until a frame that is sought is on screen (local server, no throttle),
also of seeks that come while the picture is being drawn in full; and PSNR against the rasterizer
for three frames and two cameras of the recording.

Needs chromium, playwright, psutil and `igs[serve]`.
"""

from __future__ import annotations

import argparse
import base64
import math
import os
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import uvicorn
from playwright.sync_api import sync_playwright

from igs.config.serve import ServeConfig
from igs.fvv import FvvReader
from igs.render import render
from igs.scene import Camera
from igs.serve.app import create_app

FLAGS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
BITS_PER_SECOND = 50e6
LATENCY_MS = 10
SEEK = """async (frame) => {
  const start = performance.now();
  igs.player.transport.seekFrame(frame);
  await igs.player.shown(frame);
  return performance.now() - start;
}"""
# What is drawn when the seek comes: nothing, or the picture in full.
REST = """async (full) => {
  const { player } = igs;
  while (full !== (player.painting !== null && player.painting.parts > 1)) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}"""
MARKS = """performance.getEntriesByType("mark").map(({ name, startTime }) => [name, startTime])"""
CAPTURE = """async ([frame, camera, width, height]) => {
  const { player } = igs;
  player.setSize([width, height]);
  player.viewpoint.setCamera(camera);
  player.transport.seekFrame(frame);
  const { pixels } = await player.capture();
  let text = "";
  for (let i = 0; i < pixels.length; i += 8192) {
    text += String.fromCharCode(...pixels.subarray(i, i + 8192));
  }
  return btoa(text);
}"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(ServeConfig(recordings=str(folder)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def opened(browser: Any, address: str, *, throttled: bool = False) -> Any:
    page = browser.new_context(viewport={"width": 960, "height": 600}).new_page()
    if throttled:
        protocol = page.context.new_cdp_session(page)
        rate = BITS_PER_SECOND / 8
        limits = {"downloadThroughput": rate, "uploadThroughput": rate, "latency": LATENCY_MS}
        protocol.send("Network.emulateNetworkConditions", {"offline": False, **limits})
    page.goto(address)
    while page.evaluate("igs.firstPicture") is None:
        page.wait_for_timeout(20)
    return page


def browser_seconds() -> float:
    """Processor time of everything that this program has started."""
    children = psutil.Process().children(recursive=True)
    return sum(sum(child.cpu_times()[:2]) for child in children)


def first_pictures(browser: Any, address: str, runs: int) -> None:
    times = []
    for _ in range(runs):
        before = browser_seconds()
        page = opened(browser, address, throttled=True)
        spent = browser_seconds() - before
        times.append(page.evaluate("igs.firstPicture"))
        marks = ", ".join(
            f"{name.removeprefix('igs:')} {ms:.0f}" for name, ms in page.evaluate(MARKS)
        )
        print(f"first picture at 50 Mbit/s: {times[-1]:.0f} ms, {spent:.2f} s of CPU ({marks})")
        page.context.close()
    print(f"first picture: median {statistics.median(times):.0f} ms, most {max(times):.0f}")


def seeks(browser: Any, address: str, frames: list[int]) -> None:
    page = opened(browser, address)
    goals = [frames[len(frames) * i // 8] for i in (5, 2, 7, 1, 6, 3)]
    for full in (False, True):
        times = []
        for goal in goals:
            page.evaluate(REST, full)
            times.append(page.evaluate(SEEK, goal))
        listed = ", ".join(f"{ms:.0f}" for ms in times)
        when = "while the picture is drawn in full" if full else "one after the other"
        print(f"seek {when}: {listed} ms, median {statistics.median(times):.0f}")


def psnr_of(page: Any, reader: FvvReader, frame: int, camera: Camera) -> float:
    words = [frame, camera.name, camera.width, camera.height]
    data = np.frombuffer(base64.b64decode(page.evaluate(CAPTURE, words)), np.uint8)
    shown = data.reshape(camera.height, camera.width, 4)[..., :3] / 255
    with torch.no_grad():
        gaussians = reader.frame(frame).gaussians
        color = render(gaussians, camera, reader.header.background).color
    error = (shown - color.clamp(0, 1).permute(1, 2, 0).numpy()) ** 2
    return -10 * math.log10(max(float(error.mean()), 1e-12))


def measure(browser: Any, address: str, recording: Path, arguments: argparse.Namespace) -> None:
    with FvvReader(recording) as reader:
        frames = [entry.frame for entry in reader.entries]
        first_pictures(browser, address, arguments.runs)
        seeks(browser, address, frames)
        if arguments.only_times:
            return
        page = opened(browser, address)
        if arguments.pictures:
            take_pictures(page, arguments.pictures)
        rig = list(reader.header.cameras)
        if not rig:
            sys.exit(f"{recording}: no cameras to compare from; encode it with --cameras FILE")
        for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
            for camera in (rig[0], rig[len(rig) // 2]):
                print(
                    f"frame {frame}, {camera.name}: {psnr_of(page, reader, frame, camera):.1f} dB"
                )


def take_pictures(page: Any, folder: Path) -> None:
    """Two screenshots for the README."""
    folder.mkdir(parents=True, exist_ok=True)
    page.evaluate("igs.player.pip.setShown(true)")
    page.evaluate("igs.player.viewpoint.turn(0.25, 0.08)")
    page.evaluate("igs.player.settled()")
    page.wait_for_timeout(1000)
    page.screenshot(path=folder / "player.jpg", quality=85, type="jpeg")
    page.evaluate("igs.player.pip.setShown(false)")
    page.evaluate("igs.player.viewpoint.reset(); igs.player.viewpoint.approach(2.2)")
    page.evaluate("igs.player.viewpoint.turn(-0.3, 0.35); igs.player.setOverlays(true, true)")
    page.click("#settings-open")
    page.evaluate("igs.player.settled()")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "player_rig.jpg", quality=85, type="jpeg")
    page.keyboard.press("Escape")
    page.evaluate("igs.player.setOverlays(false, false)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recording", type=Path, help=".fvv file with cameras")
    parser.add_argument("--runs", type=int, default=5, help="first pictures")
    parser.add_argument("--only-times", action="store_true", help="no comparison of pictures")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    arguments = parser.parse_args()
    program = os.environ.get("IGS_CHROMIUM") or shutil.which("chromium")
    if program is None:
        parser.error("no chromium; install it, or set IGS_CHROMIUM")
    path = arguments.recording
    with serving(path.parent) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        measure(browser, f"{address}/player/?recording={path.name}", path, arguments)
        browser.close()


if __name__ == "__main__":
    main()
