"""How much quality coding costs, measured by rendering, and settings that keep to a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch

from igs.config.fvv import FvvConfig
from igs.fvv.decoder import Decoder
from igs.fvv.encoder import Encoder, SourceFrame
from igs.fvv.grid import make_header
from igs.fvv.weights import Weigher
from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Camera

DEFAULT_PSNR = 35.0
_STEPS = 6  # halvings of the range of step sizes
_FINEST, _COARSEST = 0.1, 12.0
_STEPS_PER_RATE = 2.4  # by what power of a rate's excess steps grow
_LONG_SIDE = 640  # of views that are rendered to measure, pixels


def sample_views(cameras: Sequence[Camera], count: int) -> list[Camera]:
    """At most so many views across a rig, of moderate size."""
    steps = max(count - 1, 1)
    picked = {round(i * (len(cameras) - 1) / steps) for i in range(count)} if cameras else set()
    result = []
    for camera in (cameras[i] for i in sorted(picked)):
        scale = min(_LONG_SIDE / max(camera.width, camera.height), 1.0)
        size = (max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))
        result.append(camera.resized(*size))
    return result


def distortion(
    original: Gaussians, coded: Gaussians, cameras: Sequence[Camera], background: Sequence[float]
) -> float:
    """Mean squared difference of renders, values of 0..1, mean over cameras."""
    total = 0.0
    with torch.no_grad():
        for camera in cameras:
            a, b = (render(g, camera, background).color.clamp(0, 1) for g in (original, coded))
            total += float((a - b).square().mean())
    return total / len(cameras)


def loss_db(added: float, psnr: float) -> float:
    """What an added mean squared error takes from a PSNR if the two errors are independent."""
    return 10 * math.log10(1 + added / 10 ** (-psnr / 10))


def config_for_loss(
    frames: Sequence[SourceFrame],
    cameras: Sequence[Camera],
    config: FvvConfig,
    *,
    max_loss: float,
    psnr: float,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    weigh: Weigher | None = None,
) -> FvvConfig:
    """The coarsest steps whose loss stays within a bound on sample frames.

    Args:
        frames: consecutive frames to try on, a key frame first.
        cameras: views to measure in.
        config: its steps are made finer or coarser together.
        max_loss: dB.
        psnr: of the uncompressed stream against what it shows.
        background: RGB behind everything.
        weigh: for the encoder.

    Raises:
        ValueError: no camera, a bound that is not above 0, or one that even the finest steps miss.
    """
    if not cameras:
        raise ValueError("a loss is measured by rendering: give cameras")
    if not max_loss > 0:
        raise ValueError(f"max_loss {max_loss}: must be above 0 dB")

    def fits(candidate: FvvConfig) -> bool:
        worst = max(_distortions(frames, cameras, candidate, background, weigh))
        return loss_db(worst, psnr) <= max_loss

    chosen = _coarsest(config, fits)
    if chosen is None:
        raise ValueError(f"max_loss {max_loss} dB: not reached even with the finest steps")
    return chosen


def config_for_rate(
    frames: Sequence[SourceFrame],
    config: FvvConfig,
    *,
    kbps: float,
    fps: float,
    num_frames: int | None = None,
) -> FvvConfig:
    """The finest steps whose bit rate stays below a bound, estimated on sample frames.

    Args:
        frames: consecutive frames to try on, from the first on; the intra frame among them counts
            as often as `config.intra_interval` says.
        config: its steps are made finer or coarser together.
        kbps: thousand bits a second.
        fps: frames a second.
        num_frames: of the whole stream; None for a long one.

    Raises:
        ValueError: a rate that is not above 0, or one that even the coarsest steps miss.
    """
    if not kbps > 0:
        raise ValueError(f"kbps {kbps}: must be above 0")
    budget = kbps * 1000 / 8 / fps

    def too_big(candidate: FvvConfig) -> bool:
        return bytes_per_frame(frames, candidate, num_frames) > budget

    if not too_big(config.coarser(_FINEST)):
        return config.coarser(_FINEST)
    low, high = _FINEST, _COARSEST
    if too_big(config.coarser(high)):
        raise ValueError(f"kbps {kbps}: not reached even with the coarsest steps")
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if too_big(config.coarser(middle)) else (low, middle)
    return config.coarser(high)


def coarser_for_rate(config: FvvConfig, kbps: float, bound: float) -> FvvConfig:
    """Steps to try next where a whole stream came out at `kbps` instead of below `bound`.

    Doubling the steps saves about a third of the bytes; somewhat more than that is aimed at, since
    each try takes as long as the last.
    """
    return config.coarser(min(max((1.06 * kbps / bound) ** _STEPS_PER_RATE, 1.1), 4.0))


def bytes_per_frame(
    frames: Sequence[SourceFrame], config: FvvConfig, num_frames: int | None = None
) -> float:
    """Mean bytes of a stream of so many frames (None: a long one), from a few at its beginning."""
    encoder = Encoder(make_header(frames[0].gaussians, config), config)
    sizes = [sum(len(chunk) for chunk in encoder.push(frame)) for frame in frames]
    if len(sizes) == 1:
        return float(sizes[0])
    share = 1 / config.intra_interval
    if num_frames is not None:
        share = math.ceil(num_frames * share) / num_frames
    return share * sizes[0] + (1 - share) * sum(sizes[1:]) / len(sizes[1:])


def _coarsest(config: FvvConfig, fits: Callable[[FvvConfig], bool]) -> FvvConfig | None:
    low, high = _FINEST, _COARSEST
    if not fits(config.coarser(low)):
        return None
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(config.coarser(middle)) else (low, middle)
    return config.coarser(low)


def _distortions(
    frames: Iterable[SourceFrame],
    cameras: Sequence[Camera],
    config: FvvConfig,
    background: tuple[float, float, float],
    weigh: Weigher | None,
) -> list[float]:
    encoder, decoder, result = None, None, []
    for frame in frames:
        if encoder is None or decoder is None:
            header = make_header(frame.gaussians, config)
            encoder, decoder = Encoder(header, config, weigh), Decoder(header)
        decoded = decoder.decode(encoder.push(frame))
        result.append(distortion(frame.gaussians, decoded.gaussians, cameras, background))
    return result
