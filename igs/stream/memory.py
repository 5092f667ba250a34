"""How much GPU memory a stream will take, roughly, and whether the GPU has it.

The counts are of the arrays that live at once, not measurements; they are meant to be right within
a factor of about 1.5, and to name what is large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from igs.config import ConfigError
from igs.config.schema import StreamConfig
from igs.gaussians import Gaussians
from igs.motion import AGMNet
from igs.scene import Camera

_FLOAT = 4
_COPIES_OF_GAUSSIANS = 3  # key frame, moved ones, what refinement hands back
_ADAM = 4  # parameter, gradient, two moments
# Of the rasterizer, per Gaussian and per (tile, Gaussian) pair: splats, keys and their order, sums,
# gradients of the activated values. Pairs per Gaussian as measured in docs/benchmarks.md's scenes.
_RASTER_PER_GAUSSIAN = 400
_RASTER_PER_PAIR = 80
_PAIRS_PER_GAUSSIAN = 12
# Floats a pixel while one view is rendered and compared: images, their gradients, SSIM's maps.
_FLOATS_PER_PIXEL = 32
_SLACK = 256 << 20  # CUDA's own, kernels, cuDNN's workspace

# What to lower where a part is the largest.
_SETTINGS = {
    "Gaussians": "refine.densify.max_num",
    "optimiser": "refine.densify.max_num",
    "rendering": "data.size",
    "images": "gpu.ahead",
    "motion network": "motion.anchors",
}


def estimate_memory(
    config: StreamConfig,
    gaussians: Gaussians,
    training: Sequence[Camera],
    inputs: Sequence[str],
    network: AGMNet | None,
) -> dict[str, int]:
    """Bytes on the device by what they are for, at their largest.

    Args:
        config: of the stream.
        gaussians: those it starts from.
        training: the training cameras.
        inputs: names of the network's views.
        network: the motion network; None without one.
    """
    refines = config.refine.num_iterations() > 0
    densify = config.refine.densify
    count = len(gaussians)
    if refines and densify.enabled and densify.max_num is not None:
        count = max(count, densify.max_num)
    one = sum(t[:1].numel() for t in gaussians.tensors().values()) * _FLOAT
    largest = max((c.width * c.height for c in training), default=0)
    pairs = count * _PAIRS_PER_GAUSSIAN * _RASTER_PER_PAIR
    parts = {
        "Gaussians": _COPIES_OF_GAUSSIANS * count * one,
        "optimiser": _ADAM * count * one if refines else 0,
        "rendering": largest * _FLOATS_PER_PIXEL * _FLOAT + count * _RASTER_PER_GAUSSIAN + pairs,
        "images": _image_bytes(config, training, inputs),
    }
    if network is not None:
        parts["motion network"] = network_bytes(network, count, len(inputs), config.motion.anchors)
    return parts


def _image_bytes(config: StreamConfig, training: Sequence[Camera], inputs: Sequence[str]) -> int:
    """Frames that wait, the one in work, and the references of the change detector."""
    sizes = {camera.name: 3 * camera.width * camera.height for camera in training}
    key, other = sum(sizes.values()), sum(sizes[name] for name in inputs if name in sizes)
    interval = config.schedule.interval
    held = (config.gpu.ahead or interval) + 2  # in the making and in work
    keys = -(-held // interval)
    references = key if config.refine.active_only else 0
    return keys * key + (held - keys) * other + references


def network_bytes(network: AGMNet, gaussians: int, views: int, anchors: int | None = None) -> int:
    """Weights and the largest activations of one prediction, in float32.

    Args:
        network: the motion network.
        gaussians: in the box, at most.
        views: input views.
        anchors: None for the network's own number.
    """
    config = network.config
    anchors = anchors or config.anchors
    weights = sum(p.numel() for p in network.parameters())
    channels, coarse, fine = config.channels, config.network_size // 8, config.map_size
    # Two frames of features, and in a transformer block what the feed-forward widens to.
    flow = views * coarse**2 * channels * (4 + 4 * config.flow.expansion)
    maps = 6 * views * fine**2 * channels
    # Half and full resolution of the convolutions that the features start with.
    stem = 3 * views * (config.network_size // 2) ** 2 * 64
    matching = 3 * views * coarse**4 if config.triangulate else 0
    tokens = anchors * config.width * 12
    spread = gaussians * channels * (config.neighbours + 6)
    return _FLOAT * (weights + max(flow + stem, matching, maps, tokens, spread) + maps)


def free_memory(device: torch.device | str) -> int | None:
    """Bytes that this process can still take on a device; None where that is not known."""
    device = torch.device(device)
    if device.type != "cuda":
        return None
    # Not every torch takes a device without a number here.
    index = torch.cuda.current_device() if device.index is None else device.index
    free, _ = torch.cuda.mem_get_info(index)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + cached


def check_memory(
    config: StreamConfig,
    gaussians: Gaussians,
    training: Sequence[Camera],
    inputs: Sequence[str],
    network: AGMNet | None,
    free: Callable[[torch.device | str], int | None] = free_memory,
) -> None:
    """Refuse a stream that the device has no memory for.

    Args:
        config: of the stream, as all up to `network` like in `estimate_memory`.
        gaussians: see there.
        training: see there.
        inputs: see there.
        network: see there.
        free: asks a device for its free bytes.

    Raises:
        ConfigError: says what is needed, what there is, and which setting to lower.
    """
    available = free(config.device)
    if available is None:
        return
    parts = estimate_memory(config, gaussians, training, inputs, network)
    needed = sum(parts.values()) + _SLACK
    if needed <= available:
        return
    ordered = sorted(parts, key=lambda name: -parts[name])
    shares = ", ".join(f"{name} {_gib(parts[name])}" for name in ordered)
    raise ConfigError(
        f"device: {config.device} has {_gib(available)} GiB free, the stream needs about "
        f"{_gib(needed)} ({shares}); lower {_SETTINGS[ordered[0]]}, or try all the same with "
        "gpu.memory_check=false"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"
