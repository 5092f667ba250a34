"""Hostile input: whatever the bytes, readers raise `FvvError` or give frames, within limits.

The same mutations a million times: bench/fvv_fuzz.py.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from igs.fvv import Decoder, Encoder, FvvConfig, FvvError, FvvReader, Limits, StreamHeader
from igs.fvv.chunks import FRAME, HEAD, Chunk, make_chunk
from igs.fvv.grid import make_header

from .conftest import stream, write

LIMITS = Limits(gaussians=2000, chunk_bytes=1 << 20, header_bytes=1 << 16)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "a.fvv"
    write(path, stream(20, 5), FvvConfig(level=3))
    return path.read_bytes()


@pytest.fixture(scope="module")
def coded() -> tuple[StreamHeader, list[list[Chunk]]]:
    frames, config = stream(20, 5), FvvConfig(codec="raw")
    header = make_header(frames[0].gaussians, config)
    encoder = Encoder(header, config)
    return header, [encoder.push(frame) for frame in frames]


def read_all(path: Path) -> None:
    """Everything a reader does; only `FvvError` may come out."""
    try:
        with FvvReader(path, LIMITS) as reader:
            count = sum(1 for _ in reader.frames())
            assert count <= len(reader.entries)
    except FvvError:
        return


@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=6))
def test_flipped_bytes(data: bytes, tmp_path: Path, flips: list[tuple[int, int]]):
    changed = bytearray(data)
    for at, value in flips:
        changed[at % len(changed)] ^= value
    path = tmp_path / "a.fvv"
    path.write_bytes(bytes(changed))
    read_all(path)


@settings(max_examples=200, deadline=None, suppress_health_check=QUIET)
@given(start=st.booleans(), tail=st.binary(max_size=300))
def test_random_bytes(data: bytes, tmp_path: Path, start: bool, tail: bytes):
    path = tmp_path / "a.fvv"
    path.write_bytes((data[:16] if start else b"") + tail)
    read_all(path)


@settings(max_examples=500, deadline=None, suppress_health_check=QUIET)
@given(
    which=st.integers(0, 4),
    layer=st.integers(0, 1),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.integers(0, 200),
)
def test_damaged_payloads_with_right_checksums(coded, which, layer, flips, cut):
    header, frames = coded
    decoder = Decoder(header, LIMITS)
    for number, chunks in enumerate(frames[: which + 1]):
        if number == which:
            payload = bytearray(chunks[layer].payload)
            for at, value in flips:
                payload[at % len(payload)] = value
            if cut < 20:
                del payload[cut:]
            chunks = [*chunks]
            old = chunks[layer].header
            chunks[layer] = make_chunk(
                bytes(payload),
                kind=FRAME,
                layer=layer,
                flags=old.flags,
                frame=old.frame,
                refers_to=old.refers_to,
            )
        try:
            decoded = decoder.decode(chunks)
        except FvvError:
            return
        assert len(decoded.gaussians) <= LIMITS.gaussians
        assert all(np.isfinite(t.numpy()).all() for t in decoded.gaussians.tensors().values())


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = (
    "sh_degree",
    "time_base",
    "grid",
    "bounds",
    "background",
    "error_bounds",
    "cameras",
    "extra",
)


@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
@given(key=st.sampled_from(KEYS), value=JSON)
def test_headers_with_nonsense_in_them(coded, key: str, value):
    values = {**coded[0].to_json(), key: value}
    chunk = make_chunk(json.dumps(values).encode(), kind=HEAD)
    with suppress(FvvError):
        assert 0 <= StreamHeader.from_chunk(chunk).sh_degree <= 3


@settings(max_examples=200, deadline=None, suppress_health_check=QUIET)
@given(text=st.binary(max_size=60))
def test_headers_that_are_no_json(text: bytes):
    with pytest.raises(FvvError):
        StreamHeader.from_chunk(make_chunk(text, kind=HEAD))


def test_a_file_of_markers_is_searched_in_one_pass(data: bytes, tmp_path: Path):
    path = tmp_path / "a.fvv"
    with FvvReader(_put(path, data)) as reader:
        first = reader.entries[0].layers[0][0]
    with FvvReader(_put(path, data[:first] + b"FVVc" * 50_000)) as reader:
        assert reader.entries == []
        assert reader.unread == 200_000


def test_many_gaussians_in_few_bytes_are_refused(coded):
    # 4 bytes of count, then attributes that are all zero: nothing to unpack.
    payload = (4_000_000_000).to_bytes(4, "little") + bytes(40)
    chunk = make_chunk(payload, kind=FRAME, flags=3)
    with pytest.raises(FvvError, match="limit is 2000"):
        Decoder(coded[0], LIMITS).decode([chunk])


def _put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
