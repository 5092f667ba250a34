"""The player's decoder, bundled for node; skipped where node or its packages are absent."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VIEWER = Path(__file__).parents[2] / "viewer"
ARRAYS = ("centers", "rotations", "scales", "opacities", "colors", "sh")
WIDTHS = {"centers": 3, "rotations": 4, "scales": 3, "opacities": 1, "colors": 3}


@dataclass
class Dump:
    """What the player made of a file.

    Attributes:
        info: of the stream; `error` alone if it did not open.
        frames: as asked for; the arrays by name beside what else is known, or `error`.
        damage: a sentence, None without damage.
    end: what was said last.
    """

    info: dict[str, Any]
    frames: list[dict[str, Any]]
    damage: str | None
    end: dict[str, Any]


def read_dump(stdout: str, arrays: Path) -> Dump:
    """The answer of `dump.ts` or `watch.ts`."""
    lines = [json.loads(line) for line in stdout.splitlines()]
    if len(lines) == 1:
        return Dump(lines[0], [], None, {})
    data, at = np.fromfile(arrays, np.float32), 0
    for line in lines[1:-1]:
        for name, length in zip(ARRAYS, line.get("lengths", ()), strict=False):
            values, at = data[at : at + length], at + length
            width = WIDTHS.get(name) or 3 * ((line["shDegree"] + 1) ** 2 - 1)
            line[name] = values.reshape(-1, width) if width else None
    assert at == len(data)
    return Dump(lines[0], lines[1:-1], lines[-1]["damage"], lines[-1])


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes one script of `viewer/tests/fvv/NAME.ts`."""
    esbuild = VIEWER / "node_modules" / ".bin" / "esbuild"
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not esbuild.exists():
        pytest.skip("the player's packages are not installed; run `npm ci` in viewer/")
    folder = tmp_path_factory.mktemp("player")

    def bundle(name: str) -> Path:
        script = folder / f"{name}.mjs"
        if not script.exists():
            options = ["--bundle", "--platform=node", "--format=esm", "--log-level=warning"]
            words = [str(esbuild), f"tests/fvv/{name}.ts", *options, f"--outfile={script}"]
            subprocess.run(words, cwd=VIEWER, check=True, timeout=60)
        return script

    return bundle


@pytest.fixture
def dump(bundled: Callable[[str], Path], tmp_path: Path) -> Callable[..., Dump]:
    """Decode a file as the player does; `layer` and `frames` are its options."""

    def run(path: Path, layer: int | None = None, frames: list[int] | None = None) -> Dump:
        out = tmp_path / "arrays.bin"
        words = ["node", str(bundled("dump")), str(path), str(out)]
        words += ["--layer", str(layer)] if layer is not None else []
        words += ["--frames", ",".join(map(str, frames))] if frames is not None else []
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert not done.stderr, done.stderr
        return read_dump(done.stdout, out)

    return run
