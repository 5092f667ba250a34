"""Settings of `igs evaluate motion`, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045


@dataclass
class SyntheticEvaluation:
    """Held-out scenes with known motion.

    count: scenes. seed: another one than any training uses. still: further scenes of which
    nothing moves. held_out: cameras that measure, the last of a sample's views; on the others key
    frames and the upper bound are refined, for `iterations` each. data: what scenes are drawn
    from, the fields of `SyntheticDataConfig`.
    """

    count: int = 20
    seed: int = 2_000_003
    still: int = 4
    held_out: int = 2
    iterations: int = 100
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class CaptureEvaluation:
    """A recorded capture: a config of `igs stream`, and what is otherwise.

    The upper bound is a run of that config in which every frame is refined; it is kept and used
    again as long as its settings are the same.
    """

    config: str = ""
    overrides: list[str] = field(default_factory=list)


@dataclass
class MotionEvaluationConfig:
    """A run of `igs evaluate motion`.

    weights: name of a row to a file of AGM-Net, a folder of `ckpt/` or a hub id.
    steps: candidate frames ahead of each key frame. change: in 0..1, what a held-out image must
    change by since the key frame for a pixel to count as moving; margin: pixels around those.
    """

    output: str = "outputs/evaluate_motion"
    device: str = "cpu"
    threads: Optional[int] = None
    weights: dict[str, str] = field(default_factory=dict)
    steps: int = 5
    change: float = 0.06
    margin: int = 2
    synthetic: SyntheticEvaluation = field(default_factory=SyntheticEvaluation)
    captures: dict[str, CaptureEvaluation] = field(default_factory=dict)
