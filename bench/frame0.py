"""Frame 0 by preset: time, quality on cameras held out, Gaussians and bytes, one line a run.

    python bench/frame0.py --data DIR [--scenes steak ball fox fountain] [--presets plain fast]
        [--resolution 1] [--iterations N] [--compress] [--threads N] [--out outputs/bench_frame0]
        [key=value ...]

DIR holds the folders n3dv_flame_steak_frame0, panoptic_basketball, fox and fountain_p11. Settings
apply to every run, so that an ablation is several calls with one setting each. Rows are printed as
they come and kept as JSON lines in OUT/results.jsonl.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igs.config import load_config
from igs.config.frame0_run import Frame0RunConfig
from igs.config.resources import config_path
from igs.frame0.run import run_frame0


@dataclass(frozen=True)
class Scene:
    """A folder, which cameras are held out, and settings that the capture itself asks for."""

    folder: str
    words: tuple[str, ...] = ()


SCENES = {
    "steak": Scene("n3dv_flame_steak_frame0", ("held_out=[cam00]",)),
    "ball": Scene("panoptic_basketball"),
    "fox": Scene("fox", ("split=eighth",)),
    "fountain": Scene("fountain_p11", ("split=eighth",)),
}
HEADER = (
    f"{'scene':9} {'preset':7} {'model':11} {'its':>6} {'s':>6} {'PSNR':>6} {'aligned':>7} "
    f"{'SSIM':>7} {'Gaussians':>9} {'bytes':>10} {'normals':>8}  settings"
)


def row(scene: str, preset: str, model: str, seconds: float, report: Any, words: Any) -> str:
    """One line of the table."""
    figures = report[model]
    mean = figures["test"]["mean"]
    return (
        f"{scene:9} {preset:7} {model:11} {report['iterations']:6d} {seconds:6.0f} "
        f"{mean['psnr']:6.2f} {mean['psnr_colour_aligned']:7.2f} {mean['ssim']:7.4f} "
        f"{figures['gaussians']:9d} {figures['bytes']:10d} "
        f"{figures['normal_angle_degrees']:7.1f}°  {' '.join(words)}"
    )


def measure(scene: str, preset: str, options: argparse.Namespace) -> None:
    """One run; prints its rows and appends them to the file."""
    place = SCENES[scene]
    words = [*place.words, *options.overrides]
    config = load_config(Frame0RunConfig, config_path(f"frame0_{preset}"), words)
    config.root = str(Path(options.data) / place.folder)
    config.output = str(Path(options.out) / f"{scene}_{preset}")
    config.resolution, config.threads, config.render = options.resolution, options.threads, []
    config.compression |= options.compress
    if options.iterations is not None:
        config.frame0.iterations = options.iterations
    started = time.perf_counter()
    report = run_frame0(config)
    seconds = time.perf_counter() - started
    before = report["seconds_before_training"] + report["seconds_training"]
    models = [("plain", before)]
    if "compressed" in report:
        models.append(("compressed", before + report["compressed"]["seconds"]))
    for model, spent in models:
        print(row(scene, preset, model, spent, report, options.overrides), flush=True)
    record = {"scene": scene, "preset": preset, "seconds": seconds, "words": words, **report}
    with open(Path(options.out) / "results.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", default="outputs/bench_frame0")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--presets", nargs="+", default=["plain", "fast"])
    parser.add_argument("--resolution", type=int, default=1)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_intermixed_args()
    # Words behind an option that takes several are its own to argparse; settings have a "=".
    for name in ("scenes", "presets"):
        if any("=" in word for word in getattr(options, name)):
            parser.error(f"put key=value before --{name}")
    print(HEADER, flush=True)
    for scene in options.scenes:
        for preset in options.presets:
            try:
                measure(scene, preset, options)
            except (ValueError, OSError) as error:
                print(f"{scene:9} {preset:7} failed: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
