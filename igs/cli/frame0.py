"""`igs frame0`: photographs of one instant in, Gaussians out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igs.config.frame0_run import Frame0RunConfig

PRESETS = ("plain", "igs", "fast", "rig")
EPILOG = """examples:
  igs frame0 SCENE --out outputs/scene
  igs frame0 SCENE --out outputs/scene --preset fast --compress
  igs frame0 SCENE --out outputs/scene --held-out cam00 --resolution 2 frame0.iterations=3000
  igs frame0 NEXT --out outputs/next --init outputs/scene
  igs frame0 SCENE --out outputs/scene --resume

SCENE holds sparse/0 (COLMAP), cameras.json or transforms.json, and images/ (or videos/, of which
the first frame is taken). --resume needs the words the run was started with.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "frame0",
        help="optimise the Gaussians of one instant from photographs",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scene", help="folder of the scene")
    parser.add_argument("--out", required=True, help="folder to write to")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--preset",
        choices=PRESETS,
        help="fast (the default), plain (as published), igs (as released) or rig (a dome)",
    )
    source.add_argument("--config", help="YAML file instead of a preset")
    parser.add_argument(
        "--init", metavar="PLY", help="go on from a previous frame: its PLY or its output folder"
    )
    parser.add_argument("--held-out", nargs="*", metavar="CAMERA", help="cameras that only measure")
    parser.add_argument("--resolution", type=int, help="1, 2, 4, 8 (divisor), -1 or a width")
    parser.add_argument("--compress", action="store_true", help="also prune, as LightGaussian does")
    parser.add_argument("--camera-colors", action="store_true", help="learn a colour per camera")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings that win over the preset"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Optimise, and print the figures and where things are."""
    from igs.cli.progress import ProgressBars
    from igs.config import load_config
    from igs.config.frame0_run import Frame0RunConfig
    from igs.config.resources import config_path
    from igs.frame0.run import run_frame0
    from igs.stream import Progress

    preset = arguments.config or f"frame0_{arguments.preset or 'fast'}"
    # A camera called 10=x would be taken for a setting; nobody calls one so.
    names = [word for word in arguments.held_out or () if "=" not in word]
    words = [word for word in arguments.held_out or () if "=" in word] + arguments.overrides
    config = load_config(Frame0RunConfig, config_path(preset), words)
    config.root, config.output = arguments.scene, arguments.out
    if arguments.held_out is not None:
        config.held_out = names
    if arguments.resolution is not None:
        config.resolution = arguments.resolution
    if arguments.init is not None:
        config.start = str(_gaussians(Path(arguments.init)))
    config.compression |= arguments.compress
    config.frame0.camera_color.enabled |= arguments.camera_colors
    if arguments.resume and (done := _finished(config)) is not None:
        print("finished already; nothing is left to do")
        _print(done)
        return 0
    with ProgressBars() as bars:
        report = run_frame0(
            config,
            resume=arguments.resume,
            progress=lambda stage, done, total, note: bars(Progress(stage, done, total, note)),
        )
    _print(report)
    print(f"{'model:':12} {config.output}")
    return 0


def _gaussians(path: Path) -> Path:
    """The PLY of a path; of a run's folder, that of its last iteration."""
    from igs.scene import GaussianModelFolder

    return GaussianModelFolder(path).find_ply() if path.is_dir() else path


def _finished(config: Frame0RunConfig) -> dict[str, Any] | None:
    """The figures of a finished run of these settings; None where there is something to do.

    Raises:
        ConfigError: the finished run had other settings; names the first.
    """
    from dataclasses import asdict

    from igs.config.difference import first_difference
    from igs.config.frame0_run import Frame0RunConfig
    from igs.config.load import ConfigError, load_config
    from igs.frame0.attempts import MAY_DIFFER
    from igs.frame0.run import CHECKPOINT, REPORT
    from igs.scene.files import read_json

    root = Path(config.output)
    if (root / CHECKPOINT).is_file() or not (root / REPORT).is_file():
        return None
    before = load_config(Frame0RunConfig, root / "config.yaml")
    found = first_difference(asdict(before), asdict(config), MAY_DIFFER)
    if found is not None:
        key, old, new = found
        raise ConfigError(
            f"{root}: a run with {key}={old} is finished here, now it is {new}; choose another "
            "--out, or leave --resume away to move it aside"
        )
    return read_json(root / REPORT)


def _print(report: dict[str, Any]) -> None:
    """One line a model: count, bytes and the figures of the test views."""
    print(f"{report['iterations']} iterations in {report['seconds_training']:.0f} s")
    if "attempts" in report:
        print(_attempts(report["attempts"]))
    for name in ("plain", "compressed"):
        figures = report.get(name)
        if figures is None:
            continue
        line = f"{name + ':':12} {figures['gaussians']} Gaussians, {figures['bytes']} bytes"
        mean = figures["test"].get("mean")
        if mean is not None:
            line += (
                f", PSNR {mean['psnr']:.2f} dB (colour-aligned {mean['psnr_colour_aligned']:.2f}), "
                f"SSIM {mean['ssim']:.4f}"
            )
        print(line)


def _attempts(attempts: dict[str, Any]) -> str:
    """Every attempt's seed and validation figure, and which was kept."""
    figures = {run["seed"]: run["validation_psnr"] for run in attempts["runs"]}
    listed = (f"{s} {'no figure' if p is None else f'{p:.2f} dB'}" for s, p in figures.items())
    return f"{'attempts:':12} by seed {', '.join(listed)}; kept {attempts['kept_seed']}"
