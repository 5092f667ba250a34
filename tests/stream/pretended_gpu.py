"""A GPU that is only pretended: tensors that say `cuda:0` and lie on the CPU.

Whatever mixes them with tensors of the CPU fails as it would on a GPU: operations, random numbers
of a generator of the CPU, numpy. The kernels run in the emulator. So a whole stream can show, on a
machine without a GPU, that everything lies where it should and that every way which only CUDA
tensors take is taken right. What it cannot show: races, speed, and what torch's CUDA operations
lack.
"""

from __future__ import annotations

import contextlib
import getpass
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
aten = torch.ops.aten
# What may read tensors of both.
MIXED = (aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default)


class OnGpu(torch.Tensor):
    """Wraps a tensor of the CPU; torch's own code sees a subclass, ours a CUDA tensor."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> OnGpu:
        wrapped = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, real.shape, strides=real.stride(), dtype=real.dtype, device=CPU
        )
        wrapped.held = real
        return wrapped

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return on_gpu(func, args, kwargs or {})

    device = property(lambda _: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda _: True)  # type: ignore[assignment]
    is_cpu = property(lambda _: False)  # type: ignore[assignment]

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def tolist(self) -> Any:
        return self.held.tolist()

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return Down.apply(self)  # type: ignore[return-value]

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy  # type: ignore[assignment]

    def new_tensor(self, data: Any, **kwargs: Any) -> torch.Tensor:
        return torch.tensor(data, **{"dtype": self.dtype, "device": GPU, **kwargs})

    def pin_memory(self, *_: Any) -> Any:
        raise RuntimeError("cannot pin torch.cuda.FloatTensor")

    def record_stream(self, _: Any) -> None:
        """The emulator has no streams."""


class Up(torch.autograd.Function):
    """From the CPU to the GPU."""

    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return OnGpu(x.detach().clone())

    @staticmethod
    def backward(_ctx: Any, *grads: Any) -> Any:
        return grads[0].held.clone()


class Down(torch.autograd.Function):
    """From the GPU to the CPU."""

    @staticmethod
    def forward(_ctx: Any, x: Any) -> torch.Tensor:
        return x.held.clone()

    @staticmethod
    def backward(_ctx: Any, *grads: Any) -> Any:
        return OnGpu(grads[0].clone())


def on_gpu(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on what the tensors wrap; refuse what a GPU would refuse."""
    flat, spec = tree_flatten((args, kwargs))
    there = [t for t in flat if isinstance(t, OnGpu)]
    here = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, OnGpu)]
    device = kwargs.get("device")
    to_gpu = bool(there) if device is None else torch.device(device).type == "cuda"
    mixed = there and any(t.dim() > 0 for t in here)
    if mixed and (func not in MIXED or not isinstance(args[0], OnGpu)):
        raise RuntimeError(f"{func}: all tensors must be on one device, found cuda:0 and cpu")
    if to_gpu and any(isinstance(x, torch.Generator) for x in flat):
        raise RuntimeError(f"{func}: expected a 'cuda' generator but found 'cpu'")
    wrapper = {id(t.held): t for t in there}
    plain = [x.held if isinstance(x, OnGpu) else x for x in flat]
    if to_gpu:
        plain = [CPU if isinstance(x, torch.device) else x for x in plain]
    real_args, real_kwargs = tree_unflatten(plain, spec)
    result = func(*real_args, **real_kwargs)
    if not to_gpu:
        return result
    out, out_spec = tree_flatten(result)
    wrapped = [
        wrapper[id(t)] if id(t) in wrapper else OnGpu(t) if isinstance(t, torch.Tensor) else t
        for t in out
    ]
    return tree_unflatten(wrapped, out_spec)


class PretendedGpu(TorchDispatchMode):
    """Catches what makes tensors on the GPU from nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        made_there = device is not None and torch.device(device).type == "cuda"
        if made_there or any(issubclass(t, OnGpu) for t in types):
            return on_gpu(func, args, kwargs)
        return func(*args, **kwargs)


class Stream:
    """Of torch.cuda's interface what the upload uses."""

    cuda_stream = 0

    def __init__(self, _device: Any = None) -> None: ...

    def wait_event(self, _event: Any) -> None: ...

    def record_event(self) -> None: ...


