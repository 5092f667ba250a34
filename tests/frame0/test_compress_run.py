"""The whole of LightGaussian into a model's folder, and the mesh verb on what it wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.cli import main
from igs.config.compress import CompressConfig
from igs.config.frame0 import Frame0Config
from igs.frame0.compress_run import QUANTISED, compress_model
from igs.frame0.quantise import read_gaussians
from igs.gaussians import Gaussians, read_ply
from igs.render import render, to_uint8
from igs.scene import Camera, GaussianModelFolder, Rig, write_camera_list

BLACK = torch.zeros(3)
N = 200


def sheet() -> Gaussians:
    """A textured, tilted plane of discs."""
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(N, 3, generator=generator) * 2 - 1
    means[:, 2] = 3 + 0.2 * means[:, 0]
    return Gaussians(
        means=means,
        log_scales=torch.log(torch.tensor([0.15, 0.15, 0.01])).repeat(N, 1),
        quats=torch.tensor([1.0, 0, -0.1, 0]).repeat(N, 1),
        opacity_logits=torch.full((N,), 3.0),
        sh=torch.randn(N, 4, 3, generator=generator) * 0.5,
    )


@pytest.fixture
def rig() -> Rig:
    cameras = []
    for i in range(4):
        pose = np.eye(4)
        pose[0, 3] = 0.2 * (i - 1.5)
        cameras.append(Camera(f"c{i}", 56, 40, 60.0, 60.0, 28.0, 20.0, pose))
    return Rig.of(cameras)


def test_all_stages_end_in_files_that_are_read_back(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras, start = list(rig.cameras.values()), sheet()
    with torch.no_grad():
        images = {c.name: to_uint8(render(start, c).color) for c in cameras}
    config = CompressConfig()
    config.prune.share, config.recover.iterations = 0.3, 3
    config.distill.enabled, config.distill.sh_degree, config.distill.iterations = True, 0, 3
    config.quantise.enabled, config.quantise.steps = True, 3
    stages = []
    model = GaussianModelFolder(tmp_path)
    result = compress_model(
        config,
        Frame0Config(sh_degree=1, iterations=10),
        model,
        cameras,
        images,
        start,
        BLACK,
        0,
        filter_3d=torch.full((N,), 0.01),
        first_iteration=10,
        progress=lambda stage, done, total, note: stages.append((stage, done, total)),
    )
    assert result.iteration == "13_compress"
    assert model.iterations() == ["13_compress"]
    for stage in ("compress", "distil", "quantise"):
        assert (stage, 3, 3) in stages
    read = read_ply(model.find_ply())
    assert read.sh_degree == 0
    assert len(read) == len(result.gaussians) == N - (int(0.3 * (N - 1)) + 1)
    assert result.quantised is not None
    assert result.quantised == model.find_ply().with_name(QUANTISED)
    decoded = read_gaussians(result.quantised)
    assert torch.equal(decoded.means, result.shown.means)
    assert result.quantised.stat().st_size < model.find_ply().stat().st_size / 2

    write_camera_list(model.cameras_path, rig)
    words = ["--cameras", str(model.cameras_path), "--resolution", "32"]
    out = tmp_path / "sheet.ply"
    assert main(["mesh", str(result.quantised), *words, "--out", str(out)]) == 0
    assert "vertices" in capsys.readouterr().out
    trimesh = pytest.importorskip("trimesh")
    vertices = trimesh.load(out, process=False).vertices
    assert np.median(np.abs(vertices[:, 2] - 3 - 0.2 * vertices[:, 0])) < 0.03
    assert main(["mesh", str(result.quantised), *words, "--out", "mesh.stl"]) == 2
    assert "is written as .ply" in capsys.readouterr().err


def test_the_one_liner_explains_itself_and_hands_everything_on(
    project_root: Path, tmp_path: Path
) -> None:
    script = project_root / "script" / "train.sh"
    bare = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert bare.returncode == 2
    assert "script/train.sh SCENE [OUT]" in bare.stderr
    fake = tmp_path / "igs"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    got = [
        subprocess.run(
            ["bash", str(script), *words],
            capture_output=True,
            text=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            check=True,
        ).stdout.split()
        for words in (["a b/s", "seed=1"], ["s", "o"])
    ]
    preset = ["--preset", "igs", "--compress"]
    assert got[0] == ["frame0", "a", "b/s", "--out", "a", "b/s/start_gs", *preset, "seed=1"]
    assert got[1] == ["frame0", "s", "--out", "o", *preset]
