"""Feed the reader of containers with a million damaged inputs: each must end in an error or frames.

    python bench/fvv_fuzz.py [--inputs 1000000] [--seed 0]

Kinds in turn: bytes flipped in a file; a file cut and pasted together; random bytes; chunk headers,
index and trailer forged behind right checksums (hostile lengths, offsets, codecs, flags); stored
payloads changed behind right checksums (which reaches the decompressors); payloads changed before
they are stored (which reaches the decoder proper); and nonsense in the header's JSON. Input n is
made from seed n alone. Any exception but `FvvError`, an input that takes longer than 2 s, or memory
that grows beyond what the limits allow, ends the run with the seed that caused it.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import struct
import time
import zlib
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from igs.fvv import (
    Decoder,
    Encoder,
    FvvConfig,
    FvvError,
    FvvReader,
    Limits,
    SourceFrame,
    StreamHeader,
    make_header,
)
from igs.fvv.chunks import FRAME, HEAD, INDEX, Chunk, ChunkHeader, make_chunk, pack_prefix
from igs.fvv.writer import TRAILER, TRAILER_MAGIC, index_entry
from igs.gaussians import Gaussians
from igs.metrics.memory import peak_memory_mb

LIMITS = Limits(gaussians=10_000, chunk_bytes=1 << 20, header_bytes=1 << 16)
KINDS = ("flip", "splice", "random", "forged", "stored", "payload", "header")
SLOWEST = 2.0  # seconds that no input may take
# What one input may need above that: two chunks, and rows as `Limits` says, twice for a moment.
MOST_MB = (2 * LIMITS.chunk_bytes + 2 * LIMITS.gaussians * (140 + 40 * 4)) / 1e6
HOSTILE = (0, 1, 2, 3, 4, 40, 127, 255, 256, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


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
    """Makes and tries inputs, each from a seed of its own; two streams in turn.

    One is stored by zstd and has a refinement layer, the other by deflate and has none.
    """

    def __init__(self) -> None:
        self.streams = [
            _Stream(FvvConfig(level=1, refine=3)),
            _Stream(FvvConfig(level=1, codec="deflate")),
        ]

    def attempt(self, seed: int) -> bool:
        """Try one input; whether anything was decoded.

        Raises:
            Exception: whatever is not `FvvError`: a fault of the reader.
        """
        rng = np.random.default_rng(seed)
        stream, kind = self.streams[seed % 2], KINDS[seed // 2 % len(KINDS)]
        try:
            if kind == "payload":
                return stream.decode_changed(rng)
            return _read(getattr(stream, kind)(rng))
        except FvvError:
            return False


class _Stream:
    """One tiny stream, and ways to damage it; each gives the bytes of a file."""

    def __init__(self, config: FvvConfig) -> None:
        frames = tiny_stream()
        self.head: StreamHeader = make_header(frames[0].gaussians, config)
        encoder = Encoder(self.head, config)
        self.chunks = [chunk for frame in frames for chunk in encoder.push(frame)]
        encoder = Encoder(self.head, replace(config, codec="raw"))
        self.raw = [encoder.push(frame) for frame in frames]
        self.data = _file([self.head.to_chunk(), *self.chunks])

    def flip(self, rng: np.random.Generator) -> bytes:
        """Some bytes changed."""
        data = bytearray(self.data)
        for at in rng.integers(0, len(data), rng.integers(1, 8)):
            data[at] ^= int(rng.integers(1, 256))
        return bytes(data)

    def splice(self, rng: np.random.Generator) -> bytes:
        """A part left out, or twice."""
        data = self.data
        a, b = sorted(rng.integers(0, len(data), 2))
        return data[:b] + data[a:] if rng.random() < 0.5 else data[:a] + data[b:]

    def random(self, rng: np.random.Generator) -> bytes:
        """A start of the file, and then anything."""
        return self.data[: int(rng.integers(0, 60))] + rng.bytes(int(rng.integers(0, 400)))

    def forged(self, rng: np.random.Generator) -> bytes:
        """A field of a chunk's header, of the index, or of the trailer; all checksums right."""
        place = int(rng.integers(8))
        if place < 2:
            return _file([self.head.to_chunk(), *self.chunks], hostile=rng)
        chunks = [self.head.to_chunk(), *self.chunks]
        which = int(rng.integers(len(chunks)))
        names = ("kind", "layer", "codec", "flags", "frame", "refers_to", "stored", "size", "ticks")
        name = names[int(rng.integers(len(names)))]
        value = int(rng.choice(HOSTILE))
        value = value & 0xFF if name in names[:4] else value
        header = replace(chunks[which].header, **{name: value})
        chunks[which] = Chunk(header, chunks[which].payload)
        return _file(chunks, index=place % 2 == 0)

    def stored(self, rng: np.random.Generator) -> bytes:
        """A compressed payload changed, its checksum made right."""
        chunks = list(self.chunks)
        which = int(rng.integers(len(chunks)))
        payload = _mutated(chunks[which].payload, rng)
        sizes = {"stored": len(payload), "checksum": zlib.crc32(payload)}
        chunks[which] = Chunk(replace(chunks[which].header, **sizes), payload)
        return _file([self.head.to_chunk(), *chunks], index=rng.random() < 0.5)

    def header(self, rng: np.random.Generator) -> bytes:
        """A value of the header's JSON replaced, or its text changed."""
        values = self.head.to_json()
        if rng.random() < 0.5:
            at, nonsense = values, (None, -1, 0, 65, 1e300, "x", [], {}, [1, 2, 3], True, 3, 1e-320)
            key = str(rng.choice([*values]))
            if isinstance(values[key], dict) and values[key] and rng.random() < 0.7:
                at, key = values[key], str(rng.choice([*values[key]]))
            at[key] = nonsense[int(rng.integers(len(nonsense)))]
            text = json.dumps(values).encode()
        else:
            text = _mutated(json.dumps(values).encode(), rng)
        return _file([make_chunk(text, kind=HEAD), *self.chunks])

    def decode_changed(self, rng: np.random.Generator) -> bool:
        """Decode up to a frame whose payloads are changed."""
        decoder, which = Decoder(self.head, LIMITS), int(rng.integers(3))
        for chunks in self.raw[: which + 1]:
            last = chunks is self.raw[which]
            decoder.decode([_changed(c, rng) for c in chunks] if last else chunks)
        return True


