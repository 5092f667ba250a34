"""Make the 512 x 512 images of the motion network: ``images`` to ``images_512`` in every frame.

    python script/subsample.py -r data/flame_steak

The same numbers as the original: bilinear without anti-aliasing, rounded to 8 bits. `igs prepare`
writes these images too, with anti-aliasing, which is the better input for newly trained weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from igs.cli import EXIT_ERROR, one_line
from igs.prepare.resize_frames import bilinear_without_antialias, resize_frames


def main(argv: list[str] | None = None) -> int:
    """Resize the images of every frame of a scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-r", "--root", type=Path, required=True, help="the scene's folder")
    parser.add_argument("--source", default="images", help="folder of each frame to read")
    parser.add_argument("--target", default="images_512", help="folder of each frame to write")
    parser.add_argument("--size", type=int, default=512, help="width and height")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    arguments = parser.parse_args(argv)
    try:
        written = resize_frames(
            arguments.root,
            arguments.source,
            arguments.target,
            (arguments.size, arguments.size),
            bilinear_without_antialias,
            arguments.workers,
        )
    except (ValueError, OSError) as error:
        print(f"subsample: error: {one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    print(f"{written} images written to {arguments.root}/colmap_*/{arguments.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
