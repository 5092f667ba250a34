"""Render the demo scene: thirteen synchronous videos of a room in motion, and their cameras.

    python script/make_demo_scene.py --out examples/demo_scene

Needs Mitsuba 3 and LLVM (``pip install "mitsuba>=3.5"``, ``apt-get install libllvm19``). An
interrupted run goes on where it stopped, as long as the scratch folder is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from demo_scene.cameras import HELD_OUT, Camera, rig, to_json
from demo_scene.render import (
    SEED,
    Renderer,
    RendererMissingError,
    image_path,
    load_mitsuba,
    render_all,
    save_png,
)
from demo_scene.stage import motion_box
from demo_scene.verify import verify
from demo_scene.video import load_image, write_video

FPS = 30


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Render the demo scene.")
    parser.add_argument("--out", type=Path, required=True, help="folder for videos and cameras")
    parser.add_argument("--frames", type=int, default=60, help="at 30 per second")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(320, 240), metavar=("W", "H"), help="even pixels"
    )
    parser.add_argument(
        "--spp", type=int, default=49, help="samples per pixel: the square of a prime"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--scratch",
        type=Path,
        help="rendered images are kept here; remove it when the scene changes",
    )
    arguments = parser.parse_args()
    if arguments.frames < 1 or min(arguments.size) < 2 or any(n % 2 for n in arguments.size):
        parser.error("--frames must be positive and --size two even numbers")
    if arguments.spp not in {p * p for p in (2, 3, 5, 7, 11, 13, 17, 19, 23)}:
        parser.error("--spp must be the square of a prime from 2 to 23: 4, 9, 25, 49, 121, ...")
    return arguments


def write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then rename it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_data(out: Path, scratch: Path, cameras: list[Camera], frames: int) -> None:
    """Videos, ``cameras.json``, ``bbox.json`` and a picture of the held-out view."""
    out.mkdir(parents=True, exist_ok=True)
    for camera in cameras:
        images = [image_path(scratch, frame, camera) for frame in range(frames)]
        write_video(out / f"{camera.name}.mp4", images, FPS)
    held_out = next(c for c in cameras if c.name == HELD_OUT)
    save_png(out / "frame0.png", load_image(image_path(scratch, 0, held_out)))
    write_text(out / "cameras.json", to_json(cameras, FPS, frames))
    box = np.round(motion_box(np.arange(frames) / FPS), 3).tolist()
    write_text(out / "bbox.json", json.dumps({"demo_scene": box}) + "\n")


def scratch_folder(arguments: argparse.Namespace) -> Path:
    """The given scratch folder, or one of the system's that belongs to these settings."""
    width, height = arguments.size
    name = f"demo_scene_{width}x{height}_{arguments.spp}spp"
    return arguments.scratch or Path(tempfile.gettempdir()) / name


def claim(scratch: Path, arguments: argparse.Namespace) -> str | None:
    """Note the settings in the scratch folder; what is wrong if it holds other images."""
    settings = {"size": list(arguments.size), "spp": arguments.spp, "seed": SEED}
    note = scratch / "settings.json"
    if not note.is_file():
        scratch.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(settings) + "\n")
    found = json.loads(note.read_text(encoding="utf-8"))
    if found != settings:
        return f"{scratch} holds images made with {found}, not {settings}: give another --scratch"
    return None


def main() -> int:
    """Render what is missing, write the videos, check everything."""
    arguments = parse_arguments()
    scratch = scratch_folder(arguments)
    cameras = rig(*arguments.size)
    if (problem := claim(scratch, arguments)) is not None:
        print(problem, file=sys.stderr)
        return 1
    try:
        mi = load_mitsuba(arguments.threads)
    except RendererMissingError as error:
        print(error, file=sys.stderr)
        return 1
    renderer = Renderer(mi, arguments.spp)
    render_all(renderer, cameras, arguments.frames, FPS, scratch)
    write_data(arguments.out, scratch, cameras, arguments.frames)
    figures = verify(mi, renderer, arguments.out, scratch, cameras)
    write_text(arguments.out / "verification.json", json.dumps(figures, indent=1) + "\n")
    print(f"{arguments.out}: {len(cameras)} videos of {arguments.frames} frames")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
