"""What depends on the iteration alone: rates, SH degree, image size, count of Gaussians.

Source: spec `frame0.md`, section 3 (rates, SH ramp) and fault 21 of section 8 (lengths that fit
the run); Taming 3DGS (SIGGRAPH Asia 2024) for the count's curve.
"""

from __future__ import annotations

import copy
import math

from igs.config.frame0 import CoarseToFineConfig, Frame0Config, Frame0Density

FAR = 10**9  # an iteration that is never reached, such as that of a reset that is off


def stretched(config: Frame0Config) -> Frame0Config:
    """The config with all iteration numbers as they are for a run of `config.iterations`.

    With `schedule_length` they are stretched from that length and the result has none; without it
    the config itself comes back.
    """
    if config.schedule_length is None:
        return config
    factor = config.iterations / config.schedule_length
    result = copy.deepcopy(config)
    result.schedule_length = None

    def scale(section: object, *keys: str) -> None:
        for key in keys:
            setattr(section, key, max(1, round(getattr(section, key) * factor)))

    scale(result, "sh_interval", "decay_steps")
    scale(result.density, "start", "until", "opacity_reset_interval")
    scale(result.depth_normal, "from_iteration")
    scale(result.camera_color, "from_iteration")
    return result


def cosine_share(iteration: int, iterations: int, final: float) -> float:
    """Factor on a rate: 1 at the start, `final` at the last iteration, half a cosine between."""
    progress = min(max(iteration / iterations, 0.0), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def sh_degree_at(iteration: int, config: Frame0Config) -> int:
    """Active SH degree: rises by one every `sh_interval` iterations, from 0."""
    return min(iteration // config.sh_interval, config.sh_degree)


def factor_at(iteration: int, iterations: int, stages: CoarseToFineConfig) -> float:
    """Divisor of the image size at an iteration counted from 1; 1 behind the last stage."""
    end = 0.0
    for factor, share in zip(stages.factors, stages.shares, strict=True):
        end += share
        if iteration <= end * iterations:
            return factor
    return 1.0


def budget_at(iteration: int, start_count: int, density: Frame0Density) -> int | None:
    """Most Gaussians after the densification at an iteration; None for no cap.

    With growth `budget` the count rises from `start_count` to `max_num` along a parabola whose top
    is at `until`: fast first, since early Gaussians have longest to settle.
    """
    if density.growth != "budget" or density.max_num is None:
        return density.max_num
    length = max(1, density.until - density.start)
    x = min(max((iteration - density.start) / length, 0.0), 1.0)
    return round(start_count + max(0, density.max_num - start_count) * (2 * x - x * x))
