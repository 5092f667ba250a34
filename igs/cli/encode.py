"""`igs encode`: a run or a row of PLY files into one `.fvv` file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igs.config.fvv import FvvConfig
    from igs.fvv import FrameSequence
    from igs.fvv.weights import Weigher
    from igs.scene import Camera

EPILOG = """examples:
  igs encode outputs/demo demo.fvv
  igs encode outputs/demo demo.fvv --cameras examples/demo_scene/cameras.json --max-loss 0.1
  igs encode frames/*.ply scene.fvv --fps 25 --preset small
  igs encode outputs/demo demo.fvv --kbps 8000

--max-loss is measured by rendering the first key frames in three views. A run knows how good it is
from its held-out cameras; for PLY files, say it with --psnr (35 dB unless told).
"""
_SAMPLE = 7  # frames that a target is tried on
_VIEWS, _WEIGHING_VIEWS = 3, 6
_HOLD_MOST = 6.0  # steps, where it is weighed


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "encode",
        help="pack a run or PLY files into one .fvv file",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="+", help="output folder of a run, folder of PLYs, or PLYs")
    parser.add_argument("out", help="file to write, .fvv")
    parser.add_argument(
        "--preset", default="balanced", help="small, balanced (default), fine, live"
    )
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--kbps", type=float, help="bit rate to stay below, thousand bits a second")
    goal.add_argument("--max-loss", type=float, metavar="DB", help="most PSNR that coding may take")
    parser.add_argument("--psnr", type=float, help="quality of the Gaussians themselves, dB")
    parser.add_argument(
        "--weigh",
        action="store_true",
        help="hold longer what matters little in the rig's views; needs --cameras, takes longer",
    )
    parser.add_argument("--cameras", help="camera file of the rig; kept in the .fvv file")
    parser.add_argument("--fps", type=float, default=30.0, help="of PLY files")
    parser.add_argument("--intra-interval", type=int, metavar="FRAMES", help="between seek points")
    parser.add_argument(
        "--refine",
        type=int,
        metavar="N",
        help="steps N times coarser, the rest in a layer that can be left out",
    )
    parser.add_argument("--codec", choices=("zstd", "deflate", "raw"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Encode, and say how large it became."""
    from tqdm import tqdm

    from igs.fvv import Encoder, FvvWriter, find_frames, make_header

    sequence = find_frames(arguments.source, arguments.fps)
    _check_out(arguments.out)
    cameras = _cameras(arguments.cameras)
    weigh = _weigher(arguments, cameras)
    config = _config(arguments, sequence, cameras, weigh)
    first = next(sequence.frames(1))
    header = make_header(first.gaussians, config, cameras=cameras, background=sequence.background)
    encoder = Encoder(header, config, weigh)
    with FvvWriter(arguments.out, header) as writer:
        for frame in tqdm(sequence.frames(), total=sequence.num_frames, unit="frame"):
            writer.write(encoder.push(frame))
    size = Path(arguments.out).stat().st_size
    per_frame = size / sequence.num_frames
    print(f"{arguments.out}: {sequence.num_frames} frames, {size} bytes, {per_frame:.0f} a frame")
    return 0


def _check_out(out: str) -> None:
    if Path(out).suffix != ".fvv":
        raise ValueError(f"{out}: the file to write comes last and must end in .fvv")


def _cameras(path: str | None) -> dict[str, Camera]:
    from igs.scene import read_rig

    return {} if path is None else dict(read_rig(path, undistort=True).cameras)


def _weigher(arguments: argparse.Namespace, cameras: dict[str, Camera]) -> Weigher | None:
    from igs.fvv.quality import sample_views
    from igs.fvv.weights import Weigher

    if not arguments.weigh:
        return None
    if not cameras:
        raise ValueError("--weigh looks through the rig's views: name its file with --cameras")
    return Weigher(sample_views(list(cameras.values()), _WEIGHING_VIEWS))


def _config(
    arguments: argparse.Namespace,
    sequence: FrameSequence,
    cameras: dict[str, Camera],
    weigh: Weigher | None,
) -> FvvConfig:
    from dataclasses import replace

    from igs.fvv import PRESETS
    from igs.fvv.quality import DEFAULT_PSNR, config_for_loss, config_for_rate, sample_views

    if arguments.preset not in PRESETS:
        raise ValueError(f"--preset {arguments.preset}: choose from {', '.join(PRESETS)}")
    config = PRESETS[arguments.preset]
    if arguments.intra_interval is not None:
        config = replace(config, intra_interval=arguments.intra_interval)
    if arguments.refine is not None:
        config = replace(config, refine=arguments.refine)
    if weigh is not None:
        config = replace(config, hold_most=max(_HOLD_MOST, config.hold))
    if arguments.codec is not None:
        config = replace(config, codec=arguments.codec)
    if arguments.kbps is None and arguments.max_loss is None:
        return config
    sample = list(sequence.frames(_SAMPLE))
    if arguments.kbps is not None:
        times = [frame.seconds for frame in sample]
        fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else sequence.fps
        return config_for_rate(sample, config, kbps=arguments.kbps, fps=fps)
    if not cameras:
        raise ValueError("--max-loss is measured by rendering: name the rig's file with --cameras")
    psnr = arguments.psnr or sequence.psnr or DEFAULT_PSNR
    return config_for_loss(
        sample,
        sample_views(list(cameras.values()), _VIEWS),
        config,
        max_loss=arguments.max_loss,
        psnr=psnr,
        background=sequence.background,
        weigh=weigh,
    )
