"""The programs of the engine: which file is compiled with which macros."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

from nvrtc_kernels import Program

KERNELS = Path(__file__).parent.absolute() / "kernels"
MATHS = KERNELS.parents[1] / "include"  # shared with the CPU engine

THREADS = 256
# Two kernels decide which tiles a Gaussian reaches, and must agree to the last bit.
EXACT = ("--fmad=false",)


@cache  # one object for each, as long as the process lives
def program(name: str, **macros: int) -> Program:
    """The program ``name``.cu with ``IGS_`` macros."""
    return Program(
        file=KERNELS / f"{name}.cu",
        include=(KERNELS, MATHS),
        defines=tuple((f"IGS_{key.upper()}", int(value)) for key, value in sorted(macros.items())),
        extra=EXACT if name in ("preprocess", "binning") else (),
    )


def preprocess(planes: bool, cov3d: bool, half_sh: bool) -> Program:
    return program("preprocess", planes=planes, cov3d=cov3d, half_sh=half_sh)


def binning() -> Program:
    return program("binning")


def forward(features: int) -> Program:
    return program("forward", features=features)


def counts() -> Program:
    return program("counts")


def backward(features: int) -> Program:
    return program("backward", features=features)


def sums() -> Program:
    return program("sums")


def gaussians(planes: bool, cov3d: bool, half_sh: bool) -> Program:
    return program("gaussians", planes=planes, cov3d=cov3d, half_sh=half_sh)


def every_program() -> list[Program]:
    """All that can ever be launched."""
    variants = list(product((False, True), repeat=3))
    return [
        *(preprocess(*variant) for variant in variants),
        binning(),
        counts(),
        *(forward(features) for features in range(9)),
        *(backward(features) for features in range(8)),
        sums(),
        *(gaussians(*variant) for variant in variants),
    ]
