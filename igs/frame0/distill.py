"""Fewer spherical harmonics: a student learns to look like the model before compression.

Source: Fan et al., LightGaussian (NeurIPS 2024); spec `frame0.md`, section 4 (SH distillation).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from fused_ssim import photometric_loss

from igs.config.compress import DistillConfig, check_distill
from igs.config.frame0 import Frame0Rates
from igs.frame0.compress import folded
from igs.frame0.train import ViewDraw, training_extent
from igs.gaussians import GaussianOptimizer, Gaussians
from igs.render import render
from igs.scene import Camera

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]

_JITTERED_OF = 3  # of so many iterations all but one see a displaced camera


def cut_sh(gaussians: Gaussians, sh_degree: int) -> Gaussians:
    """The same Gaussians without the coefficients above a degree; unchanged if there are none."""
    return gaussians.replace(sh=gaussians.sh[:, : (sh_degree + 1) ** 2])


def pseudo_view(camera: Camera, deviation: float, generator: torch.Generator) -> Camera:
    """A camera moved by normal noise, not turned.

    Args:
        camera: where it stands.
        deviation: standard deviation per axis, world units.
        generator: draws the displacement.
    """
    offset = deviation * torch.randn(3, generator=generator, dtype=torch.float64).numpy()
    pose = camera.world_to_camera.copy()
    pose[:3, 3] -= pose[:3, :3] @ offset
    return replace(camera, world_to_camera=pose)


def distill(
    config: DistillConfig,
    rates: Frame0Rates,
    teacher: Gaussians,
    student: Gaussians,
    cameras: Sequence[Camera],
    background: torch.Tensor,
    seed: int,
    *,
    filter_3d: torch.Tensor | None = None,
    progress: Progress | None = None,
) -> Gaussians:
    """Cut the student's SH and teach it the teacher's renders at training and pseudo-views.

    No captured image is needed: the teacher renders what the student shall look like.

    Args:
        config: see `DistillConfig`.
        rates: learning rates; the means' are multiplied by the scene's extent.
        teacher: the model before pruning, *as rendered* (3D filter folded in).
        student: M Gaussians of at least the wanted SH degree, filter *not* folded in.
        cameras: the training cameras.
        background: (3,) colour behind everything, 0..1.
        seed: decides the order of the views and their displacements.
        filter_3d: (M,) the student's filter, held fixed; None for none.
        progress: called with (iterations done, of how many, loss).

    Returns:
        M Gaussians of the wanted degree, filter not folded in.

    Raises:
        ValueError: no camera, or a student of a lower SH degree.
        ConfigError: settings that cannot be used; names the key.
    """
    check_distill(config)
    if not cameras:
        raise ValueError("distillation: no cameras to render")
    if student.sh_degree < config.sh_degree:
        raise ValueError(
            f"distill.sh_degree: {config.sh_degree} is asked for, the model has degree "
            f"{student.sh_degree}"
        )
    extent = training_extent(cameras, teacher.means)
    optimizer = _optimizer(config, rates, cut_sh(student.detach(), config.sh_degree), extent)
    start = optimizer.learning_rates
    generator = torch.Generator().manual_seed(seed)
    draw = ViewDraw(len(cameras), generator)
    for step in range(config.iterations):
        factor = config.rate_decay ** (step // config.rate_interval)
        for name, rate in start.items():
            optimizer.set_learning_rate(name, rate * factor)
        camera = cameras[draw()]
        if config.jitter and step % _JITTERED_OF:
            camera = pseudo_view(camera, config.jitter * extent, generator)
        with torch.no_grad():
            target = render(teacher, camera, background).color
        image = render(folded(optimizer.gaussians, filter_3d), camera, background).color
        loss = photometric_loss(image, target, lambda_l1=config.lambda_l1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step + 1, config.iterations, float(loss.detach()))
    logger.info("distilled to SH degree %d in %d iterations", config.sh_degree, config.iterations)
    return optimizer.gaussians.detach()


def _optimizer(
    config: DistillConfig, rates: Frame0Rates, student: Gaussians, extent: float
) -> GaussianOptimizer:
    known = {
        "means": rates.means_final * extent,
        "sh0": rates.sh0,
        "shN": rates.sh_rest,
        "opacity_logits": rates.opacity_logits,
        "log_scales": rates.log_scales,
        "quats": rates.quats,
    }
    trained = {"sh0", "shN"} if "sh" in config.train else set()
    trained |= set(config.train) - {"sh"}
    return GaussianOptimizer(
        student, {k: v if k in trained else None for k, v in known.items()}, split_sh=True
    )
