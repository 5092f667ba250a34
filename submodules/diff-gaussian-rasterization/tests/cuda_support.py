"""Runs the CUDA engine in tests: on the GPU, or its kernels emulated on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diff_gaussian_rasterization import _engine

KERNEL_PACKAGE = "nvrtc_kernels"


@cache
def _folder() -> Path:
    """Emulated kernels are compiled once a user and sources."""
    folder = Path(tempfile.gettempdir()) / f"igs-emulated-kernels-{_user()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _user() -> str:
    import getpass

    return getpass.getuser()


@cache
def emulated_engine(backwards: bool = False) -> _engine.Engine:
    """The CUDA engine on CPU tensors; skips the test where it cannot run."""
    pytest.importorskip(KERNEL_PACKAGE, reason="needs the package igs-nvrtc-kernels")
    from diff_gaussian_rasterization.cuda.engine import CudaEngine
    from nvrtc_kernels import emulator

    if emulator.compiler() is None:
        pytest.skip("needs a C++ compiler to emulate the kernels")
    return CudaEngine(emulator.EmulatorLauncher(_folder(), backwards))


@contextmanager
def engine(used: _engine.Engine) -> Iterator[None]:
    """Let CPU tensors go to another engine."""
    before = _engine._engines["cpu"]
    _engine._engines["cpu"] = used
    try:
        yield
    finally:
        _engine._engines["cpu"] = before


def moved(value: Any, device: torch.device) -> Any:
    """Settings, views and dictionaries of tensors on the device; leaves stay leaves."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    if isinstance(value, tuple):
        return type(value)(*(moved(v, device) for v in value))
    return value


def gpu() -> torch.device:
    """The GPU to test on; skips the test where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a CUDA build of torch")
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra [cuda]")
    return torch.device("cuda")
