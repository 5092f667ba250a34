"""Figures: image quality, steadiness, time, memory and bytes; all plain numbers."""

from igs.metrics.image import ImageMetric, Psnr, Ssim, decibels, psnr, ssim
from igs.metrics.lpips import Lpips
from igs.metrics.memory import current_memory_mb, peak_device_memory_mb, peak_memory_mb
from igs.metrics.stability import TemporalStability, temporal_stability
from igs.metrics.storage import bytes_written
from igs.metrics.timing import StageTimer, synchronize

__all__ = [
    "ImageMetric",
    "Lpips",
    "Psnr",
    "Ssim",
    "StageTimer",
    "TemporalStability",
    "bytes_written",
    "current_memory_mb",
    "decibels",
    "peak_device_memory_mb",
    "peak_memory_mb",
    "psnr",
    "ssim",
    "synchronize",
    "temporal_stability",
]
