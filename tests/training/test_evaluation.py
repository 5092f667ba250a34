"""Figures of predicted motion: what counts as moving, what is averaged, and the whole table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from igs.cli import main
from igs.config.evaluation import MotionEvaluationConfig, SyntheticEvaluation
from igs.config.load import ConfigError, load_config
from igs.motion import AGMConfig, AGMNet, save_agm
from igs.training.evaluation import MotionScores, evaluate_motion, motion_table
from igs.training.evaluation.captures import evaluate_capture
from igs.training.evaluation.scores import CandidateScores, moving_region

TINY_SCENES = {
    "scene": {"num_gaussians": [600, 700], "image_long_side": [32, 40], "occluders": 0},
    "target_long_side": 32,
}


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    flow = AGMConfig.small().flow
    sizes = AGMConfig(flow=flow, network_size=32, anchors=30, width=16, heads=2, blocks=1, groups=8)
    save_agm(tmp_path / "tiny.safetensors", AGMNet(sizes))
    return tmp_path / "tiny.safetensors"


def settings(output: Path, **weights: str) -> MotionEvaluationConfig:
    synthetic = SyntheticEvaluation(count=2, still=1, iterations=3, data=TINY_SCENES)
    return MotionEvaluationConfig(
        output=str(output), weights=weights, steps=2, threads=1, synthetic=synthetic
    )


def test_moving_region_is_what_changed_and_its_margin():
    key = torch.zeros(3, 20, 20)
    after = key.clone()
    after[1, 8:12, 8:12] = 0.5  # a block in one channel
    after[:, 2, 2] = 0.5  # a single pixel of noise
    after[0, 15:18, 15:18] = 0.05  # too faint
    region = moving_region(key, after, change=0.06, margin=1)
    assert region[8:12, 8:12].all()
    assert not region[:5, :5].any()
    assert not region[14:, 14:].any()
    assert region.sum() <= 8 * 8
    assert not moving_region(key, key, 0.06, 2).any()


def test_end_points_are_shares_of_no_motion():
    scores = CandidateScores()
    true = torch.tensor([[2.0, 0, 0], [0, 4.0, 0]])
    scores.end_points(torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]), true, unit=2.0)
    assert (scores.epe, scores.epe_none) == (1.0, 3.0)
    scores.end_points(None, true, unit=2.0)
    assert (scores.epe, scores.epe_none) == (4.0, 6.0)


def test_rows_average_steps_alike():
    scores = MotionScores(3)
    scores[1].moving += [20.0, 22.0]
    scores[2].moving += [31.0]
    for step in (1, 2, 3):
        scores[step].whole.append(10.0 * step)
    row = scores.row()
    assert row["moving"] == (21.0 + 31.0) / 2
    assert row["whole"] == 20.0
    assert row["epe_share"] is None
    assert isinstance(row["steps"], list)
    assert math.isnan(row["steps"][2])
    text = motion_table({"none": row, "better": {**row, "moving": 27.5}})
    assert "+1.50" in text
    assert text.splitlines()[0].split()[-3:] == ["+1", "+2", "+3"]


def test_synthetic_table(tmp_path: Path, tiny_weights: Path):
    tables = evaluate_motion(settings(tmp_path / "out", tiny=str(tiny_weights)))
    assert list(tables) == ["synthetic", "still scenes"]
    rows = tables["synthetic"]
    assert list(rows) == ["none", "tiny", "refined every frame"]
    assert rows["none"]["epe_share"] == 1.0
    # An untrained network of the published shape moves nothing and turns a little.
    assert rows["tiny"]["epe_share"] == pytest.approx(1.0)
    assert rows["refined every frame"]["whole"] > rows["none"]["whole"]
    still = tables["still scenes"]
    assert math.isnan(still["none"]["moving"])
    assert still["none"]["epe_share"] is None
    stored = json.loads((tmp_path / "out" / "motion.json").read_text())
    assert stored["synthetic"]["none"]["whole"] == rows["none"]["whole"]


def test_the_same_command_gives_the_same_table(tmp_path: Path):
    first, second = (evaluate_motion(settings(tmp_path / name)) for name in "ab")
    assert first["synthetic"] == second["synthetic"]


def test_bad_settings(tmp_path: Path):
    config = settings(tmp_path)
    config.steps = 0
    with pytest.raises(ConfigError, match="steps and synthetic"):
        evaluate_motion(config)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluate_motion(settings(tmp_path, mine="nowhere.safetensors"))


def test_command_line_asks_for_a_config(capsys):
    assert main(["evaluate", "motion"]) == 2
    assert "give --config" in capsys.readouterr().err


def test_captures_are_sections_of_any_name(tmp_path: Path):
    words = ["captures.mine.config=demo", "captures.other.config=demo", "weights.a=b"]
    config = load_config(MotionEvaluationConfig, None, words)
    assert [capture.config for capture in config.captures.values()] == ["demo", "demo"]
    assert config.weights == {"a": "b"}
    with pytest.raises(ConfigError, match=r"unknown key captures\.mine\.confg; did you mean"):
        load_config(MotionEvaluationConfig, None, ["captures.mine.confg=demo"])


def test_a_capture_is_scored_against_a_refined_run_of_its_own_settings(tmp_path: Path):
    frame0 = "frame0.iterations=2,frame0.init.max_points=500,frame0.init.mode=random"
    words = f"[data.num_frames=3,refine.iterations=1,write.gaussians=true,{frame0}]"

    def scores(overrides: str) -> dict[str, MotionScores]:
        settings = load_config(
            MotionEvaluationConfig,
            None,
            ["steps=2", "captures.demo.config=demo", f"captures.demo.overrides={overrides}"],
        )
        capture = settings.captures["demo"]
        return evaluate_capture(capture, settings, {}, tmp_path / "refined")

    first = scores(words)
    assert set(first) == {"none", "refined every frame"}
    assert scores(words)["none"].row() == first["none"].row()
    with pytest.raises(ConfigError, match=r"refine\.iterations=1, not 2"):
        scores(words.replace("refine.iterations=1", "refine.iterations=2"))
