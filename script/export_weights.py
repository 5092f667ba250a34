"""Trained weights to the files that ship: half precision, with the number of anchors to use.

    python script/export_weights.py outputs/train_small/2 ckpt/igs_small --anchors 4096

Writes `model.safetensors` (AGM-Net with its flow features) and `flow.safetensors` (GMFlow alone)
and prints their sizes and checksums. Weights do not depend on the number of anchors: training is
cheaper with fewer, streaming better with more.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from gmflow import GMFlow, save_weights

from igs.motion import find_weights, load_agm, save_agm
from igs.motion.weights import sha256


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="a checkpoint of igs train")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument(
        "--anchors", type=int, help="anchors to stream with; as trained if left out"
    )
    arguments = parser.parse_args()
    network = load_agm(find_weights(arguments.source))
    if arguments.anchors is not None:
        network.config = replace(network.config, anchors=arguments.anchors)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    save_agm(arguments.folder / "model.safetensors", network, dtype=torch.float16)
    if isinstance(network.flow, GMFlow):
        save_weights(arguments.folder / "flow.safetensors", network.flow.half())
    for path in sorted(arguments.folder.glob("*.safetensors")):
        print(f"{path}  {path.stat().st_size} bytes  sha256 {sha256(path)}")


if __name__ == "__main__":
    main()
