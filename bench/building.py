"""Speed-up of several workers over one when building frames, and what the engine itself costs.

    python bench/building.py [--engine local ray] [--workers 1 2] [--frames 6] [--size 192 144]
        [--iterations 400] [--rounds 1] [--out outputs/bench_building]

A scene of coloured balls is drawn and built with each number of workers in turn, one thread each.
`s` is the wall clock of the whole run, start of the workers included; `work` the sum over frames of
what a worker spent on them; `speed-up` that of the wall clock against the first number of workers.
On a machine that does other things meanwhile, compare rows of one round only.
"""

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from igs.building.log import read_events
from igs.building.run import build_3dgs_dataset
from igs.config.building import BuildConfig
from igs.config.frame0 import InitConfig
from igs.gaussians import Gaussians
from igs.render import render
from igs.render.images import to_uint8
from igs.scene import Box, Camera, Rig, SceneFolder, write_camera_object, write_image

CAMERAS = 6
BALLS = 600
HEADER = f"{'engine':7} {'workers':>7} {'frames':>6} {'s':>8} {'work':>8} {'speed-up':>9}"


def write_scene(root: Path, frames: int, width: int, height: int) -> None:
    """Balls that drift to the right before a row of cameras."""
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(BALLS, 3, generator=generator) * 0.5 + torch.tensor([0, 0, 3.0])
    colors = torch.randn(BALLS, 1, 3, generator=generator)
    for frame in range(frames):
        balls = Gaussians(
            means=means + torch.tensor([0.03 * frame, 0, 0]),
            log_scales=torch.full((BALLS, 3), -2.8),
            quats=torch.tensor([1.0, 0, 0, 0]).repeat(BALLS, 1),
            opacity_logits=torch.full((BALLS,), 2.0),
            sh=colors,
        )
        folder = SceneFolder(root, "balls").frame_path(frame)
        cameras = [camera_at(0.25 * (i - CAMERAS / 2), width, height, i) for i in range(CAMERAS)]
        for camera in cameras:
            with torch.no_grad():
                image = to_uint8(render(balls, camera).color)
            write_image(folder / "images" / f"{camera.name}.png", image)
        write_camera_object(folder / "cameras.json", Rig.of(cameras))
    SceneFolder(root, "balls").write_box(
        Box(np.array([-1.0, -1.0, 2.0]), np.array([1.0, 1.0, 4.0]))
    )


def camera_at(x: float, width: int, height: int, number: int) -> Camera:
    """A camera that looks along z."""
    pose = np.eye(4)
    pose[0, 3] = -x
    return Camera(f"c{number}", width, height, width, width, width / 2, height / 2, pose)


def measure(config: BuildConfig, engine: str, workers: int) -> tuple[float, float, int]:
    """Wall seconds, seconds of work, and frames of one run into an empty folder."""
    output = Path(str(config.output)) / f"{engine}_{workers}"
    shutil.rmtree(output, ignore_errors=True)
    run = replace(config, output=str(output))
    run.workers.engine, run.workers.count = engine, workers
    started = time.perf_counter()
    result = build_3dgs_dataset(run)
    seconds = time.perf_counter() - started
    if result.failures:
        raise RuntimeError(f"{result.failures_file}: frames failed")
    return (
        seconds,
        sum(e["seconds"] for e in read_events(output) if e["event"] == "built"),
        (result.built),
    )


def main() -> int:
    """Draw, build, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", nargs="+", choices=("local", "ray"), default=["local"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 144))
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("outputs/bench_building"))
    arguments = parser.parse_args()
    source = arguments.out / "source"
    shutil.rmtree(source, ignore_errors=True)
    write_scene(source, arguments.frames, *arguments.size)
    config = BuildConfig(source=str(source), output=str(arguments.out))
    config.frame0.iterations = arguments.iterations
    config.frame0.init = InitConfig(mode="random", max_points=2000, depth_range=[1.5, 4.5])
    config.compress.recover.iterations = arguments.iterations // 10
    config.workers.device, config.workers.threads = "cpu", 1
    config.pairs.enabled = False
    print(HEADER)
    for _ in range(arguments.rounds):
        for engine in arguments.engine:
            first: float | None = None
            for workers in arguments.workers:
                seconds, work, frames = measure(config, engine, workers)
                first = first or seconds
                print(
                    f"{engine:7} {workers:7d} {frames:6d} {seconds:8.1f} {work:8.1f} "
                    f"{first / seconds:9.2f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
