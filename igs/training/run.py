"""Whole training runs, from a config to the last checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from igs.config import FlowTrainConfig, TrainConfig, check_flow_train, check_train
from igs.config.training import LoopConfig
from igs.training.agm import MotionTask
from igs.training.checkpoint import Checkpoint
from igs.training.flow import FlowTask
from igs.training.loop import Progress, Trainer, find_start
from igs.training.networks import make_agm, make_flow

Config = TypeVar("Config", bound=LoopConfig)


def train_motion(
    config: TrainConfig, resume: bool = False, progress: Progress | None = None
) -> Checkpoint | None:
    """Train AGM-Net.

    Args:
        config: the run; its output folder gets checkpoints, figures and the config.
        resume: go on from the latest checkpoint there, to the same losses as without a break.
        progress: called after every step.

    Returns:
        The last checkpoint; None where the run was complete already.

    Raises:
        ConfigError: settings that cannot work, or others than those of the run to go on with.
        OSError: files that are not there, or cannot be written.
    """
    check_train(config)
    network = make_agm(_from_checkpoint(config, resume))
    return _run(Trainer(config, MotionTask(config, network), resume, progress))


def train_flow(
    config: FlowTrainConfig, resume: bool = False, progress: Progress | None = None
) -> Checkpoint | None:
    """Train GMFlow; see `train_motion`."""
    check_flow_train(config)
    network = make_flow(_from_checkpoint(config, resume))
    return _run(Trainer(config, FlowTask(config, network), resume, progress))


def _run(trainer: Trainer) -> Checkpoint | None:
    checkpoint = trainer.run()
    trainer.accelerator.end_training()  # the processes part
    return checkpoint


def _from_checkpoint(config: Config, resume: bool) -> Config:
    """The same run, its weights those of the checkpoint to go on from."""
    start = find_start(Path(config.output), resume)
    if start is None:
        return config
    # A checkpoint holds the flow features as well.
    flow = {"flow_weights": None} if isinstance(config, TrainConfig) else {}
    return replace(config, weights=str(start.model), **flow)
