"""The training loop under accelerate: one process, several, or several machines.

Source: spec `streaming.md`, section 11, with faults 25, 26 and 34 of section 16 mended: the
warm-up fits the run, figures have names, errors are let through, and means over several processes
are sums over counts. The schedule counts optimiser steps, whatever the number of processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from igs.config.difference import first_difference
from igs.config.load import ConfigError, to_yaml
from igs.config.training import LoopConfig
from igs.scene.files import write_text
from igs.training.batches import Batch, BatchPlan, batches, seed_everything
from igs.training.checkpoint import (
    Checkpoint,
    drop_old_epochs,
    latest_checkpoint,
    moment_name,
    random_states,
    restore_random_states,
    write_checkpoint,
)
from igs.training.log import RunLog
from igs.training.schedule import make_optimiser, one_cycle
from igs.training.task import Task

log = logging.getLogger(__name__)

SETTINGS = "config.yaml"

# What a resumed run may have otherwise: nothing that is learned depends on it, but for rounding.
MAY_DIFFER = (
    "output",
    "device",
    "threads",
    "workers",
    "log_every",
    "save_minutes",
    "keep_epochs",
    "validation",
    "data.root",
    "data.photos",
)


@dataclass(frozen=True)
class TrainingProgress:
    """After a step: how many of how many are done, its loss, and the epoch it belongs to."""

    step: int
    total: int
    loss: float
    epoch: int


Progress = Callable[[TrainingProgress], None]


class Trainer:
    """One training run; `run` does it all.

    Args:
        config: see `LoopConfig`; the whole config of the run, which is written to the output.
        task: what to train.
        resume: go on from the latest checkpoint in the output folder.
        progress: called after every step on the main process.

    Raises:
        FileExistsError: the output folder holds checkpoints, and `resume` is not asked for.
        FileNotFoundError: `resume` finds no checkpoint.
        ConfigError: the checkpoint was made with other settings; names the first that differs.
    """

    def __init__(
        self,
        config: LoopConfig,
        task: Task,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.config, self.task, self.progress = config, task, progress
        self.output = Path(config.output)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.accelerator = make_accelerator(config)
        start = find_start(self.output, resume)
        self.accelerator.wait_for_everyone()
        seed_everything(config.seed)
        self.source = task.source(config.seed, validation=False)
        self.plan = BatchPlan(
            config.seed,
            config.batch,
            self.accelerator.num_processes,
            self.accelerator.process_index,
            len(self.source) if hasattr(self.source, "__len__") else None,  # type: ignore[arg-type]
        )
        steps = config.steps_per_epoch or self.plan.steps_per_epoch()
        assert steps is not None, "checked with the config: data without end need steps_per_epoch"
        self.steps_per_epoch, self.total = steps, steps * config.epochs
        optimiser = make_optimiser(task.parameter_groups(), config.optimiser)
        self.schedule = one_cycle(optimiser, config.optimiser, self.total)
        self.model, self.optimiser = self.accelerator.prepare(task.model, optimiser)
        self.step = self._restore(start) if start is not None else 0

    def run(self) -> Checkpoint | None:
        """Train to the end; returns the last checkpoint, None where nothing was left to do."""
        checkpoint = None
        if self.accelerator.is_main_process:
            write_text(self.output / SETTINGS, to_yaml(self.config))
            with RunLog(self.output, self.step) as run_log:
                checkpoint = self._epochs(run_log)
        else:
            checkpoint = self._epochs(None)
        return checkpoint

    def _epochs(self, run_log: RunLog | None) -> Checkpoint | None:
        feed = batches(self.source, self.plan, self.step, self.total, self.config.workers)
        meter = _Meter()
        saved_at, checkpoint = time.monotonic(), None
        for batch in feed:
            values = self._step(self.task.to_device(batch, self.accelerator.device))
            meter.add(values)
            self._report(values)
            if self.step % self.config.log_every == 0:
                self._log(run_log, meter)
            if self.step % self.steps_per_epoch == 0:
                checkpoint = self._end_epoch(run_log)
                saved_at = time.monotonic()
            elif self._is_time_to_save(saved_at):
                checkpoint = self._save(moment_name(self.step))
                saved_at = time.monotonic()
        return checkpoint

    def _step(self, batch: Batch[Any]) -> dict[str, Tensor]:
        """Forward, backward, clip, step; returns the losses and the gradient's norm."""
        self.model.train()
        losses = self.task.losses(self.model(batch), batch)
        loss = losses["loss"]
        # Loss scaling looks for its own overflows and leaves such a step out.
        if self.accelerator.scaler is None and not bool(torch.isfinite(loss)):
            raise RuntimeError(
                f"step {self.step}: the loss is {loss.item()} on samples {batch.indices}; "
                "lower optimiser.rate, or look at these samples"
            )
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), self.config.optimiser.clip_norm
        )
        self.optimiser.step()
        rate = float(self.schedule.get_last_lr()[0])
        if not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()
        self.optimiser.zero_grad()
        self.step += 1
        values = {name: value.detach() for name, value in losses.items()}
        extra = {"gradient_norm": norm, "learning_rate": rate}
        return values | {n: torch.as_tensor(v, device=loss.device) for n, v in extra.items()}

    def _report(self, values: Mapping[str, Tensor]) -> None:
        if self.progress is not None and self.accelerator.is_main_process:
            epoch = (self.step - 1) // self.steps_per_epoch
            loss = float(values["loss"])
            self.progress(TrainingProgress(self.step, self.total, loss, epoch))

    def _log(self, run_log: RunLog | None, meter: _Meter) -> None:
        figures = meter.means(self.accelerator)
        if run_log is not None:
            run_log.scalars({f"train/{k}": v for k, v in figures.items()}, self.step)

    def _end_epoch(self, run_log: RunLog | None) -> Checkpoint:
        epoch = self.step // self.steps_per_epoch - 1
        checkpoint = self._save(str(epoch))
        keep = self.config.keep_epochs
        if keep is not None and self.accelerator.is_main_process:
            drop_old_epochs(self.output, keep)
        validation = self.config.validation
        due = (epoch + 1) % validation.every_epochs == 0 or self.step == self.total
        if due and validation.samples:
            figures = self.validate(run_log)
            if run_log is not None:
                run_log.scalars({f"validation/{k}": v for k, v in figures.items()}, self.step)
                shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
                log.info("epoch %d: %s", epoch, shown)
        return checkpoint

    @torch.no_grad()
    def validate(self, run_log: RunLog | None = None) -> dict[str, float]:
        """Means over the validation samples; the same on every process, however many there are."""
        settings, share = self.config.validation, self.accelerator
        model = share.unwrap_model(self.model).eval()
        source = self.task.source(settings.seed, validation=True)
        totals = {name: [0.0, 0.0] for name in self.task.measures}
        for index in range(share.process_index, settings.samples, share.num_processes):
            batch = self.task.to_device(Batch.of(source, [index]), share.device)
            outputs = model(batch)
            for name, (total, count) in self.task.measure(outputs, batch).items():
                totals[name][0] += total
                totals[name][1] += count
            if run_log is not None and index < settings.images:
                for name, image in self.task.images(outputs, batch).items():
                    run_log.image(f"validation/{index}/{name}", image, self.step)
        dtype = torch.float32 if share.device.type == "mps" else torch.float64
        table = torch.tensor(list(totals.values()), dtype=dtype, device=share.device)
        sums = _sum_over_processes(table, share).tolist()
        return {n: s / c for n, (s, c) in zip(totals, sums, strict=True) if c}

    def _is_time_to_save(self, saved_at: float) -> bool:
        if not self.config.save_minutes:
            return False
        due = time.monotonic() - saved_at >= 60 * self.config.save_minutes
        if self.accelerator.num_processes == 1:
            return due
        # Clocks differ: the main process decides, as all of them take part in saving.
        word = torch.tensor([float(due and self.accelerator.is_main_process)])
        return bool(_sum_over_processes(word.to(self.accelerator.device), self.accelerator).item())

    def _save(self, name: str) -> Checkpoint:
        states = gather_object([random_states()])
        folder = self.output / name
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "random": states,
                "settings": _settings(self.config, self.plan.processes),
            }
            write_checkpoint(self.output, name, self.step, self.task.save, state)
        self.accelerator.wait_for_everyone()
        return Checkpoint(folder, self.step)

    def _restore(self, start: Checkpoint) -> int:
        """Optimiser, schedule and random states; the weights came with the task."""
        state = start.state()
        settings = _settings(self.config, self.plan.processes)
        difference = first_difference(state["settings"], settings, MAY_DIFFER)
        if difference is not None:
            key, old, new = difference
            raise ConfigError(
                f"{start.folder}: made with {key}={old}, not {new}; resume with the same settings, "
                f"or start a new run from its weights (weights={start.model})"
            )
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"][self.plan.process])
        if self.accelerator.is_main_process:
            log.info("going on from %s, step %d of %d", start.folder, start.step, self.total)
        return start.step


