"""Render Gaussians from a PLY file along a camera path into a video.

python examples/01_render_ply.py [scene.ply]
"""

import os
import sys
from pathlib import Path

import torch

from igs.gaussians import Gaussians, read_ply, write_ply
from igs.render import render
from igs.render.paths import spiral_path
from igs.render.video import write_video
from igs.scene import read_rig

QUICK = os.environ.get("IGS_EXAMPLE_QUICK") == "1"
DEMO = Path(__file__).parent / "demo_scene"


def colourful_cloud(n: int = 2000) -> Gaussians:
    """A stand-in scene for those who have no PLY at hand."""
    generator = torch.Generator().manual_seed(0)
    return Gaussians(
        means=torch.randn(n, 3, generator=generator) * 0.3,
        log_scales=torch.full((n, 3), -3.5),
        quats=torch.randn(n, 4, generator=generator),
        opacity_logits=torch.zeros(n),
        sh=torch.randn(n, 1, 3, generator=generator),
    )


if len(sys.argv) > 1:
    path = Path(sys.argv[1])
else:
    path = Path("outputs/cloud.ply")
    write_ply(path, colourful_cloud())

gaussians = read_ply(path)
cameras = list(read_rig(DEMO / "cameras.json").cameras.values())
views = spiral_path(cameras, 4 if QUICK else 90, focus=gaussians.means.mean(0).numpy())
with torch.no_grad():
    frames = (render(gaussians, view, background=(1.0, 1.0, 1.0)).color for view in views)
    count = write_video("outputs/cloud.mp4", frames, fps=30)
print(f"{len(gaussians)} Gaussians, {count} frames: outputs/cloud.mp4")
