"""Whole runs with a motion network of random weights, through the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from igs.cli import main
from igs.gaussians import Gaussians, read_ply, write_ply
from igs.motion import AGMConfig, AGMNet, save_agm

from .conftest import WORDS, toy_gaussians

BOX = "box.bounds=[[-1,-0.5,1.5],[1,0.5,2.5]]"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    network = AGMNet(replace(AGMConfig.small(), network_size=64, anchors=16))
    with torch.no_grad():
        network.decoder.translation.weight.normal_(0, 0.02)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_agm(path, network)
    return path


@pytest.fixture
def words(toy_capture: Path, weights: Path, tmp_path: Path) -> list[str]:
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{root: '{toy_capture}', num_frames: 5}}\nwrite: {{videos: false}}\n")
    named = ["motion=agm", f"motion.weights={weights}", f"output={tmp_path / 'out'}"]
    return ["stream", "--config", str(config), *WORDS, *named]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_candidates_are_written_as_their_motion(words: list[str], tmp_path: Path) -> None:
    assert main([*words, BOX]) == 0
    out = tmp_path / "out"
    names = [path.name for path in sorted((out / "gaussians").iterdir())]
    moved = [f"00000{k}.motion.safetensors" for k in (1, 2)]
    assert names == ["000000.ply", *moved, "000003.ply", "000004.ply"]
    results = json.loads((out / "results.json").read_text())
    assert results["mask_num"][0] == 8
    assert [f["num_in_box"] for f in results["frames"][:4]] == [0, 8, 8, 8]
    sizes = [(out / "gaussians" / name).stat().st_size for name in names]
    assert [f["bytes"] for f in results["frames"]] == sizes
    assert results["frames"][1]["seconds_by_stage"]["motion"] > 0
    assert len(read_ply(out / "gaussians" / "000003.ply")) == results["frames"][3]["num_gaussians"]


def test_a_box_without_points_is_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "box.bounds=[[50,50,50],[51,51,51]]"]) == 2
    error = last_line(capsys)
    assert error.startswith("igs: error: box [50")
    assert "none of the 104 Gaussians" in error
    assert not list((tmp_path / "out").glob("gaussians/*"))
    assert not (tmp_path / "out" / "results.json").exists()


def test_all_modes_are_compared(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, BOX, "--compare", "data.num_frames=3", "refine=off"]) == 0
    said = capsys.readouterr().out
    modes = ["hold", "none", "agm", "agm_refine_off"]
    assert [line.split()[0] for line in said.splitlines() if line.split()[0] in modes] == modes
    refined = {
        mode: json.loads((tmp_path / "out" / mode / "results.json").read_text())["summary"][
            "seconds_by_stage"
        ].get("refine", 0)
        for mode in modes
    }
    assert refined["none"] > 0
    assert refined["agm"] > 0
    assert refined["hold"] == refined["agm_refine_off"] == 0


def test_what_one_mode_lacks_is_found_before_the_first_runs(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--compare"]) == 2
    assert "box: motion=agm needs box.bounds" in last_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["wrong SH count", "a property missing"])
def test_gaussians_that_cannot_be_read_are_one_line(
    words: list[str],
    toy_capture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    start = toy_gaussians()
    path = tmp_path / "bad.ply"
    sh = torch.cat([start.sh, torch.zeros(len(start), 3, 3)], 1)
    write_ply(path, Gaussians(**{**start.tensors(), "sh": sh}))
    old, new = (b"f_rest_8", b"g_rest_8") if damage == "wrong SH count" else (b"rot_3", b"rot_x")
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert main([*words, BOX, f"frame0.ply={path}"]) == 2
    error = last_line(capsys)
    assert "bad.ply" in error
    assert ("8 f_rest properties" if damage == "wrong SH count" else "rot_3") in error
    assert not (tmp_path / "out").exists()
