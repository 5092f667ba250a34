"""Settings of training: the packaged ones are valid, bad ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from igs.cli import main
from igs.config import (
    ConfigError,
    FlowTrainConfig,
    TrainConfig,
    check_flow_train,
    check_train,
    load_config,
)
from igs.config.resources import config_names, config_path
from igs.config.training import FlowSizes, NetworkSizes, TrainDataConfig
from igs.motion import AGMConfig, AGMNet
from igs.training.data import igs_data_config, synthetic_config
from igs.training.networks import agm_config, make_flow

TRAIN = [name for name in config_names() if name.startswith("train")]


@pytest.mark.parametrize("name", TRAIN)
def test_every_packaged_config_is_valid(name: str) -> None:
    if "flow" in name:
        flow = load_config(FlowTrainConfig, config_path(name))
        check_flow_train(flow)
        synthetic_config(flow.data, flow.size, False, True)
    else:
        words = ["flow_weights=untrained", "data.root=somewhere"]
        config = load_config(TrainConfig, config_path(name), words)
        check_train(config)
        size = agm_config(config.network).network_size
        synthetic_config(config.data, size, True, False)
        igs_data_config(config.data, size, True, validation=True)


def test_both_presets_are_packaged() -> None:
    full = agm_config(load_config(TrainConfig, config_path("train")).network)
    small = agm_config(load_config(TrainConfig, config_path("train_small")).network)
    assert small == AGMConfig.small()
    trained = sum(p.numel() for p in AGMNet(full).parameters() if p.requires_grad)
    assert trained == 17_698_567


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["losses.lambda_moton=1"], r"unknown key losses\.lambda_moton; did you mean losses\.lam"),
        (["network.preset=tiny"], "network.preset: 'tiny' must be one of full, small"),
        (["batch=0"], "batch: 0 must be at least 1"),
        (["precision=fp8"], "precision: 'fp8' must be one of fp32, fp16, bf16"),
        (["optimiser.betas=[0.9,1.0]"], "optimiser.betas: needs two numbers in 0..1"),
        (["optimiser.rate=0"], "optimiser.rate: 0.0 must be above 0"),
        (["optimiser.rate=nan"], "optimiser.rate: nan must be above 0"),
        (["losses.moving_share=1.5"], "losses.moving_share: 1.5 must lie in 0..1"),
        (["losses.lambda_motion=0"], "losses: all of lambda_l1, lambda_dssim and lambda_motion"),
        (["data.kind=igs_data"], "data.root: data.kind=igs_data needs the folder"),
        (["data.kind=igs_data", "data.root=x"], "losses.lambda_motion: .* does not know the true"),
        (["steps_per_epoch=null"], "steps_per_epoch: data.kind=synthetic has no end"),
        (["flow_weights=null"], "flow_weights: name the flow features to build on"),
        (["validation.seed=0"], "validation.seed: 0 is the seed of training"),
        (["network.flow.widths=[1,2]"], r"network\.flow\.widths: needs three numbers"),
        (["network.anchors=0"], "network.anchors: 0 must be at least 1"),
    ],
)
def test_bad_settings_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_train(
            load_config(TrainConfig, config_path("train_small"), ["flow_weights=untrained", *words])
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["warped_share=2"], "warped_share: 2.0 must lie in 0..1"),
        (
            ["data.kind=igs_data", "data.root=x"],
            "warped_share: .* has no true flow",
        ),
        (["gamma=-1"], "gamma: -1.0 must lie in 0..1"),
        (["warp.max_motion=3"], "warp.max_motion: 3.0 must lie in 0..1"),
        (["steps_per_epoch=null"], "steps_per_epoch"),
    ],
)
def test_bad_flow_settings_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_flow_train(load_config(FlowTrainConfig, config_path("train_flow_small"), words))


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ConfigError, match=r"network: width 100 must be a multiple of heads 8"):
        agm_config(NetworkSizes(width=100, heads=8))
    with pytest.raises(ConfigError, match=r"network\.flow: channels must be a multiple of 4"):
        agm_config(NetworkSizes(flow=FlowSizes(channels=6)))
    config = load_config(FlowTrainConfig, None, ["size=100"])
    with pytest.raises(ConfigError, match="size: 100 must be a multiple of 16"):
        make_flow(config)


def test_settings_of_scenes_reach_them(tmp_path: Path) -> None:
    settings = {"frame_gap": [1, 2], "scene": {"num_gaussians": [600, 900], "gloss_share": 0}}
    data = TrainDataConfig(photos=str(tmp_path), synthetic=settings)
    made = synthetic_config(data, 64, targets=True, flow=False)
    assert (made.input_size, made.photometric, made.flow) == (64, True, False)
    assert (made.frame_gap, made.scene.num_gaussians) == ((1, 2), (600, 900))
    assert (made.scene.gloss_share, made.scene.photos) == (0.0, str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_gabs": [1, 2]}, r"unknown key data\.synthetic\.frame_gabs; did you mean .*gap\?"),
        ({"scene": {"num_part": [1, 2]}}, r"data\.synthetic\.scene\.num_part; did you mean"),
        ({"frame_gap": 3}, r"data\.synthetic\.frame_gap: 3 must be a list such as \[1, 5\]"),
        ({"further_views": "many"}, r"data\.synthetic\.further_views: 'many' must be of the kind"),
        ({"frame_gap": [5, 1]}, r"data\.synthetic: frame_gap \(5, 1\) must be"),
        ({"scene": 3}, r"data\.synthetic\.scene: 3 must be a section"),
        ({"input_size": 64}, r"data\.synthetic\.input_size: follows from the other settings"),
    ],
)
def test_bad_settings_of_scenes_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        synthetic_config(TrainDataConfig(synthetic=settings), 64, True, True)


def test_settings_of_stored_scenes_reach_them() -> None:
    held_out = {"input_views": [3, 7, 1, 4], "further_views": [8, 0]}
    data = TrainDataConfig(
        kind="igs_data",
        root="scenes",
        igs_data={"further_views": 2, "iteration": "5000"},
        igs_data_validation=held_out,
    )
    train = igs_data_config(data, 64, True, validation=False)
    assert (train.root, train.split, train.input_size) == ("scenes", "train", 64)
    assert (train.input_views, train.further_views, train.iteration) == (None, 2, "5000")
    val = igs_data_config(data, 64, True, validation=True)
    assert (val.split, val.input_views, val.further_views) == ("val", (3, 7, 1, 4), (8, 0))
    assert val.iteration == "5000"
    with pytest.raises(ConfigError, match=r"data\.igs_data\.split: follows from"):
        igs_data_config(
            TrainDataConfig(root="x", igs_data={"split": "val"}), 64, True, validation=False
        )


def test_the_command_line_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["train", "--config", str(config_path("train_small"))]
    assert main([*command, f"output={tmp_path}"]) == 2
    assert "flow_weights: name the flow features" in capsys.readouterr().err
    assert main([*command, f"output={tmp_path}", "flow_weights=nowhere.safetensors"]) == 2
    assert "nowhere.safetensors: no such file" in capsys.readouterr().err
    assert main([*command, "--resume", f"output={tmp_path}", "flow_weights=untrained"]) == 2
    assert "no checkpoint to go on from" in capsys.readouterr().err
    assert main(["train", "flow", "--config", str(config_path("train_flow_small")), "sise=1"]) == 2
    assert "unknown key sise; did you mean size?" in capsys.readouterr().err
