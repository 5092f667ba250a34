"""Write the stream that `player_decode.mjs` measures: the synthetic scene of `fvv.py`.

python bench/player_decode.py OUT.fvv [--gaussians 150000] [--frames 60] [--preset balanced]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from fvv import Stream

from igs.config.fvv import PRESETS
from igs.fvv import Encoder, FvvWriter, make_header


def main() -> None:
    """Encode the stream."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", help=".fvv file to write")
    parser.add_argument("--gaussians", type=int, default=150_000)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced")
    parser.add_argument("--refine", type=int, default=1, help="see docs/fvv.md, section 8")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(PRESETS[arguments.preset], refine=arguments.refine)
    stream = Stream(arguments.gaussians, arguments.frames)
    frames = iter(stream)
    first = next(frames)
    cameras = {camera.name: camera for camera in stream.cameras}
    header = make_header(first.gaussians, config, cameras=cameras)
    encoder = Encoder(header, config)
    with FvvWriter(arguments.out, header) as writer:
        writer.write(encoder.push(first))
        for frame in frames:
            writer.write(encoder.push(frame))
    print(f"{arguments.out}: {arguments.frames} frames, {writer.num_bytes / 1000:.0f} KB")


if __name__ == "__main__":
    main()
