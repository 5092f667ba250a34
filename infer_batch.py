"""Batch streaming: `python infer_batch.py --config configs/demo.yaml [key=value ...]`.

The same as `igs stream`; kept under the name that users of IGS know.
"""

import sys

from igs.cli import main

if __name__ == "__main__":
    sys.exit(main(["stream", *sys.argv[1:]]))
