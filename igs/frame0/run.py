"""A whole run on one instant: points, optimisation, saved models, renders, figures, compression.

Everything lies in the output folder as `igs.frame0.outputs` describes, and beside it
``checkpoint.safetensors`` while the run goes on (and finished attempts, see `igs.frame0.attempts`),
``frame0.json`` (the figures) and ``camera_colors.json`` where cameras have colours of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from igs.config.frame0_run import Frame0RunConfig, check_frame0_run
from igs.config.load import to_yaml
from igs.frame0.attempts import AttemptFiles, Trained, attempts_report, best_of_attempts
from igs.frame0.camera_color import aligned, write_camera_colors
from igs.frame0.checkpoint import checkpoint_seed, load_checkpoint, save_checkpoint
from igs.frame0.compress import MakeTrainer
from igs.frame0.compress_run import compress_model
from igs.frame0.initial import gaussians_from_points, initial_points, start_from_gaussians
from igs.frame0.losses import normal_angle
from igs.frame0.outputs import (
    iteration_name,
    model_options,
    render_views,
    save_gaussians,
    save_test_line,
    start_model,
)
from igs.frame0.outputs_metrics import write_results
from igs.frame0.photographs import Photographs, read_photographs
from igs.frame0.room import CHECKPOINT, CONFIG, REPORT, make_room
from igs.frame0.train import Frame0Trainer
from igs.gaussians import Gaussians, PointCloud, read_ply
from igs.metrics import psnr, ssim
from igs.render import render, to_float
from igs.scene import Camera, GaussianModelFolder
from igs.scene.files import write_json, write_text

logger = logging.getLogger(__name__)

StageProgress = Callable[[str, int, int, str], None]
COLORS = "camera_colors.json"


def run_frame0(
    config: Frame0RunConfig, *, resume: bool = False, progress: StageProgress | None = None
) -> dict[str, Any]:
    """Optimise one instant and write everything that belongs to it.

    Args:
        config: see `Frame0RunConfig`.
        resume: go on from the checkpoint in the output folder, where there is one. Otherwise an
            earlier run there is moved aside to `<output>.previous`.
        progress: called with (`points`, `frame0`, `compress`, `distil` or `quantise`; done; total;
            note).

    Returns:
        The figures, as `frame0.json` holds them.

    Raises:
        FileNotFoundError: the scene, an image or a PLY is missing.
        ValueError: bad settings, images, cameras or checkpoint, or an output folder that holds
            something else than a run; one line that names the thing.
    """
    check_frame0_run(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    photographs = read_photographs(
        config.root,
        images=config.images,
        resolution=config.resolution,
        split=config.split,
        held_out=config.held_out,
    )
    make_room(config, resume)
    return _Run(config, photographs, progress or (lambda stage, done, total, note: None)).do(resume)


class _Run:
    """One run's parts, which its stages share."""

    def __init__(
        self, config: Frame0RunConfig, photographs: Photographs, progress: StageProgress
    ) -> None:
        self.config, self.photographs, self._progress = config, photographs, progress
        self.root = Path(config.output)
        self.background = torch.tensor(config.background, device=config.device)
        self._seconds_before = self._seconds_training = 0.0

    def do(self, resume: bool) -> dict[str, Any]:
        frame0, checkpoint = self.config.frame0, self.root / CHECKPOINT
        files = AttemptFiles(self.root, asdict(self.config))
        (trainer, points), attempts = best_of_attempts(
            frame0.attempts,
            self.config.seed,
            lambda seed, note: self._train(seed, note, files if resume else None),
            files,
            lambda seed: self._restored(seed, files.state(seed)),
        )
        model = self._folder(points)
        name = iteration_name(frame0.iterations)
        gaussians, filter_3d = trainer.parameters()
        best = trainer.result()
        if trainer.validation is not None and trainer.validation.best is not None:
            gaussians, filter_3d = best, None
        path = save_gaussians(model, name, gaussians, filter_3d)
        report: dict[str, Any] = {
            "iterations": trainer.iteration,
            "seconds_before_training": self._seconds_before,
            "seconds_training": self._seconds_training,
            "plain": self._figures(model, name, best, path, trainer),
        }
        if attempts:
            report["attempts"] = attempts_report(attempts)
        report |= self._learned(trainer)
        if self.config.compression:
            report["compressed"] = self._compress(model, trainer, gaussians, filter_3d)
        write_json(self.root / REPORT, report, indent=1)
        checkpoint.unlink(missing_ok=True)
        files.remove()
        return report

    def _train(self, seed: int, note: str, resumed: AttemptFiles | None) -> Trained:
        """Optimise to the end; a run that is resumed goes on from the checkpoint, if there is one.

        `resumed` tells which attempts are finished, whose checkpoint may have stayed.
        """
        started, checkpoint = time.perf_counter(), self.root / CHECKPOINT
        takes_up = resumed is not None and self._is_unfinished(checkpoint, resumed)
        start, points = self._start(seed)
        model = self._folder(points)
        trainer = self._trainer(start, seed)
        if takes_up:
            load_checkpoint(checkpoint, trainer)
            logger.info("frame 0: taken up at iteration %d", trainer.iteration)
        prepared = time.perf_counter()
        trainer.run(
            lambda done, total, loss: self._progress(
                "frame0", done, total, f"{note}loss {loss:.4f}"
            ),
            lambda at: self._keep(at, model, checkpoint),
        )
        self._seconds_before += prepared - started
        self._seconds_training += time.perf_counter() - prepared
        return trainer, points

    def _restored(self, seed: int, state: Path) -> Trained:
        """An attempt that was finished before the run was taken up."""
        start, points = self._start(seed)
        trainer = self._trainer(start, seed)
        load_checkpoint(state, trainer)
        return trainer, points

    def _is_unfinished(self, checkpoint: Path, files: AttemptFiles) -> bool:
        """Whether there is a checkpoint, and not that of an attempt that is finished."""
        finished = [attempt.seed for attempt in files.read()]
        if not checkpoint.is_file():
            return False
        return not finished or checkpoint_seed(checkpoint) not in finished

    def _start(self, seed: int) -> tuple[Gaussians, PointCloud]:
        """Gaussians to start from, and the points they stand for."""
        config, cameras = self.config, self.photographs.training
        if config.start is not None:
            read = read_ply(config.start, sh_degree=None).to(config.device)
            start = start_from_gaussians(read, cameras, config.frame0)
            return start, PointCloud(start.means.cpu(), start.base_colors.cpu())
        points = initial_points(
            config.frame0.init,
            cameras,
            self.photographs.images,
            Path(config.root),
            seed,
            lambda done, total: self._progress("points", done, total, ""),
            known=self.photographs.points,
        )
        logger.info("frame 0: %d initial points", len(points))
        start = gaussians_from_points(points, config.frame0.sh_degree)
        return start.to(config.device), points

    def _trainer(self, start: Gaussians, seed: int) -> Frame0Trainer:
        return Frame0Trainer(
            self.config.frame0,
            self.photographs.training,
            self.photographs.images,
            start,
            self.background,
            seed,
            list(self.photographs.rig.cameras.values()),
        )

    def _folder(self, points: PointCloud) -> GaussianModelFolder:
        config = self.config
        options = model_options(
            config.root,
            config.output,
            sh_degree=config.frame0.sh_degree,
            images=config.images,
            resolution=config.resolution,
            white_background=min(config.background) >= 1.0,
            evaluation=bool(self.photographs.rig.held_out),
            device=config.device,
        )
        # First of all: by it the folder is known as a run's.
        write_text(self.root / CONFIG, to_yaml(config))
        return start_model(self.root, self.photographs.full, points, options)

    def _keep(self, trainer: Frame0Trainer, model: GaussianModelFolder, checkpoint: Path) -> None:
        """Save what this iteration asks for."""
        every, done = self.config.checkpoint_interval, trainer.iteration
        if every and done % every == 0 and done < trainer.config.iterations:
            save_checkpoint(checkpoint, trainer)
        if done in self.config.save and done < trainer.config.iterations:
            save_gaussians(model, iteration_name(done), *trainer.parameters())

    def _figures(
        self,
        model: GaussianModelFolder,
        name: str,
        gaussians: Gaussians,
        path: Path,
        trainer: Frame0Trainer,
    ) -> dict[str, Any]:
        """Renders of the splits asked for, and the figures of the test views."""
        photographs = self.photographs
        render_views(
            model,
            name,
            gaussians,
            photographs.rig,
            photographs.images,
            self.background,
            splits=self.config.render,
            extra=self.config.render_extra,
        )
        held_out = [photographs.rig.cameras[n] for n in photographs.rig.held_out]
        figures = view_figures(gaussians, held_out, photographs.images, self.background)
        if held_out:
            save_test_line(model, name, figures["mean"]["l1"], figures["mean"]["psnr"])
            if "test" in self.config.render:
                write_results(model, name)
        watched = held_out or trainer.cameras[:1]
        angle = [_normal_angle(gaussians, camera) for camera in watched]
        return {
            "gaussians": len(gaussians),
            "bytes": path.stat().st_size,
            "normal_angle_degrees": float(np.mean(angle)),
            "test": figures,
        }

    def _learned(self, trainer: Frame0Trainer) -> dict[str, Any]:
        """What the run found out about cameras and about when to stop."""
        found: dict[str, Any] = {}
        if trainer.colors is not None:
            write_camera_colors(self.root / COLORS, trainer.colors.names, trainer.colors.matrices)
            found["camera_colors"] = trainer.colors.report()
        if trainer.validation is not None:
            found["validation"] = {
                "cameras": [camera.name for camera in trainer.validation.views.cameras],
                "best_iteration": trainer.validation.best_iteration,
                "history": trainer.validation.history,
            }
        return found

    def _compress(
        self,
        model: GaussianModelFolder,
        trainer: Frame0Trainer,
        gaussians: Gaussians,
        filter_3d: torch.Tensor | None,
    ) -> dict[str, Any]:
        started = time.perf_counter()
        config = self.config
        last = config.frame0.iterations + config.compress.recover.iterations
        name = iteration_name(last, compressed=True)
        result = compress_model(
            config.compress,
            config.frame0,
            model,
            trainer.cameras,
            self.photographs.images,
            gaussians,
            self.background,
            trainer.seed,
            filter_3d=filter_3d,
            first_iteration=trainer.iteration,
            iteration=name,
            make_trainer=_with_colors(self, trainer),
            progress=self._progress,
        )
        seconds = time.perf_counter() - started
        figures = self._figures(model, name, result.shown, result.ply, trainer)
        if result.quantised is not None:
            figures["quantised_bytes"] = result.quantised.stat().st_size
        return {"seconds": seconds, "settings": asdict(config.compress), **figures}


