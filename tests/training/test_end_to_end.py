"""Flow network, motion network, resuming: the commands a user types, on scenes made on the fly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from igs.cli import main
from igs.config.resources import config_path
from igs.motion import load_agm
from igs.scene.synthetic import SyntheticScene, SyntheticSceneConfig
from igs.training.igs_data import write_training_set
from igs.training.log import read_scalars

FEW = "num_gaussians: [600, 700], num_frames: 6, image_long_side: [48, 64]"
DATA = "data.synthetic={scene: {" + FEW + "}, target_long_side: 32, further_views: 1}"
FLOW = "{widths: [16, 16, 16], channels: 16, blocks: 1, expansion: 1, upsampler_width: 16}"
SMALL = ["device=cpu", "threads=1", "steps_per_epoch=2", "epochs=2", "validation.samples=1"]
NETWORK = "{network_size: 32, anchors: 64, width: 16, heads: 2, blocks: 1, groups: 4, flow: "
MOTION = [DATA, f"network={NETWORK}{FLOW}}}", "losses.lambda_l1=1.0", "batch=1", *SMALL]


def test_flow_then_motion_then_on(tmp_path: Path, fresh_accelerator: Callable[[], None]) -> None:
    flow = ["train", "flow", "--config", str(config_path("train_flow_small")), "size=32", "batch=4"]
    assert main([*flow, DATA, f"network.sizes={FLOW}", f"output={tmp_path}/flow", *SMALL]) == 0
    fresh_accelerator()
    config = ["train", "--config", str(config_path("train_small"))]
    words = [*MOTION, f"flow_weights={tmp_path}/flow/1/model.safetensors", f"output={tmp_path}/agm"]
    assert main([*config, *words]) == 0
    assert load_agm(tmp_path / "agm" / "1" / "model.safetensors").config.anchors == 64
    fresh_accelerator()
    assert main([*config, "--resume", *words]) == 0
    figures = read_scalars(tmp_path / "agm")
    assert [line["step"] for line in figures if "validation/loss" in line] == [2, 4]


def test_stored_scenes_train_as_well(tmp_path: Path) -> None:
    settings = SyntheticSceneConfig(
        num_gaussians=(600, 700), num_frames=6, image_long_side=(48, 64), rig_kinds=("arc",)
    )
    scenes = {name: SyntheticScene.draw(settings, (1, i)) for i, name in enumerate("ab")}
    write_training_set(tmp_path / "data", scenes, 2, held_out=["b"], reach=1)
    words = [w for w in MOTION if not w.startswith("steps")]
    code = main(
        [
            "train",
            "--config",
            str(config_path("train_igs_data")),
            *words,
            "flow_weights=untrained",
            "precision=fp32",
            "workers=0",
            f"data.root={tmp_path}/data",
            f"output={tmp_path}/run",
        ]
    )
    assert code == 0
    steps = [line["step"] for line in read_scalars(tmp_path / "run") if "validation/psnr" in line]
    assert steps == [2, 4]  # two pairs an epoch: there and back


def test_main_runs_under_accelerate(project_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    command += ["acc_cfg/default_config.yaml", "main.py", "--config", "configs/train_small.yaml"]
    words = [*MOTION, "flow_weights=untrained", f"output={tmp_path}/run"]
    done = subprocess.run(
        [*command, *words],
        cwd=project_root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"weights: {tmp_path}/run/1/model.safetensors" in done.stdout
