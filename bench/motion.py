"""Seconds that AGM-Net needs, stage by stage, on random input and untrained weights.

python bench/motion.py --size 256 --anchors 1024
python bench/motion.py --size 512 --anchors 8192 --repeat 1
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from igs.gaussians import Gaussians
from igs.motion import AGMConfig, AGMNet, KeyState, warp
from igs.motion.anchors import farthest_points, first_point, inside_box, nearest_anchors


class Stages:
    """Seconds by stage, one list per stage; synchronises with the device before every reading."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        self._wait()
        start = time.perf_counter()
        result = function(*args, **kwargs)
        self._wait()
        self.seconds[name].append(time.perf_counter() - start)
        return result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def make_input(args: argparse.Namespace, device: torch.device) -> tuple[Gaussians, dict, Any]:
    """A ball of Gaussians in front of a row of cameras, and one candidate frame."""
    random = torch.Generator().manual_seed(0)
    means = torch.randn(args.points, 3, generator=random) * 2 + torch.tensor([0.0, 0, 12])
    gaussians = Gaussians(
        means=means,
        log_scales=torch.full((args.points, 3), -4.0),
        quats=torch.randn(args.points, 4, generator=random),
        opacity_logits=torch.zeros(args.points),
        sh=torch.zeros(args.points, 1, 3),
    ).to(device)
    poses = torch.eye(4).repeat(args.views, 1, 1)
    poses[:, 0, 3] = torch.linspace(-2, 2, args.views)
    views = {
        "images": torch.rand(args.views, 3, args.size, args.size, generator=random),
        "depth": torch.full((args.views, 240, 320), 12.0),
        "world_to_camera": poses,
        "fov": torch.full((args.views, 2), 1.0),
        "box": torch.tensor([[-9.0, -9, 3], [9, 9, 21]]),
    }
    next_images = torch.rand(1, args.views, 3, args.size, args.size, generator=random)
    return gaussians, {k: v.to(device) for k, v in views.items()}, next_images.to(device)


def run_key(stages: Stages, network: AGMNet, gaussians: Gaussians, views: dict) -> KeyState:
    """One key frame: its parts, then all of it."""
    points = gaussians.means[inside_box(gaussians.means, views["box"])]
    count = network.config.anchors
    rows = stages("key: anchors", farthest_points, points, count, first_point(points))
    neighbours = network.config.neighbours
    stages("key: neighbours", nearest_anchors, points, points[rows], neighbours)
    stages("key: encoder", network.flow.encode, views["images"] * 255)
    return stages("key: all", network.encode_key, gaussians, **views)


def run_candidate(
    stages: Stages, network: AGMNet, key: KeyState, images: torch.Tensor, gaussians: Gaussians
) -> None:
    """One candidate: its parts, then all of it."""
    encoded = stages("candidate: encoder", network.flow.encode, images[0] * 255)
    related = stages("candidate: flow transformer", network.flow.relate, key.features, encoded)
    maps = stages("candidate: motion maps", network.maps, *related)
    maps = stages("candidate: modulated norm", network.condition, maps, key.shift, key.scale)
    lifted = stages("candidate: lift", network._lift, [key], maps)
    moved = stages("candidate: anchor transformer", network._relate_anchors, lifted)
    stages("candidate: interpolate and decode", network._decode, key, moved[0])
    motion = stages("candidate: all", network.predict, key, images)[0]
    stages("candidate: warp", warp, gaussians, motion)


def main() -> None:
    """Print median seconds by stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", choices=["full", "small"], default="full")
    parser.add_argument("--size", type=int, default=512, help="side of the network's images")
    parser.add_argument("--anchors", type=int, default=8192)
    parser.add_argument("--points", type=int, default=60_000, help="Gaussians in the box")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    preset = AGMConfig.small() if args.preset == "small" else AGMConfig()
    config = replace(preset, network_size=args.size, anchors=args.anchors)
    network = AGMNet(config).eval().to(device)
    gaussians, views, next_images = make_input(args, device)
    stages = Stages(device)
    with torch.no_grad():
        for run in range(args.repeat + 1):
            if run == 1:
                stages.seconds.clear()  # the first run warms up
            key = run_key(stages, network, gaussians, views)
            run_candidate(stages, network, key, next_images, gaussians)
    print(
        f"{args.preset}, {args.size} x {args.size}, {args.views} views, {len(key.anchors)} anchors,"
        f" {len(key.inside)} Gaussians, {device}, {args.threads} threads, torch {torch.__version__}"
    )
    for name, seconds in stages.seconds.items():
        print(f"{name:36s}{statistics.median(seconds):10.3f} s")


if __name__ == "__main__":
    main()
