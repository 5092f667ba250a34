"""The dataset layout of N3DV and Meeting Room, from its folders to the results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from igs.cli import main
from igs.gaussians import write_ply
from igs.render.images import load_image
from igs.scene import Box, Dataset, Rig, generate_pairs, resize_image, write_pairs

from .conftest import ToySource, toy_gaussians

WORDS = [
    "data.kind=layout",
    "data.scene=toy",
    "data.images=images_r2",
    "frame0.mode=load",
    "schedule.interval=3",
    "refine.iterations=3",
    "free_view.path=tour",
    "box.file=bbox.json",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames of the toy scene; the camera list is for images of twice the size."""
    root = tmp_path_factory.mktemp("layout")
    (root / "toy" / "colmap_0").mkdir(parents=True)
    scene = Dataset.open(root).scene("toy")
    source = ToySource(5)
    for frame in source.frames():
        scene.write_images(frame.index, "images_r2", frame.images)
        small = {name: resize_image(image, 64, 64) for name, image in frame.images.items()}
        scene.write_images(frame.index, "images_512", small)
    large = Rig({n: c.resized(2 * c.width, 2 * c.height) for n, c in source.cameras.items()})
    scene.write_start_cameras(replace(large, held_out=("cam02",)))
    scene.write_box(Box(np.array([-1.0, -0.5, 1.5]), np.array([1.0, 0.5, 2.5])))
    for iteration in (30, "30_compress"):
        write_ply(scene.start_model.ply_path(iteration), toy_gaussians())
    write_pairs(scene.pair_path(5, 3), generate_pairs("toy", 5, 3))
    write_pairs(root / "other.json", generate_pairs("toy", 5, 2))
    write_pairs(root / "short.json", generate_pairs("toy", 4, 3))
    write_pairs(root / "foreign.json", generate_pairs("elsewhere", 5, 3))
    return root


def stream(dataset: Path, tmp_path: Path, *words: str) -> int:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: '{dataset}'}}\noutput: '{tmp_path / 'out'}'\n")
    return main(["stream", "--config", str(path), *WORDS, *words])


def read(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_a_layout_streams_and_its_pair_file_agrees(dataset: Path, tmp_path: Path) -> None:
    assert stream(dataset, tmp_path, "data.pairs=toy_total_5_interval_3.json") == 0
    results = read(tmp_path)
    assert [f["index"] for f in results["frames"] if f["is_key"]] == [0, 3, 4]
    assert results["summary"]["held_out"] == ["cam02"]
    # It was rendered with these very Gaussians.
    assert results["summary"]["psnr_frame0"] > 45
    shape = load_image(tmp_path / "out" / "eval_pred" / "train_pred_images_0.png").shape
    assert shape == (32, 48, 3)


def test_fewer_frames_than_the_pair_file_has(dataset: Path, tmp_path: Path) -> None:
    words = ["data.pairs=toy_total_5_interval_3.json", "data.num_frames=3", "write.videos=false"]
    assert stream(dataset, tmp_path, *words) == 0
    assert read(tmp_path)["summary"]["num_frames"] == 3


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["data.pairs=other.json"], "other.json of scene 'toy': pairs: item 2 goes from frame 2"),
        (["data.pairs=short.json"], "short.json of scene 'toy': pairs: 3 items"),
        (["data.pairs=foreign.json"], "foreign.json of scene 'toy': pairs: 0 items"),
        (["data.pairs=gone.json"], "gone.json: no such file"),
        (["frame0.iteration=99"], "the iterations are 30, 30_compress"),
        (["data.scene=tot"], "did you mean 'toy'?"),
        (["data.images=images_r4"], "images_r4: no such image folder"),
        (["data.num_frames=9"], "has 5 frames, 9 are wanted"),
        (["views.held_out=[7]"], "position 7 is not in the rig of 5 cameras"),
        (["box.scene=elsewhere"], "elsewhere"),
        (["frame0.ply=gone.ply"], "gone.ply"),
    ],
)
def test_what_does_not_fit_is_one_line(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    named: str,
) -> None:
    assert stream(dataset, tmp_path, *words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("igs: error:")
    assert named in error
    assert not (tmp_path / "out").exists()