def find_start(output: Path, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, or None for a new run.

    Raises:
        FileExistsError: there is one, and `resume` is not asked for.
        FileNotFoundError: there is none, and it is.
    """
    found = latest_checkpoint(output)
    if resume and found is None:
        raise FileNotFoundError(f"{output}: no checkpoint to go on from; start without --resume")
    if not resume and found is not None:
        raise FileExistsError(
            f"{output}: holds a run of {found.step} steps; go on with it (--resume), "
            "or give another output"
        )
    return found


def make_accelerator(config: LoopConfig) -> Accelerator:
    """Accelerate on the CPU if asked for or if there is no GPU.

    Raises:
        ConfigError: a precision that the device does not have.
    """
    cpu = config.device == "cpu" or not torch.cuda.is_available()
    if cpu and config.precision == "fp16":
        raise ConfigError("precision: fp16 needs a GPU; on a CPU say fp32 or bf16")
    precision = "no" if config.precision == "fp32" else config.precision
    return Accelerator(mixed_precision=precision, cpu=cpu)


def _sum_over_processes(values: Tensor, accelerator: Accelerator) -> Tensor:
    total = accelerator.reduce(values, "sum")
    assert isinstance(total, Tensor)
    return total


class _Meter:
    """Means of figures over steps and processes, without waiting for the device at each step."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count, self._since = 0, time.monotonic()

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._count += 1

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Means since the last call, with the seconds a step took."""
        names = sorted(self._sums)
        row = torch.stack([self._sums[name].float() for name in names])
        sums = _sum_over_processes(row, accelerator).tolist()
        count = self._count * accelerator.num_processes
        seconds = (time.monotonic() - self._since) / self._count
        self._clear()
        means = {name: total / count for name, total in zip(names, sums, strict=True)}
        return means | {"seconds_per_step": seconds}


def _settings(config: LoopConfig, processes: int) -> dict[str, Any]:
    """What the course of a run depends on, and more."""
    return {**asdict(config), "processes": processes}
