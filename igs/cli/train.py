"""`igs train`: train AGM-Net, or with `igs train flow` the flow network it builds on."""

from __future__ import annotations

import argparse
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from igs.training.loop import TrainingProgress

EPILOG = """examples:
  igs train flow --config configs/train_flow_small.yaml
  igs train flow --config configs/train_flow_small_256.yaml weights=outputs/train_flow_small/4
  igs train --config configs/train_small.yaml flow_weights=outputs/train_flow_small_256/3
  igs train --config configs/train_small.yaml --resume
  accelerate launch --config_file acc_cfg/multi_gpu.yaml main.py --config configs/train.yaml

--resume goes on from the latest checkpoint in the output folder; all else stays as it was given.
"""

FLOW = "flow"


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train the motion network or the flow network",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="YAML file; see configs/train*.yaml")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="[flow] key=value",
        help="what to train (flow, or AGM-Net without a word), and settings that win over the file",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the latest checkpoint")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where the weights are."""
    from igs.config import FlowTrainConfig, TrainConfig, load_config
    from igs.config.resources import config_path

    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise ValueError(f"training needs accelerate: pip install 'igs[train]' ({error})") from None
    from igs.training.run import train_flow, train_motion

    path, words = config_path(arguments.config), arguments.overrides
    with TrainingBar() as bar:
        if words[:1] == [FLOW]:
            config = load_config(FlowTrainConfig, path, words[1:])
            checkpoint = train_flow(config, arguments.resume, bar)
        else:
            config = load_config(TrainConfig, path, words)
            checkpoint = train_motion(config, arguments.resume, bar)
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"weights: {checkpoint.model}" if checkpoint else "the run was complete already")
        print(f"figures: {config.output}/metrics.jsonl")
    return 0


class TrainingBar:
    """Callable that takes `TrainingProgress` and draws a bar on standard error."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: TrainingProgress) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=progress.total,
                initial=progress.step - 1,
                unit="step",
                mininterval=1.0,
                dynamic_ncols=True,
            )
        self._bar.set_description(f"epoch {progress.epoch}", refresh=False)
        self._bar.set_postfix_str(f"loss {progress.loss:.4g}", refresh=False)
        self._bar.update(progress.step - self._bar.n)
