"""AdamW, and the one-cycle course of its learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from igs.config.training import OptimiserConfig

# The library's defaults, by which the original was trained: first and last rate, range of beta1.
START_DIVISOR = 25.0
END_DIVISOR = 1e4
MOMENTUM = (0.85, 0.95)


def make_optimiser(
    groups: Iterable[tuple[Sequence[nn.Parameter], float]], config: OptimiserConfig
) -> AdamW:
    """AdamW for groups of parameters.

    Args:
        groups: parameters and the factor on the learning rate; frozen ones are left out.
        config: rate, decay, betas.

    Raises:
        ValueError: nothing is left to train.
    """
    trained = [
        {"params": [p for p in parameters if p.requires_grad], "lr": config.rate * factor}
        for parameters, factor in groups
    ]
    trained = [group for group in trained if group["params"]]
    if not trained:
        raise ValueError("all parameters are frozen: there is nothing to train")
    betas = (config.betas[0], config.betas[1])
    return AdamW(trained, lr=config.rate, betas=betas, weight_decay=config.weight_decay)


def warmup_share(warmup_steps: int, limit: float, total_steps: int) -> float:
    """Share of the steps in which the rate rises.

    `warmup_steps / total_steps`, at most `limit`: the original's share passed 1 on small data sets
    (spec `streaming.md`, section 16, fault 25). A rise of one step or less is none at all.
    """
    share = min(warmup_steps / total_steps, limit)
    return share if share * total_steps > 1 else 0.0


def one_cycle(optimiser: Optimizer, config: OptimiserConfig, total_steps: int) -> OneCycleLR:
    """The schedule over `total_steps` optimiser steps; every group keeps its own highest rate.

    From rate / 25 up to the rate along a half cosine, then down to rate / 250000.

    Source: spec `streaming.md`, section 11.
    """
    return OneCycleLR(
        optimiser,
        max_lr=[group["lr"] for group in optimiser.param_groups],
        total_steps=total_steps,
        pct_start=warmup_share(config.warmup_steps, config.warmup_share, total_steps),
        anneal_strategy="cos",
        cycle_momentum=config.cycle_momentum,
        base_momentum=MOMENTUM[0],
        max_momentum=MOMENTUM[1],
        div_factor=START_DIVISOR,
        final_div_factor=END_DIVISOR,
    )
