"""Optimisation of one time step's Gaussians against its images.

Source: spec `frame0.md`, section 3, with faults 10, 13, 20, 21 and 23 of section 8 mended unless
the config asks for the original; what several views agree on, the budget of Gaussians and the
coarse-to-fine start after spec `rasterizer_benchmark.md`, section 2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from fused_ssim import photometric_loss

from igs.config.frame0 import Frame0Config
from igs.frame0.camera_color import CameraColors
from igs.frame0.growth import (
    agreed_statistics,
    clear_distances,
    cut_away,
    density_rule,
    error_votes,
    veils,
)
from igs.frame0.losses import shape_penalty, view_depth_normal_loss
from igs.frame0.schedule import cosine_share, factor_at, sh_degree_at, stretched
from igs.frame0.validation import Validation
from igs.frame0.views import (
    TrainingViews,
    ViewDraw,
    check_images,
    split_validation,
    training_extent,
    with_central_point,
)
from igs.gaussians import (
    DensityStatistics,
    GaussianOptimizer,
    Gaussians,
    apply_filter_3d,
    compute_filter_3d,
    densify,
    exponential_decay,
    plan_densification,
    reset_opacity,
)
from igs.render import RenderOutput, render
from igs.scene import Camera

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]

_DEPTH_OUTPUTS = ("depth", "median_depth", "normal")


@dataclass
class Frame0Trainer:
    """One optimisation run; `run` does it all, `step` one iteration.

    Args:
        config: see `Frame0Config`.
        cameras: the training cameras; those that `config.validation` sets aside are among them.
        images: their images, camera name to (H, W, 3) uint8.
        start: Gaussians to start from, on the device to work on.
        background: (3,) colour behind everything, 0..1.
        seed: decides the view order and the densification's samples.
        stations: all cameras of the rig, held-out ones included, before which
            `config.density.clear_share` keeps free; only their calibration is used. None takes
            `cameras`.

    Attributes:
        iteration: the last one done, 0 at first.
        colors: the cameras' colours, None where the config has them off.
        validation: the cameras set aside and the best state so far, None without any.

    Raises:
        ValueError: no camera, or an image that is missing or of another size than its camera.
    """

    config: Frame0Config
    cameras: Sequence[Camera]
    images: Mapping[str, np.ndarray]
    start: Gaussians
    background: torch.Tensor
    seed: int
    stations: Sequence[Camera] | None = None
    filter_3d: torch.Tensor | None = field(init=False, default=None)
    iteration: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        check_images("frame 0", self.cameras, self.images)
        self.config = stretched(self.config)
        config, device = self.config, self.start.device
        self.stations = list(self.stations or self.cameras)
        clear = config.density.clear_share
        self._clear = clear_distances(self.stations, self.start.means, clear) if clear else []
        if config.central_point:
            self.cameras = [with_central_point(camera) for camera in self.cameras]
        aside = config.validation
        self.cameras, kept = split_validation(self.cameras, aside.count, aside.cameras)
        self.views = TrainingViews(self.cameras, self.images)
        held = TrainingViews(kept, self.images)
        self.validation = Validation(held, self.background, aside) if kept else None
        self.extent = training_extent(self.cameras, self.start.means)
        self.start_count = len(self.start)
        self.optimizer = self._make_optimizer()
        self._means_rate = exponential_decay(
            config.rates.means * self.extent,
            config.rates.means_final * self.extent,
            config.decay_steps,
        )
        colors, names = config.camera_color, [camera.name for camera in self.cameras]
        self.colors = (
            CameraColors(names, colors.rate, colors.weight, device) if colors.enabled else None
        )
        self.generator = torch.Generator().manual_seed(self.seed)
        self.draw = ViewDraw(len(self.cameras), self.generator)
        self.statistics = DensityStatistics(len(self.start), device)
        self._refresh_filter()

    def run(
        self, progress: Progress | None = None, each: Callable[[Frame0Trainer], None] | None = None
    ) -> Gaussians:
        """Optimise up to `config.iterations`, from where it stands.

        Args:
            progress: called with (iteration, iterations, loss).
            each: called behind every iteration, for instance to save a checkpoint.

        Returns:
            The Gaussians, the 3D filter folded in; with validation, those of its best look.
        """
        total = self.config.iterations
        while self.iteration < total:
            loss = self.step(self.iteration + 1)
            if progress is not None:
                progress(self.iteration, total, loss)
            stops = self.validation is not None and self.validation.look(self)
            if each is not None:
                each(self)
            if stops:
                logger.info("frame 0: stopped early at iteration %d", self.iteration)
                break
        logger.info("frame 0: %d Gaussians, %d iterations", len(self.optimizer), self.iteration)
        return self.result()

    def result(self) -> Gaussians:
        """The Gaussians as rendered, outside any graph; the best ones where there is validation."""
        if self.validation is not None and self.validation.best is not None:
            return self.validation.best
        return self.snapshot()

    def snapshot(self) -> Gaussians:
        """The Gaussians as they stand, as rendered, outside any graph."""
        if self.config.filter_3d:
            means = self.optimizer.gaussians.means.detach()
            fresh = compute_filter_3d(means, self.cameras)
            return apply_filter_3d(self.optimizer.gaussians, fresh).detach()
        return self.optimizer.gaussians.detach()

    def parameters(self) -> tuple[Gaussians, torch.Tensor | None]:
        """The Gaussians before the filter, outside any graph, and the (N,) filter as it stands."""
        return self.optimizer.gaussians.detach(), self.filter_3d

    def step(self, iteration: int) -> float:
        """One iteration, counted from 1; returns the loss."""
        self.iteration = iteration
        self._set_rates(iteration)
        factor = factor_at(iteration, self.config.iterations, self.config.coarse_to_fine)
        camera, target = self.views.at(self.draw(), factor, self.start.device)
        smooths = self._smooths(iteration)
        view = render(
            self._filtered(),
            camera,
            self.background,
            sh_degree=sh_degree_at(iteration, self.config),
            want=_DEPTH_OUTPUTS if smooths else ("color",),
        )
        loss = self._loss(view, camera, target, smooths)
        loss.backward()
        if iteration <= self.config.density.until and view.means2d.grad is not None:
            self.statistics.update(view.means2d.grad, view.radii)
        if self.config.original_order:
            self._adapt(iteration, factor)
        if not (self.config.original_order and iteration == self.config.iterations):
            self.optimizer.step()
        self.optimizer.zero_grad()
        if self.colors is not None:
            self.colors.step()
        if not self.config.original_order:
            self._adapt(iteration, factor)
        return float(loss.detach())

    def _make_optimizer(self) -> GaussianOptimizer:
        rates = self.config.rates
        groups = {
            "means": rates.means * self.extent,
            "sh0": rates.sh0,
            "shN": rates.sh_rest,
            "opacity_logits": rates.opacity_logits,
            "log_scales": rates.log_scales,
            "quats": rates.quats,
        }
        return GaussianOptimizer(self.start, groups, split_sh=True)

    def _set_rates(self, iteration: int) -> None:
        self.optimizer.set_learning_rate("means", self._means_rate(iteration))
        rates = self.config.rates
        if rates.final == 1.0:
            return
        share = cosine_share(iteration, self.config.iterations, rates.final)
        named = {"sh0": rates.sh0, "shN": rates.sh_rest, "opacity_logits": rates.opacity_logits}
        named |= {"log_scales": rates.log_scales, "quats": rates.quats}
        for name in self.optimizer.learning_rates.keys() & named.keys():
            self.optimizer.set_learning_rate(name, named[name] * share)
        if self.colors is not None:
            self.colors.set_rate(self.config.camera_color.rate * share)

    def _smooths(self, iteration: int) -> bool:
        """Whether the depth-normal term acts at this iteration."""
        term = self.config.depth_normal
        return term.weight > 0 and iteration >= term.from_iteration and iteration % term.every == 0

    def _loss(
        self, view: RenderOutput, camera: Camera, target: torch.Tensor, smooths: bool
    ) -> torch.Tensor:
        config = self.config
        color, colors = view.color, self.colors
        learns = colors is not None and self.iteration >= config.camera_color.from_iteration
        if colors is not None and learns:
            color = colors.apply(color, camera.name)
        loss = photometric_loss(color, target, lambda_l1=config.lambda_l1)
        if colors is not None and learns:
            loss = loss + colors.penalty(camera.name)
        if smooths:
            term = config.depth_normal
            rough = view_depth_normal_loss(view, camera, term.median_share)
            loss = loss + term.weight * term.every * rough
        penalty = shape_penalty(
            self.optimizer.gaussians,
            self.extent,
            opacity=config.opacity_decay,
            scale=config.scale_decay,
            sh=config.sh_decay,
        )
        return loss if penalty is None else loss + penalty

    def _filtered(self) -> Gaussians:
        gaussians = self.optimizer.gaussians
        if self.filter_3d is None:
            return gaussians
        return apply_filter_3d(gaussians, self.filter_3d)

    def _refresh_filter(self) -> None:
        if self.config.filter_3d:
            means = self.optimizer.gaussians.means.detach()
            self.filter_3d = compute_filter_3d(means, self.cameras)

    def _adapt(self, iteration: int, factor: float) -> None:
        """Density control, opacity reset and filter, each at its own interval."""
        density, last = self.config.density, iteration >= self.config.iterations
        if last and not self.config.original_order:
            return
        densifies = density.start < iteration <= density.until
        if densifies and iteration % density.interval == 0:
            self._densify(iteration, factor)
        elif iteration > density.until and iteration % self.config.filter_interval == 0:
            self._clear_views()
            self._refresh_filter()
        if iteration % density.opacity_reset_interval == 0 and iteration <= density.until:
            logits = reset_opacity(self.optimizer.gaussians, self.filter_3d)
            self.optimizer.replace_values("opacity_logits", logits, reset_moments=True)

    def _densify(self, iteration: int, factor: float) -> None:
        density, statistics = self.config.density, self.statistics
        if density.error_views:
            statistics = agreed_statistics(statistics, self._votes(iteration, factor))
        rule = density_rule(density, iteration, self.start_count)
        gaussians = self.optimizer.gaussians.detach()
        plan = plan_densification(gaussians, statistics, rule, self.extent)
        densify(self.optimizer, plan, generator=self.generator)
        self._cut_away()
        self._clear_views()
        self.statistics = DensityStatistics(len(self.optimizer), self.start.device)
        self._refresh_filter()

    def _cut_away(self) -> None:
        cut = cut_away(self.optimizer.gaussians.means.detach(), self.config.density)
        if cut is None or not bool(cut.any()):
            return
        if bool(cut.all()):
            raise ValueError(
                "frame0.density.min_z, max_z: all Gaussians lie beyond; these cuts are for scenes "
                "in the release's own axes, null turns them off"
            )
        self.optimizer.keep(~cut)

    def _clear_views(self) -> None:
        """Delete what hangs before a lens."""
        if not self._clear or self.stations is None:
            return
        hangs = veils(self.optimizer.gaussians.means.detach(), self.stations, self._clear)
        if bool(hangs.any()) and not bool(hangs.all()):
            self.optimizer.keep(~hangs)

    def _votes(self, iteration: int, factor: float) -> torch.Tensor:
        count = min(self.config.density.error_views, len(self.views))
        chosen = torch.randperm(len(self.views), generator=self.generator)[:count].tolist()
        factor = max(factor, 2.0)  # where it goes wrong shows at half the size, for a quarter
        views = [self.views.at(i, factor, self.start.device) for i in chosen]
        gaussians = self._filtered().detach()
        return error_votes(gaussians, views, self.background, sh_degree_at(iteration, self.config))