def _with_colors(run: _Run, trained: Frame0Trainer) -> MakeTrainer:
    """Trainers of the recovery: colours as learned, the same views kept free."""

    def make(settings: Any, start: Gaussians, seed: int) -> Frame0Trainer:
        images, stations = run.photographs.images, trained.stations
        trainer = Frame0Trainer(
            settings, trained.cameras, images, start, run.background, seed, stations
        )
        if trainer.colors is not None and trained.colors is not None:
            trainer.colors.load_state_tensors(trained.colors.state_tensors())
        return trainer

    return make


@torch.no_grad()
def view_figures(
    gaussians: Gaussians,
    cameras: list[Camera],
    images: Mapping[str, np.ndarray],
    background: torch.Tensor,
) -> dict[str, dict[str, float]]:
    """L1, PSNR (dB), SSIM and colour-aligned PSNR of views, by camera and as their `mean`.

    `psnr_colour_aligned` fits an affine colour to the captured image first (see `aligned`); it
    tells apart what is wrong in shape and what in exposure, and is no substitute for `psnr`.

    Returns:
        Camera name to figures; empty without cameras.
    """
    table: dict[str, dict[str, float]] = {}
    for camera in cameras:
        image = render(gaussians, camera, background).color.clamp(0, 1)
        target = to_float(images[camera.name], image.device)
        table[camera.name] = {
            "l1": float((image - target).abs().mean()),
            "psnr": psnr(image, target),
            "ssim": ssim(image, target),
            "psnr_colour_aligned": psnr(aligned(image, target), target),
        }
    if table:
        keys = next(iter(table.values()))
        table["mean"] = {k: float(np.mean([row[k] for row in table.values()])) for k in keys}
    return table


@torch.no_grad()
def _normal_angle(gaussians: Gaussians, camera: Camera) -> float:
    return normal_angle(render(gaussians, camera, want=("depth", "normal")), camera)
