"""Loads compiled programs into torch's CUDA context and launches them on its current stream."""

from __future__ import annotations

import ctypes
import importlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, Protocol

import torch

from nvrtc_kernels.compiler import Code, code_for
from nvrtc_kernels.errors import INSTALL, CudaUnavailableError
from nvrtc_kernels.program import Program

logger = logging.getLogger(__name__)

COMPILERS = 4  # programs compiled side by side
DAMAGED = (200, 209, 218, 300)  # the driver's words for code that it cannot read


class Launcher(Protocol):
    """Runs kernels that take one struct by value."""

    def launch(
        self,
        program: Program,
        kernel: str,
        blocks: int,
        threads: int,
        arguments: ctypes.Structure,
        device: torch.device,
    ) -> None:
        """Run ``kernel`` on ``blocks`` blocks of ``threads`` threads, after what came before."""
        ...

    def prepare(self, programs: Iterable[Program], device: torch.device) -> None:
        """Compile what will be launched soon, side by side."""
        ...


@cache
def _driver() -> Any:
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise CudaUnavailableError(f"CUDA tensors need cuda-bindings: {INSTALL}") from error


def _check(result: tuple[Any, ...], what: str) -> Any:
    status, *values = result
    if int(status) != 0:
        driver = _driver()
        _, text = driver.cuGetErrorString(status)
        message = text.decode() if isinstance(text, bytes) else status.name
        raise RuntimeError(f"{what}: {message}")
    return values[0] if values else None


class CudaLauncher:
    """The GPU's launcher; one for the whole process.

    Code is compiled at first use (or read from the cache) and loaded once per device. Kernels go
    to torch's current stream of the device; nothing here waits for them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modules: dict[tuple[Program, int], Any] = {}
        self._functions: dict[tuple[Program, str, int], Any] = {}
        self._contexts: dict[int, Any] = {}

    def launch(
        self,
        program: Program,
        kernel: str,
        blocks: int,
        threads: int,
        arguments: ctypes.Structure,
        device: torch.device,
    ) -> None:
        """See `Launcher`.

        Raises:
            CudaUnavailableError: no compiler, driver or suitable GPU.
            RuntimeError: the driver refused the launch.
        """
        if blocks == 0:
            return
        index = _index(device)
        with self._on(index):
            function = self._functions.get((program, kernel, index))
            if function is None:
                function = self._load(program, kernel, index)
            # The driver copies the struct during the call.
            pointers = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
            stream = torch.cuda.current_stream(index).cuda_stream
            launched = _driver().cuLaunchKernel(
                function, blocks, 1, 1, threads, 1, 1, 0, stream, ctypes.addressof(pointers), 0
            )
            _check(launched, f"launching {kernel} of {program.label}")

    def prepare(self, programs: Iterable[Program], device: torch.device) -> None:
        """Compile what will be launched soon, side by side; says once that it takes a while."""
        index = _index(device)
        missing = [p for p in programs if (p, index) not in self._modules]
        if len(missing) < 2:
            return
        start = time.perf_counter()
        capability = _capability(index)
        with ThreadPoolExecutor(COMPILERS) as pool:
            codes = list(pool.map(lambda program: code_for(program, capability), missing))
        if not all(code.kept for code in codes):
            logger.info(
                "compiled %d CUDA programs in %.1f s (kept for the next start)",
                len(missing),
                time.perf_counter() - start,
            )
        with self._on(index):
            for program, code in zip(missing, codes, strict=True):
                self._load_image(program, index, code)

    def _load(self, program: Program, kernel: str, index: int) -> Any:
        if (program, index) not in self._modules:
            self._load_image(program, index, code_for(program, _capability(index)))
        found = _driver().cuModuleGetFunction(self._modules[program, index], kernel.encode())
        function = _check(found, f"finding {kernel} in {program.label}")
        self._functions[program, kernel, index] = function
        return function

    def _load_image(self, program: Program, index: int, code: Code) -> None:
        with self._lock:
            if (program, index) in self._modules:
                return
            loaded = _driver().cuModuleLoadData(code.image)
            if int(loaded[0]) in DAMAGED and code.kept:
                logger.warning("%s: the kept code is damaged, compiling it anew", program.label)
                code = code_for(program, _capability(index), anew=True)
                loaded = _driver().cuModuleLoadData(code.image)
            self._modules[program, index] = _check(loaded, f"loading {program.label}")

    @contextmanager
    def _on(self, index: int) -> Iterator[None]:
        """Make torch's context of the device current in this thread; afterwards torch's device is
        what it was.

        The driver's current context is what torch takes its current device from: left behind, it
        would send the caller's next tensors to another GPU.
        """
        driver, context = _driver(), self._context(index)
        with torch.cuda.device(index) if torch.cuda.current_device() != index else nullcontext():
            current = _check(driver.cuCtxGetCurrent(), "asking for the current CUDA context")
            if int(current) != int(context):
                _check(driver.cuCtxSetCurrent(context), f"entering GPU {index}")
            yield

    def _context(self, index: int) -> Any:
        context = self._contexts.get(index)
        if context is None:
            driver = _driver()
            _check_driver(driver)
            torch.cuda.init()
            handle = _check(driver.cuDeviceGet(index), f"finding GPU {index}")
            # torch works in the primary context too; it stays retained until the process ends.
            context = _check(driver.cuDevicePrimaryCtxRetain(handle), f"opening GPU {index}")
            self._contexts[index] = context
        return context


def _check_driver(driver: Any) -> None:
    try:
        (status,) = driver.cuInit(0)
    except RuntimeError as error:
        raise CudaUnavailableError(
            f"no NVIDIA driver was found ({error}): install one, or use CPU tensors"
        ) from error
    if int(status) != 0:
        raise CudaUnavailableError(
            f"the NVIDIA driver does not start ({status.name}): see nvidia-smi, or use CPU tensors"
        )


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _capability(index: int) -> int:
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor
