"""One call of the CUDA engine: forward and backward over one or several views.

Memory comes from torch's allocator, sorting and sums from torch, everything runs on torch's current
stream of the tensors' device. The host waits once per forward pass, for the number of (tile,
Gaussian) pairs, and learns with it whether an input was NaN or Inf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nvrtc_kernels import CudaLauncher, Launcher, Program
from torch import Tensor

from diff_gaussian_rasterization._tiles import TILE
from diff_gaussian_rasterization.cuda import programs
from diff_gaussian_rasterization.cuda.args import (
    COORD,
    COUNT,
    DEPTH,
    INPUTS,
    MAX_VIEWS,
    NORMAL,
    RasterArgs,
)

SHORT_KEYS = 2**15 - 1  # tiles that 16-bit sort keys can tell apart
NONE = 2**31 - 1  # what the reports hold where nothing was found
MOST_PAIRS = NONE - 1024  # the kernels step by up to 256 beyond the end, in 32 bits
NAN_NAMES = ("means", "means2D", "opacities", "scales", "rotations", "sh", "colors")
_NAMES = {"quats": "rotations", "cov3d": "cov3D"}  # in messages
_BASE, _EXTRA = (
    10,
    {DEPTH: 3, COORD: 9, NORMAL: 3},
)  # gradient sums of a pair, sums_of in device.cuh


@dataclass
class State:
    """What the backward pass needs of a forward pass."""

    args: RasterArgs
    kept: dict[str, Tensor]  # the memory that `args` points to
    features: int
    num_pairs: int


class CudaEngine:
    """The engine over a launcher: the GPU's, or an emulator's in the tests."""

    def __init__(self, launcher: Launcher | None = None) -> None:
        self._launcher = CudaLauncher() if launcher is None else launcher
        self._prepared: set[tuple[int, bool, bool, torch.device]] = set()

    def empty(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Float32 memory of torch's allocator."""
        return torch.empty(shape, dtype=torch.float32, device=device)

    def forward(
        self,
        calls: Sequence[Any],
        inputs: Mapping[str, Tensor | None],
        images: Mapping[str, Tensor],
        radii: Tensor,
        counts: Tensor | None,
        scores: Tensor | None,
    ) -> State:
        """Render every view.

        Args:
            calls: one `Call` per view, alike but for the camera and the background; 8 at most.
            inputs: the seven inputs by name, contiguous, P Gaussians; float32, SH also float16.
            images: (V, C, H, W) float32, filled; expected and median come together, and planes
                need alpha.
            radii: (V, P) int32, filled.
            counts: (V, P) int32, filled in counting mode.
            scores: (V, P) float32, likewise.

        Raises:
            ValueError: more than 8 views, more than 2^31 pairs, NaN or Inf in an input.
        """
        inputs = {name: _aligned(value) for name, value in inputs.items()}
        args, kept = _arguments(calls, inputs), {}
        features = calls[0].options.features
        device = radii.device
        args.point(**inputs, **images, radii=radii, counts=counts, scores=scores)
        self._prepare(features, *_variant(inputs), device)
        with torch.no_grad(), _on(device):
            self._bin(args, kept, calls, inputs)
            self._composite(args, kept, features, device)
        kept["radii"] = radii
        return State(args, kept, features, int(args.pairs))

    def backward(
        self,
        state: State,
        call: Any,
        inputs: Mapping[str, Tensor | None],
        outputs: Mapping[str, Tensor | None],
        incoming: Mapping[str, Tensor | None],
        outgoing: Mapping[str, Tensor | None],
    ) -> tuple[str, int] | None:
        """Fill the gradients.

        Args:
            state: of the forward pass.
            call: its limits and what to check.
            inputs: as in the forward pass.
            outputs: alpha, depth, coord and normal of the forward pass, where planes were wanted.
            incoming: gradient of each image, (V, C, H, W) contiguous, or None.
            outgoing: gradient of each input and ``means2d`` (V, P, 3), or None; filled.

        Returns:
            With ``nan_assertions`` the name of the first gradient that holds NaN, and the
            Gaussian; None otherwise. Only then the host waits.
        """
        inputs = {name: _aligned(value) for name, value in inputs.items()}
        args, kept = state.args, dict(state.kept)
        device = kept["radii"].device
        features = _arrived(incoming) & state.features
        args.point(**inputs, **outputs)
        args.point(**{f"g_{name}": grad for name, grad in incoming.items()})
        args.point(**{f"d_{name}": grad for name, grad in outgoing.items()})
        args.gradient_limit = call.options.gradient_limit
        args.absolute = call.options.absolute_statistic
        with torch.no_grad(), _on(device):
            args.sum_features = features
            width = _BASE + sum(n for bit, n in _EXTRA.items() if features & bit)
            rows = args.count * args.views
            _allocate(args, kept, "sums", (args.pairs, width), torch.float32, device)
            _allocate(args, kept, "totals", (rows, width), torch.float32, device)
            kept["nan_report"] = torch.full(
                (len(NAN_NAMES),), NONE, dtype=torch.int32, device=device
            )
            args.point(nan_report=kept["nan_report"])
            tiles = args.views * args.tiles_x * args.tiles_y
            carry = programs.gaussians(features != 0, *_variant(inputs))
            self._run(programs.backward(features), "composite_backward", tiles, args, device)
            self._run(
                programs.sums(), "sum_pairs", _blocks(rows, programs.THREADS // 32), args, device
            )
            self._run(carry, "gaussian_backward", _blocks(args.count), args, device)
            return _nan_found(kept["nan_report"]) if call.options.nan_assertions else None

    def _run(
        self, program: Program, kernel: str, blocks: int, args: RasterArgs, device: torch.device
    ) -> None:
        self._launcher.launch(program, kernel, blocks, programs.THREADS, args, device)

    def _prepare(self, features: int, cov3d: bool, half_sh: bool, device: torch.device) -> None:
        """Compile the forward and the backward pass together, before the first is launched."""
        if (features, cov3d, half_sh, device) in self._prepared:
            return
        needed = [
            programs.preprocess(bool(features & (DEPTH | COORD | NORMAL)), cov3d, half_sh),
            programs.binning(),
            programs.forward(features),
        ]
        if features & COUNT:
            needed.append(programs.counts())
        else:
            needed += [
                programs.backward(features),
                programs.sums(),
                programs.gaussians(features != 0, cov3d, half_sh),
            ]
        self._launcher.prepare(needed, device)
        self._prepared.add((features, cov3d, half_sh, device))

    def _bin(
        self,
        args: RasterArgs,
        kept: dict[str, Tensor],
        calls: Sequence[Any],
        inputs: Mapping[str, Tensor | None],
    ) -> None:
        """From Gaussians to one depth-ordered list per tile."""
        means = inputs["means"]
        assert means is not None
        device, rows = means.device, args.count * args.views
        planes = bool(args.planes_wanted)
        for name, width, dtype in (
            ("splats", 12, torch.float32),
            ("planes", 16 if planes else 0, torch.float32),
            ("negative", 1, torch.uint8),
            ("depth_keys", 1, torch.int32),
            ("tile_counts", 1, torch.int32),
            ("slot_begin", 1, torch.int32),
        ):
            _allocate(args, kept, name, (rows, width), dtype, device)
        problem = torch.full((2,), NONE, dtype=torch.int32, device=device)
        active = _active_tiles(calls)
        args.point(problem=problem, active=active)
        program = programs.preprocess(planes, *_variant(inputs))
        self._run(program, "preprocess", max(1, _blocks(rows)), args, device)
        order = torch.sort(kept.pop("depth_keys")[:, 0], stable=True).indices
        ends = torch.cumsum(kept["tile_counts"][:, 0][order], 0, dtype=torch.int64)
        _refuse(problem, ends, args, inputs, calls)
        args.point(order=order, ends=ends)
        self._write_lists(args, kept, device, rows)
        args.point(active=None)  # its memory ends here; the lists are what remains of it

    def _write_lists(
        self, args: RasterArgs, kept: dict[str, Tensor], device: torch.device, rows: int
    ) -> None:
        pairs, tiles = args.pairs, args.views * args.tiles_x * args.tiles_y
        args.long_keys = tiles > SHORT_KEYS
        keys = torch.empty(
            pairs, dtype=torch.int32 if args.long_keys else torch.int16, device=device
        )
        gaussians = torch.empty(pairs, dtype=torch.int32, device=device)
        args.point(tile_keys=keys, pair_gaussians=gaussians)
        self._run(programs.binning(), "write_pairs", _blocks(rows), args, device)
        sorted_keys, sorted_pairs = torch.sort(keys, stable=True)
        args.point(sorted_keys=sorted_keys, sorted_pairs=sorted_pairs)
        _allocate(args, kept, "entries", (pairs, 2), torch.int32, device)
        _allocate(args, kept, "tile_begin", (tiles + 1,), torch.int32, device)
        self._run(programs.binning(), "write_lists", _blocks(pairs + 1), args, device)

    def _composite(
        self, args: RasterArgs, kept: dict[str, Tensor], features: int, device: torch.device
    ) -> None:
        pixels = (args.views, args.height, args.width)
        _allocate(args, kept, "hits", (args.pairs,), torch.uint8, device)
        _allocate(args, kept, "transmittance", pixels, torch.float32, device)
        _allocate(args, kept, "last", pixels, torch.int32, device)
        if features & (DEPTH | COORD):
            _allocate(args, kept, "median", pixels, torch.int32, device)
        if features & NORMAL:
            _allocate(args, kept, "normal_inverse", pixels, torch.float32, device)
        if features & COUNT:
            _allocate(args, kept, "pair_pixels", (args.pairs,), torch.int32, device)
            _allocate(args, kept, "pair_transmittance", (args.pairs,), torch.float32, device)
        tiles = args.views * args.tiles_x * args.tiles_y
        self._run(programs.forward(features), "composite_forward", tiles, args, device)
        if features & COUNT:
            rows = args.count * args.views
            self._run(programs.counts(), "sum_counts", _blocks(rows), args, device)


def _on(device: torch.device) -> Any:
    """Makes a CUDA device torch's current one; the emulator's tensors lie on the CPU."""
    return torch.cuda.device(device) if device.type == "cuda" else torch.no_grad()


def _variant(inputs: Mapping[str, Tensor | None]) -> tuple[bool, bool]:
    """Whether a 3D covariance is given, and whether the SH coefficients are halves."""
    sh = inputs["sh"]
    return inputs["cov3d"] is not None, sh is not None and sh.dtype == torch.float16


def _active_tiles(calls: Sequence[Any]) -> Tensor | None:
    """(V, tiles) bool, None if all tiles of all views are drawn."""
    masks = [call.active for call in calls]
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    every = torch.ones_like(given[0])
    return torch.stack([every if mask is None else mask for mask in masks])


def _blocks(items: int, per_block: int = programs.THREADS) -> int:
    return -(-items // per_block)


def _aligned(value: Tensor | None) -> Tensor | None:
    """Rows of four are read 16 bytes at a time: a slice that begins in between is copied."""
    if value is None or value.data_ptr() % 16 == 0:
        return value
    return value.clone(memory_format=torch.contiguous_format)


def _allocate(
    args: RasterArgs,
    kept: dict[str, Tensor],
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    kept[name] = torch.empty(shape, dtype=dtype, device=device)
    args.point(**{name: kept[name]})


def _arguments(calls: Sequence[Any], inputs: Mapping[str, Tensor | None]) -> RasterArgs:
    """All scalars and cameras of a forward pass."""
    call, means, sh = calls[0], inputs["means"], inputs["sh"]
    assert means is not None
    if not 0 < len(calls) <= MAX_VIEWS:
        raise ValueError(f"one call takes 1 to {MAX_VIEWS} views, got {len(calls)}")
    height, width, _, _, kernel_size, compensate, modifier = call.lens
    args = RasterArgs()
    args.count, args.views = means.shape[0], len(calls)
    if args.count * args.views >= NONE:
        raise ValueError(f"{args.count} Gaussians in {args.views} views are too many for one call")
    args.width, args.height = width, height
    args.tiles_x, args.tiles_y = -(-width // TILE), -(-height // TILE)
    args.sh_degree, args.sh_stride = call.sh_degree, 0 if sh is None else sh.shape[1]
    args.kernel_size, args.modifier = (
        _finite(kernel_size, "kernel_size"),
        _finite(modifier, "scale_modifier"),
    )
    args.compensate, args.by_transmittance = compensate, call.options.score_by_transmittance
    args.planes_wanted = bool(call.options.features & (DEPTH | COORD | NORMAL))
    for camera, one in zip(args.cameras, calls, strict=False):
        view = one.view
        for name in ("viewmatrix", "projmatrix", "campos"):
            setattr(camera, name, getattr(view, name).data_ptr())
        camera.background = one.background.data_ptr()
        camera.tanfovx = _finite(view.tanfovx, "tanfovx")
        camera.tanfovy = _finite(view.tanfovy, "tanfovy")
    return args


def _finite(value: float, name: str) -> float:
    if not abs(value) <= torch.finfo(torch.float32).max:
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def _refuse(
    problem: Tensor,
    ends: Tensor,
    args: RasterArgs,
    inputs: Mapping[str, Tensor | None],
    calls: Sequence[Any],
) -> None:
    """Wait for the number of pairs; raise if an input was bad or there are too many pairs."""
    total = ends[-1:] if args.count else ends.new_zeros(1)
    bad_gaussian, bad_view, pairs = torch.cat([problem.long(), total]).tolist()
    if bad_view != NONE:
        view = calls[bad_view].view
        named = {**view._asdict(), "background": calls[bad_view].background}
        for name in ("viewmatrix", "projmatrix", "campos", "background"):
            if not bool(torch.isfinite(named[name]).all()):
                raise ValueError(f"{name} holds NaN or Inf; every input must be finite")
    if bad_gaussian != NONE:
        for name in INPUTS:
            value = inputs[name]
            if value is not None and not bool(torch.isfinite(value[bad_gaussian]).all()):
                raise ValueError(
                    f"{_NAMES.get(name, name)} of Gaussian {bad_gaussian} is NaN or Inf; "
                    "every input must be finite"
                )
        raise ValueError(f"the colour of Gaussian {bad_gaussian} overflows float32")
    if pairs > MOST_PAIRS:
        raise ValueError(f"{pairs} (tile, Gaussian) pairs; use fewer or smaller Gaussians")
    args.pairs = pairs


def _arrived(incoming: Mapping[str, Tensor | None]) -> int:
    """The features that received a gradient."""
    bits = {"depth": DEPTH, "median_depth": DEPTH, "coord": COORD, "median_coord": COORD,
            "normal": NORMAL}  # fmt: skip
    features = 0
    for name, bit in bits.items():
        if incoming.get(name) is not None:
            features |= bit
    return features


def _nan_found(report: Tensor) -> tuple[str, int] | None:
    found = [(gaussian, name) for gaussian, name in zip(report.tolist(), NAN_NAMES, strict=True)]
    gaussian, name = min(found, key=lambda pair: pair[0])
    return None if gaussian == NONE else (name, gaussian)
