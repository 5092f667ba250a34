"""The scripts that users of the original know."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from igs.prepare.resize_frames import bilinear_without_antialias
from igs.scene import Rig, write_camera_object

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(project_root: Path) -> Script:
    def run(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        program = ["sh"] if name.endswith(".sh") else [sys.executable]
        path = os.pathsep.join([str(project_root), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [*program, str(project_root / "script" / name), *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": path},
            timeout=300,
        )

    return run


@pytest.fixture
def scene(tmp_path: Path, save_png) -> Path:
    rng = np.random.default_rng(3)
    for frame in range(2):
        for name in ("cam00", "cam01"):
            image = rng.integers(0, 255, (31, 42, 3), np.uint8)
            save_png(tmp_path / "scene" / f"colmap_{frame}" / "images" / f"{name}.png", image)
    return tmp_path / "scene"


@pytest.mark.parametrize("size", [(512, 512), (20, 14), (42, 31)])
def test_bilinear_as_torch_does(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (31, 42, 3), np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    expected = torch.nn.functional.interpolate(
        tensor, size=size[::-1], mode="bilinear", align_corners=False, antialias=False
    )
    exact = (expected[0] * 255).permute(1, 2, 0).numpy()
    found = bilinear_without_antialias(image, *size)
    # Half a level may round either way, as sums in float32 depend on their order.
    assert (found >= exact - 0.5 - 1e-3).all()
    assert (found <= exact + 0.5 + 1e-3).all()


def test_subsample(script: Script, scene: Path):
    result = script("subsample.py", "-r", scene)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("4 images written")
    source = np.array(Image.open(scene / "colmap_1" / "images" / "cam01.png"))
    found = np.array(Image.open(scene / "colmap_1" / "images_512" / "cam01.png"))
    np.testing.assert_array_equal(found, bilinear_without_antialias(source, 512, 512))


def test_subsample_pil(script: Script, scene: Path):
    result = script("subsample_pil.py", "-r", scene, "--target_size", "21", "16")
    assert result.returncode == 0, result.stderr
    source = Image.open(scene / "colmap_0" / "images" / "cam00.png")
    found = np.array(Image.open(scene / "colmap_0" / "images_r2" / "cam00.png"))
    np.testing.assert_array_equal(found, np.array(source.resize((21, 16))))
    missing = script("subsample_pil.py", "-r", scene, "--source", "images_r4")
    assert missing.returncode == 2
    assert "colmap_0/images_r4: no such image folder" in missing.stderr


def test_pre_test_data_in_the_scene_folder(script: Script, tmp_path: Path, rig: Rig, write_videos):
    folder = tmp_path / "toy"
    write_videos(folder, 2)
    cameras = folder / "cameras.json"
    write_camera_object(cameras, replace(rig, fps=30.0))
    before = cameras.read_bytes()
    words = ["cameras.mode=auto", "points.mode=none", "box.mode=none", "--workers", "1"]
    result = script("pre_test_data.sh", f"{folder}/", *words)
    assert result.returncode == 0, result.stderr
    assert (folder / "colmap_1" / "images" / "cam04.png").is_file()
    assert (tmp_path / "stream.yaml").is_file()
    assert cameras.read_bytes() == before
    again = script("pre_test_data.sh", folder, *words)
    assert again.returncode == 2
    assert "--resume goes on" in again.stderr
    assert script("pre_test_data.sh").returncode == 2
