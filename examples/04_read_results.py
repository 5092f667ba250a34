"""Run a short stream from a config and read what it wrote.

python examples/04_read_results.py
"""

import json
import os
from pathlib import Path

from igs.config import RunConfig, load_config
from igs.config.resources import config_path
from igs.gaussians import read_ply
from igs.stream import StreamSession
from igs.stream.results import table

QUICK = os.environ.get("IGS_EXAMPLE_QUICK") == "1"
words = [
    f"data.root={Path(__file__).parent / 'demo_scene'}",
    "output=outputs/example",
    "data.num_frames=11",
]
if QUICK:
    words += [
        "data.size=[80,60]",
        "data.num_frames=4",
        "schedule.interval=2",
        "frame0.iterations=5",
        "frame0.init.max_points=500",
        "refine.iterations=3",
    ]

config = load_config(RunConfig, config_path("demo"), words)
StreamSession(config).run()

folder = Path(config.output)
results = json.loads((folder / "results.json").read_text())
print(table({"example": results["summary"]}))
worst = min(results["frames"], key=lambda frame: min(frame["psnr"].values()))
print(f"worst frame: {worst['index']} {worst['psnr']}")
for path in sorted((folder / "gaussians").glob("*.ply")):
    print(f"{path}: {len(read_ply(path))} Gaussians, {path.stat().st_size / 1e6:.1f} MB")
