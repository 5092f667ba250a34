"""Scalars and images of a run: lines of JSON always, TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

log = logging.getLogger(__name__)

LINES = "metrics.jsonl"
EVENTS = "runs"


class RunLog:
    """Where one process of a run writes its figures.

    Every name begins with `train/` or `validation/`. Figures are means since the last ones of the
    same name.

    Args:
        output: folder of the run; gets `metrics.jsonl` and `runs/`.
        step: steps taken so far; lines of later ones (of a run that was broken off) are dropped.
    """

    def __init__(self, output: Path, step: int = 0) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self._lines = output / LINES
        _drop_lines_after(self._lines, step)
        self._events = _event_writer(output / EVENTS, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None:
            self._events.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Figures after a step, by name."""
        with open(self._lines, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def image(self, name: str, image: Tensor, step: int) -> None:
        """A (3, H, W) image, 0..1; values outside are clamped."""
        if self._events is not None:
            self._events.add_image(name, image.detach().float().clamp(0, 1).cpu(), step)


def read_scalars(output: Path) -> list[dict[str, float]]:
    """All lines of a run's `metrics.jsonl`, in order; none where it is not there."""
    path = output / LINES
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    if len(kept) < len(lines):
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _event_writer(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        log.warning("no TensorBoard log: pip install tensorboard (%s is written)", LINES)
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