def _moving(original: Any) -> Any:
    """`Tensor.to` that knows the pretended GPU."""

    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        for like in [v for v in values if isinstance(v, torch.Tensor)]:
            values += [like.device, like.dtype]
        dtype = next((v for v in values if isinstance(v, torch.dtype)), None)
        device = next((v for v in values if isinstance(v, (str, torch.device))), None)
        there, kind = isinstance(self, OnGpu), None if device is None else torch.device(device).type
        if not there and kind != "cuda":
            return original(self, *args, **kwargs)
        moved = self if dtype is None else original(self, dtype)
        if there:
            return Down.apply(moved) if kind == "cpu" else moved
        return Up.apply(moved)

    return to


def _making(original: Any) -> Any:
    """`torch.tensor` and `torch.as_tensor` that know the pretended GPU."""

    def make(data: Any, *, device: Any = None, **kwargs: Any) -> Any:
        if device is None or torch.device(device).type != "cuda":
            return original(data, device=device, **kwargs)
        return original(data, **kwargs).to(GPU)

    return make


def _patch_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.Tensor, "to", _moving(torch.Tensor.to))
    patch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self.clone())
    for name in ("tensor", "as_tensor"):
        patch.setattr(torch, name, _making(getattr(torch, name)))
    real = torch.autocast

    class Autocast(real):
        def __init__(self, _device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu", *args, **kwargs)

    patch.setattr(torch, "autocast", Autocast)
    values: dict[str, Any] = {
        "_lazy_init": lambda: None, "is_available": lambda: True, "device_count": lambda: 1,
        "current_device": lambda: 0, "synchronize": lambda _=None: None, "Stream": Stream,
        "current_stream": Stream, "stream": lambda _: contextlib.nullcontext(),
        "device": lambda _: contextlib.nullcontext(), "memory_reserved": lambda _=None: 0,
        "memory_allocated": lambda _=None: 0, "get_device_capability": lambda _=None: (9, 0),
        "mem_get_info": lambda _=None: (10**11, 10**11),
    }  # fmt: skip
    for name, value in values.items():
        patch.setattr(torch.cuda, name, value)


def pretend(patch: pytest.MonkeyPatch) -> tuple[PretendedGpu, Counter[str]]:
    """Make a GPU appear; returns the mode to work under, and how often each kernel was launched.

    Skips the test where the kernels cannot be emulated.
    """
    pytest.importorskip("nvrtc_kernels", reason="needs the package igs-nvrtc-kernels")
    import fused_ssim.cuda
    import simple_knn.cuda
    from diff_gaussian_rasterization import _engine
    from diff_gaussian_rasterization.cuda.engine import CudaEngine
    from nvrtc_kernels import emulator

    if emulator.compiler() is None:
        pytest.skip("needs a C++ compiler to emulate the kernels")
    launches: Counter[str] = Counter()

    class Launcher(emulator.EmulatorLauncher):
        def launch(
            self, program: Any, kernel: str, blocks: int, threads: int, arguments: Any, device: Any
        ) -> None:
            assert device.type == "cuda"
            launches[kernel] += 1
            if blocks:
                super().launch(program, kernel, blocks, threads, arguments, CPU)

    folder = Path(tempfile.gettempdir()) / f"igs-emulated-kernels-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    launcher = Launcher(folder)
    points, loss = simple_knn.cuda.PointKernels(launcher), fused_ssim.cuda.SsimKernels(launcher)
    patch.setitem(_engine._engines, "cuda", CudaEngine(launcher))
    patch.setattr(simple_knn.cuda, "default_kernels", lambda: points)
    patch.setattr(fused_ssim.cuda, "default_kernels", lambda: loss)
    _patch_torch(patch)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    return PretendedGpu(), launches
