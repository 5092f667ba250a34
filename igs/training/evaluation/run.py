"""The whole table of `igs evaluate motion`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from igs.config.evaluation import MotionEvaluationConfig
from igs.config.load import ConfigError
from igs.config.training import TrainDataConfig
from igs.motion import AGMNet, find_weights, load_agm
from igs.stream.folder import write_results
from igs.stream.session import Progress
from igs.training.data import synthetic_config
from igs.training.evaluation.captures import evaluate_capture
from igs.training.evaluation.scenes import evaluate_scenes
from igs.training.evaluation.scores import MotionScores
from igs.training.synthetic_data import SyntheticData

SYNTHETIC, STILL = "synthetic", "still scenes"


def evaluate_motion(
    config: MotionEvaluationConfig, progress: Callable[[Progress], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Every data set's rows: what carries the Gaussians to its figures (`MotionScores.row`).

    Args:
        config: see `MotionEvaluationConfig`.
        progress: told where each part stands.

    Returns:
        Data set to row name to figures; also written to `<output>/motion.json`.

    Raises:
        ConfigError: settings that make no sense.
        FileNotFoundError, ValueError: weights or captures that are not there or do not fit.
    """
    if config.steps < 1 or config.synthetic.held_out < 1:
        raise ConfigError("steps and synthetic.held_out must be at least 1")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    networks = {name: load_agm(find_weights(file)) for name, file in config.weights.items()}
    tables: dict[str, dict[str, Any]] = {}
    told = progress or (lambda _: None)
    for name, count, still in _scene_sets(config):
        if count:
            data = _synthetic(config, networks, still)
            scores = evaluate_scenes(data, count, config, networks, _named(told, name))
            _keep(tables, name, scores, config)
    for name, capture in config.captures.items():
        folder = Path(config.output) / name
        _keep(tables, name, evaluate_capture(capture, config, networks, folder, told), config)
    return tables


def _scene_sets(config: MotionEvaluationConfig) -> list[tuple[str, int, bool]]:
    return [(SYNTHETIC, config.synthetic.count, False), (STILL, config.synthetic.still, True)]


def _synthetic(
    config: MotionEvaluationConfig, networks: dict[str, AGMNet], still: bool
) -> SyntheticData:
    sizes = {network.config.network_size for network in networks.values()} or {256}
    if len(sizes) > 1:
        raise ConfigError(f"weights: networks of several input sizes ({sorted(sizes)})")
    settings = TrainDataConfig(synthetic=config.synthetic.data)
    made = synthetic_config(settings, sizes.pop(), targets=True, flow=False)
    if still:
        made = replace(made, scene=replace(made.scene, still_scenes=1.0))
    else:
        made = replace(made, scene=replace(made.scene, still_scenes=0.0))
    return SyntheticData(made, config.synthetic.seed)


def _named(told: Callable[[Progress], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: told(Progress(name, done, total))


def _keep(
    tables: dict[str, dict[str, Any]],
    name: str,
    scores: dict[str, MotionScores],
    config: MotionEvaluationConfig,
) -> None:
    tables[name] = {row: found.row() for row, found in scores.items()}
    path = Path(config.output) / "motion.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_results(path, tables)