def _file(
    chunks: list[Chunk], *, index: bool = True, hostile: np.random.Generator | None = None
) -> bytes:
    """A file of these chunks; with an index that is forged by a generator."""
    data, entries = bytearray(pack_prefix()), []
    for chunk in chunks:
        if chunk.header.kind == FRAME:
            stored = min(chunk.header.stored, (1 << 32) - 41)  # what an entry can say
            entries.append(bytearray(index_entry(len(data), replace(chunk.header, stored=stored))))
        data += chunk.pack()
    if not index:
        return bytes(data)
    offset = len(data)
    if hostile is not None:
        value, at = int(hostile.choice(HOSTILE)), int(hostile.integers(0, 7))
        struct.pack_into("<I", entries[int(hostile.integers(len(entries)))], 4 * min(at, 5), value)
        offset = value if at == 6 else offset
    data += make_chunk(b"".join(entries), kind=INDEX).pack()
    body = TRAILER.pack(TRAILER_MAGIC, offset, 0)[:-4]
    return bytes(data + body + struct.pack("<I", zlib.crc32(body)))


def _read(data: bytes) -> bool:
    with FvvReader(io.BytesIO(data), LIMITS) as reader:
        return sum(1 for _ in reader.frames()) > 0


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, sometimes cut off."""
    changed = bytearray(data)
    for at in rng.integers(0, len(changed), rng.integers(0, 5)):
        values = (0, 1, 2, 4, 18, 127, 128, 255, int(rng.integers(256)))
        changed[at] = values[int(rng.integers(len(values)))]
    if rng.random() < 0.1:
        del changed[int(rng.integers(len(changed))) :]
    return bytes(changed)


def _changed(chunk: Chunk, rng: np.random.Generator) -> Chunk:
    old: ChunkHeader = chunk.header
    return make_chunk(
        _mutated(chunk.payload, rng),
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
    seeds = range(arguments.seed, arguments.seed + arguments.inputs)
    decoded, slowest, fuzzer = 0, (0.0, 0), Fuzzer()
    for seed in range(2 * len(KINDS)):  # what is loaded only when it is needed
        fuzzer.attempt(seed)
    before = peak_memory_mb()
    for seed in tqdm(seeds, mininterval=5):
        start = time.process_time()
        try:
            decoded += fuzzer.attempt(seed)
        except Exception:
            print(f"input of seed {seed} is not handled")
            raise
        slowest = max(slowest, (time.process_time() - start, seed))
        grown = seed % 256 == 0 and peak_memory_mb() - before > MOST_MB
        if slowest[0] > SLOWEST or grown:
            raise SystemExit(f"input of seed {seed}: too slow, or needs too much memory")
    print(f"{arguments.inputs} inputs, seeds {seeds[0]} to {seeds[-1]}, {decoded} gave frames,")
    print("none crashed")
    print(f"slowest: {1000 * slowest[0]:.1f} ms (seed {slowest[1]})")
    print(f"memory: {peak_memory_mb() - before:.1f} MB more at its peak than at the start")


if __name__ == "__main__":
    main()
