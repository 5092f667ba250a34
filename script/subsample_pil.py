"""Make the images at the working resolution: ``images`` to ``images_r2`` in every frame.

    python script/subsample_pil.py -r data/flame_steak --target_size 1352 1014

Resized by PIL (bicubic with anti-aliasing), as the original does and as `igs prepare` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from igs.cli import EXIT_ERROR, one_line
from igs.prepare.resize_frames import resize_frames
from igs.scene import resize_image


def main(argv: list[str] | None = None) -> int:
    """Resize the images of every frame of a scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-r", "--root", type=Path, required=True, help="the scene's folder")
    parser.add_argument(
        "--target_size",
        "--target-size",
        type=int,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="default: half of each image, rounded to even, as training with -r 2 expects",
    )
    parser.add_argument("--source", default="images", help="folder of each frame to read")
    parser.add_argument("--target", default="images_r2", help="folder of each frame to write")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    arguments = parser.parse_args(argv)
    size = None if arguments.target_size is None else tuple(arguments.target_size)
    try:
        written = resize_frames(
            arguments.root,
            arguments.source,
            arguments.target,
            size,
            resize_image,
            arguments.workers,
        )
    except (ValueError, OSError) as error:
        print(f"subsample_pil: error: {one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    print(f"{written} images written to {arguments.root}/colmap_*/{arguments.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
