"""A disk that fills up while a file is written, made by the operating system's own size limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from igs.gaussians import Gaussians, write_ply
from igs.render import save_png, write_video

folder = Path(sys.argv[1])
n = 1000
shapes = {"means": (n, 3), "log_scales": (n, 3), "quats": (n, 4), "opacity_logits": (n,)}
gaussians = Gaussians(**{k: torch.zeros(s) for k, s in shapes.items()}, sh=torch.zeros(n, 16, 3))
images = np.random.default_rng(0).integers(0, 256, (60, 100, 100, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
for write, name, value in (
    (write_ply, "a.ply", gaussians),
    (save_png, "a.png", images[0]),
    (write_video, "a.mp4", images),
):
    try:
        write(folder / name, value)
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set on Windows")
def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 3, run.stdout + run.stderr
    for line, name in zip(lines, ("a.ply", "a.png", "a.mp4"), strict=True):
        assert line.endswith(f"{tmp_path / name}'"), "one line that names the file"
        assert "too large" in line
    assert list(tmp_path.iterdir()) == []
