"""Stream a folder of synchronised videos frame by frame, as a program of your own would.

python examples/03_stream_videos.py [folder with cameras.json and a video per camera]
"""

import os
import sys
from pathlib import Path

import torch

from igs.config import RunConfig
from igs.frame0 import make_frame0
from igs.scene import VideoFolderSource, read_rig
from igs.stream import MultiViewEngine

QUICK = os.environ.get("IGS_EXAMPLE_QUICK") == "1"
root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "demo_scene")

rig = read_rig(root / "cameras.json")
source = VideoFolderSource(
    root, rig, size=(80, 60) if QUICK else None, num_frames=7 if QUICK else 31
)

config = RunConfig()
config.frame0.iterations = 5 if QUICK else 600
config.frame0.init.max_points = 500 if QUICK else 15_000
config.refine.iterations = 3 if QUICK else 50

first = next(source.frames())
training = [camera for name, camera in source.cameras.items() if name not in rig.held_out]
background = torch.zeros(3)
gaussians = make_frame0(
    config.frame0, training, first.images, root=root, ply=None, background=background, seed=0
)

engine = MultiViewEngine(config, gaussians, held_out=rig.held_out)
for frame in engine.run(source):
    kind = "key" if frame.is_key else "   "
    print(f"frame {frame.index:3d} {kind} {len(frame.gaussians):6d} Gaussians", dict(frame.seconds))
