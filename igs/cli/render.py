"""`igs render`: a PLY of Gaussians along a camera path, as a video."""

from __future__ import annotations

import argparse
from typing import Any

PATHS = ("spiral", "orbit", "tour", "cameras")


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "render", help="render Gaussians along a camera path", description=__doc__
    )
    parser.add_argument("ply", help="Gaussians, as any program of this family writes them")
    parser.add_argument("--cameras", required=True, help="cameras.json of the rig")
    parser.add_argument("--out", required=True, help="video to write, .mp4")
    parser.add_argument("--path", choices=PATHS, default="spiral")
    parser.add_argument("--views", type=int, default=120, help="frames of the video")
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--background", type=float, nargs=3, default=(0.0, 0.0, 0.0))
    parser.add_argument("--device", default="cpu")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Render every view of the path and write the video."""
    import torch
    from tqdm import tqdm

    from igs.config.validate import check_device
    from igs.gaussians import read_ply
    from igs.render import render
    from igs.render.video import VideoWriter
    from igs.scene import read_rig

    check_device(arguments.device)
    gaussians = read_ply(arguments.ply).to(arguments.device)
    cameras = list(read_rig(arguments.cameras, undistort=True).cameras.values())
    if arguments.size is not None:
        cameras = [camera.resized(*arguments.size) for camera in cameras]
    with VideoWriter(arguments.out, arguments.fps) as writer, torch.no_grad():
        for camera in tqdm(_path(arguments, cameras), unit="frame"):
            writer.add(render(gaussians, camera, arguments.background).color)
    print(arguments.out)
    return 0


def _path(arguments: argparse.Namespace, cameras: list) -> list:
    from igs.render.paths import focus_point
    from igs.stream.free_view import camera_path

    if arguments.path == "cameras":
        return cameras
    return camera_path(arguments.path, cameras, arguments.views, focus_point(cameras))
