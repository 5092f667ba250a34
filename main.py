"""Training of AGM-Net: `accelerate launch --config_file acc_cfg/default_config.yaml main.py
--config configs/train.yaml [key=value ...]`.

The same as `igs train`; kept under the name that users of IGS know.
"""

import sys

from igs.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
