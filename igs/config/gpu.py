"""Settings of streaming on a GPU; on the CPU they have no effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from igs.config.checks import at_least

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045


@dataclass
class GpuConfig:
    """How frames reach the GPU, and whether a run that cannot fit is refused.

    ahead: frames uploaded before their turn by a thread, beside those that `data.prefetch` decodes;
    None takes one group of `schedule.interval`, so that a group is decoded while its key frame is
    refined; 1 keeps the delay of live cameras small when the GPU cannot follow. memory_check:
    compare an estimate of the memory with what the GPU has free, and refuse to start where it
    cannot do.
    """

    ahead: Optional[int] = None
    memory_check: bool = True


def check_gpu(config: GpuConfig) -> None:
    """Refuse values that cannot be.

    Raises:
        ConfigError: names the key.
    """
    at_least("gpu.ahead", config.ahead, 1)
