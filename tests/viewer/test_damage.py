"""The player's decoder on damaged files: as much as the Python reader plays, and no crash."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from igs.fvv import FvvConfig, FvvReader

from .conftest import Dump
from .streams import stream, write


def played(path: Path) -> set[int]:
    with FvvReader(path) as reader:
        return {frame.index for frame in reader.frames()}


@pytest.mark.parametrize("seed", range(4))
def test_plays_what_python_plays(tmp_path: Path, dump: Callable[..., Dump], seed: int) -> None:
    config = FvvConfig(intra_interval=6, level=3, refine=2)
    path = write(tmp_path / "stream.fvv", stream(count=100), config)
    data = bytearray(path.read_bytes())
    with FvvReader(path) as reader:
        entry = reader.entries[2 + seed * 3]
    offset, length = entry.layers[seed % 2]
    # In turn: payload of a base, of a layer, header of a base, and a file cut off.
    if seed < 2:
        data[offset + 60] ^= 0x40
    elif seed == 2:
        data[offset + 9] ^= 0x40
    else:
        data = data[: offset + length // 2]
    path.write_bytes(data)
    made = dump(path)
    shown = {frame["number"] for frame in made.frames if "error" not in frame}
    assert shown == played(path)
    assert made.damage is not None
    for frame in made.frames:
        assert frame.get("error", "cannot be shown").count("cannot be shown") == 1


@pytest.mark.parametrize(("codec", "seed"), [("zstd", 1), ("raw", 2), ("deflate", 3)])
def test_fuzz(tmp_path: Path, bundled: Callable[[str], Path], codec: str, seed: int) -> None:
    config = FvvConfig(intra_interval=4, level=3, codec=codec, refine=2)
    path = write(tmp_path / "stream.fvv", stream(count=60, frames=8), config)
    words = ["node", str(bundled("fuzz")), str(path), "150", str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["shown"] > 150
    # Limits of the script: 4 MiB of state (three times: held, spare, shown), 2 MiB a chunk.
    assert report["most"] < 64 * 2**20
