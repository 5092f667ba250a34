"""`igs encode`: a run or a row of PLY files into one `.fvv` file."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igs.config.fvv import FvvConfig
    from igs.fvv import FrameSequence, SourceFrame
    from igs.fvv.weights import Weigher
    from igs.scene import Camera

logger = logging.getLogger(__name__)

EPILOG = """examples:
  igs encode outputs/demo demo.fvv
  igs encode outputs/demo demo.fvv --cameras examples/demo_scene/cameras.json --max-loss 0.1
  igs encode frames/*.ply scene.fvv --fps 25 --preset small
  igs encode outputs/demo demo.fvv --kbps 8000

--max-loss is measured by rendering the first key frames in three views. A run knows how good it is
from its held-out cameras; for PLY files, say it with --psnr (35 dB unless told).
"""
_ATTEMPTS = 5  # at a bit rate
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
    goal.add_argument(
        "--kbps", type=float, help="mean bit rate to stay below, thousand bits a second"
    )
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
    """Encode, and say how large it became; 1 if a bit rate that was asked for is exceeded."""
    from tqdm import tqdm

    from igs.fvv import Encoder, FvvWriter, find_frames, make_header
    from igs.fvv.quality import coarser_for_rate

    sequence = find_frames(arguments.source, arguments.fps)
    _check_out(arguments.out)
    cameras = _cameras(arguments.cameras)
    weigh = _weigher(arguments, cameras)
    config = _config(arguments, sequence, cameras, weigh)
    first = next(sequence.frames(1))
    for attempt in range(_ATTEMPTS):
        header = make_header(
            first.gaussians, config, cameras=cameras, background=sequence.background
        )
        encoder, last = Encoder(header, config, weigh), first
        with FvvWriter(arguments.out, header) as writer:
            for frame in tqdm(sequence.frames(), total=sequence.num_frames, unit="frame"):
                writer.write(encoder.push(frame))
                last = frame
        size = Path(arguments.out).stat().st_size
        rate = 8e-3 * size / _seconds(sequence, first, last)
        # The first frames told what to expect of the others; the file tells what became of it.
        if arguments.kbps is None or rate <= arguments.kbps or attempt == _ATTEMPTS - 1:
            break
        logger.info("%.0f kbit/s, above %g: once more, coarser", rate, arguments.kbps)
        config = coarser_for_rate(config, rate, arguments.kbps)
    per_frame = size / sequence.num_frames
    print(
        f"{arguments.out}: {sequence.num_frames} frames, {size} bytes, {per_frame:.0f} a frame, "
        f"{rate:.0f} kbit/s"
    )
    if arguments.kbps is not None and rate > arguments.kbps:
        print(f"igs: {arguments.out}: above --kbps {arguments.kbps:g}", file=sys.stderr)
        return 1
    return 0


def _seconds(sequence: FrameSequence, first: SourceFrame, last: SourceFrame) -> float:
    """How long the stream plays, its last frame included."""
    count = sequence.num_frames
    if count < 2:
        return 1 / sequence.fps
    return (last.seconds - first.seconds) * count / (count - 1)


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
        return config_for_rate(
            sample, config, kbps=arguments.kbps, fps=fps, num_frames=sequence.num_frames
        )
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
