"""Feed the reader of containers with a million damaged inputs: each must end in an error or frames.

    python bench/fvv_fuzz.py [--inputs 1000000] [--seed 0]

Four kinds in turn: bytes flipped in a file, a file cut and pasted together, payloads changed behind
right checksums (which reaches the decoder proper), and random bytes. Any other exception ends the
run with the seed of the input that caused it; the slowest input and the peak of memory are printed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from igs.fvv import (
    Decoder,
    Encoder,
    FvvConfig,
    FvvError,
    FvvReader,
    FvvWriter,
    Limits,
    SourceFrame,
    StreamHeader,
    make_header,
)
from igs.fvv.chunks import FRAME, Chunk, make_chunk
from igs.gaussians import Gaussians
from igs.metrics.memory import peak_memory_mb

LIMITS = Limits(gaussians=10_000, chunk_bytes=1 << 20, header_bytes=1 << 16)
KINDS = ("flip", "splice", "payload", "random")


def tiny_stream(seed: int = 0, count: int = 12) -> list[SourceFrame]:
    """Three frames: intra, a candidate, a key frame that lost and gained some."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 1, shape).astype(np.float32))

    first = Gaussians(
        draw(count, 3), draw(count, 3), draw(count, 4), draw(count), draw(count, 4, 3)
    )
    shifted = first.replace(means=first.means + 0.1)
    key = Gaussians.concatenate(
        [shifted.select(torch.arange(2, count)), first.select(torch.arange(3))]
    )
    return [
        SourceFrame(0, 0.0, first),
        SourceFrame(1, 0.1, shifted, is_key=False, same_rows=True),
        SourceFrame(2, 0.2, key.replace(sh=key.sh * 1.1)),
    ]


class Fuzzer:
    """Makes and tries inputs, each from a seed of its own.

    Args:
        folder: for files.
    """

    def __init__(self, folder: Path) -> None:
        self.path, frames = folder / "case.fvv", tiny_stream()
        self.header: StreamHeader = make_header(frames[0].gaussians, FvvConfig())
        encoder = Encoder(self.header, FvvConfig(codec="raw"))
        self.coded: list[list[Chunk]] = [encoder.push(frame) for frame in frames]
        encoder = Encoder(self.header, FvvConfig(level=1))
        with FvvWriter(self.path, self.header) as writer:
            for frame in frames:
                writer.write(encoder.push(frame))
        self.data = self.path.read_bytes()

    def attempt(self, seed: int) -> bool:
        """Try one input; whether anything was decoded.

        Raises:
            Exception: whatever is not `FvvError`: a fault of the reader.
        """
        rng = np.random.default_rng(seed)
        kind = KINDS[seed % len(KINDS)]
        try:
            return self._payload(rng) if kind == "payload" else self._file(rng, kind)
        except FvvError:
            return False

    def _payload(self, rng: np.random.Generator) -> bool:
        decoder, which = Decoder(self.header, LIMITS), int(rng.integers(3))
        for chunks in self.coded[: which + 1]:
            last = chunks is self.coded[which]
            decoder.decode([_changed(c, rng) for c in chunks] if last else chunks)
        return True

    def _file(self, rng: np.random.Generator, kind: str) -> bool:
        data = bytearray(self.data)
        if kind == "flip":
            for at in rng.integers(0, len(data), rng.integers(1, 8)):
                data[at] ^= int(rng.integers(1, 256))
        elif kind == "splice":
            a, b = sorted(rng.integers(0, len(data), 2))
            data = data[:b] + data[a:] if rng.random() < 0.5 else data[:a] + data[b:]
        else:
            kept = int(rng.integers(0, 60))
            data = data[:kept] + rng.bytes(int(rng.integers(0, 400)))
        self.path.write_bytes(bytes(data))
        with FvvReader(self.path, LIMITS) as reader:
            return sum(1 for _ in reader.frames()) > 0


def _changed(chunk: Chunk, rng: np.random.Generator) -> Chunk:
    payload = bytearray(chunk.payload)
    for at in rng.integers(0, len(payload), rng.integers(0, 5)):
        payload[at] = int(rng.choice([0, 1, 2, 4, 18, 127, 128, 255, int(rng.integers(256))]))
    if rng.random() < 0.1:
        del payload[int(rng.integers(len(payload))) :]
    old = chunk.header
    return make_chunk(
        bytes(payload),
        kind=FRAME,
        layer=old.layer,
        flags=old.flags,
        frame=old.frame,
        refers_to=old.refers_to,
    )


def main() -> None:
    """Run as many inputs as asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the reader tells of each damage
    np.seterr(all="ignore")
    decoded, slowest = 0, (0.0, 0)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        for seed in tqdm(range(arguments.seed, arguments.seed + arguments.inputs), mininterval=5):
            start = time.process_time()
            try:
                decoded += fuzzer.attempt(seed)
            except Exception:
                print(f"input of seed {seed} is not handled")
                raise
            slowest = max(slowest, (time.process_time() - start, seed))
    print(f"{arguments.inputs} inputs, {decoded} of them gave frames, none crashed")
    print(f"slowest: {1000 * slowest[0]:.1f} ms (seed {slowest[1]})")
    print(f"peak of memory: {peak_memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
