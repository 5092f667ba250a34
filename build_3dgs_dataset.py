"""Gaussians for every frame of a data set: `python build_3dgs_dataset.py SOURCE --out OUT
[--config build_igs_data] [key=value ...]`.

The same as `igs build`; kept under the name that users of IGS know.
"""

import sys

from igs.cli import main

if __name__ == "__main__":  # workers import this file anew
    sys.exit(main(["build", *sys.argv[1:]]))
