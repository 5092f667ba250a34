"""One number per moment and camera: the signals that synchronisation compares."""

from __future__ import annotations

import os
from collections.abc import Iterable

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from scipy.signal import stft

from igs.scene import SceneError, resize_image
from igs.scene.video_timing import error_reason, open_video

# Grey levels by which noise and compression change a pixel from frame to frame.
_NOISE = 4
_AUDIO_RATE = 16000
_WINDOW = 512


def motion_signal(frames: Iterable[np.ndarray], width: int = 160) -> np.ndarray:
    """How much one view changes from each frame to the next.

    Args:
        frames: T images, (H, W, 3) or (H, W) uint8.
        width: images are reduced to this many pixels across before they are compared, which
            averages out noise.

    Returns:
        (T,) float64: entry t is the mean over pixels of the absolute grey difference between
        frames t - 1 and t, less what noise causes; entry 0 repeats entry 1.
    """
    values: list[float] = []
    before: np.ndarray | None = None
    for frame in frames:
        gray = _reduced(frame, width)
        if before is not None:
            values.append(_change(before, gray))
        before = gray
    return _with_first(values)


def video_motion(
    path: str | os.PathLike[str], width: int = 160, num_frames: int | None = None
) -> np.ndarray:
    """`motion_signal` of a video file, decoded at a small size.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: it cannot be decoded; the message names it.
    """
    values: list[float] = []
    before: np.ndarray | None = None
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            for count, frame in enumerate(container.decode(stream)):
                if num_frames is not None and count >= num_frames:
                    break
                small = min(width, frame.width)
                height = max(2, round(frame.height * small / frame.width))
                gray = frame.reformat(small, height, "gray", interpolation="AREA").to_ndarray()
                gray = gray.astype(np.int16)
                if before is not None:
                    values.append(_change(before, gray))
                before = gray
        except (av.error.FFmpegError, OSError) as error:
            raise SceneError(
                f"{path}: damaged after {len(values)} frames ({error_reason(error)})"
            ) from error
    return _with_first(values)


def _reduced(frame: np.ndarray, width: int) -> np.ndarray:
    gray = frame if frame.ndim == 2 else frame.mean(axis=2).astype(np.uint8)
    if gray.shape[1] > width:
        gray = resize_image(gray, width, max(2, round(gray.shape[0] * width / gray.shape[1])))
    return gray.astype(np.int16)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.maximum(np.abs(after - before) - _NOISE, 0).mean())


def _with_first(values: list[float]) -> np.ndarray:
    return np.array(values[:1] + values, dtype=np.float64)


def audio_onsets(path: str | os.PathLike[str], rate: float) -> np.ndarray | None:
    """Onset envelope of a video's first sound track, from the moment of its first picture on.

    Args:
        path: the video.
        rate: samples of the envelope per second.

    Returns:
        (T,) float64, or None where there is no sound or only silence.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: its sound cannot be decoded; the message names it.
    """
    with open_video(path) as container:
        if not container.streams.audio:
            return None
        video, audio = container.streams.video[0], container.streams.audio[0]
        picture = float((video.start_time or 0) * (video.time_base or 0))
        sound = float((audio.start_time or 0) * (audio.time_base or 0))
        resampler = AudioResampler("flt", "mono", _AUDIO_RATE)
        parts: list[np.ndarray] = []
        try:
            for frame in container.decode(audio):
                parts += [out.to_ndarray().ravel() for out in resampler.resample(frame)]
            parts += [out.to_ndarray().ravel() for out in resampler.resample(None)]
        except (av.error.FFmpegError, OSError) as error:
            raise SceneError(f"{path}: sound cannot be decoded ({error_reason(error)})") from error
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    late = round((sound - picture) * _AUDIO_RATE)
    samples = np.concatenate([np.zeros(late), samples]) if late > 0 else samples[-late:]
    if len(samples) < 2 * _WINDOW or not np.abs(samples).max() > 1e-4:
        return None
    return onset_envelope(samples, _AUDIO_RATE, rate)


def onset_envelope(samples: np.ndarray, sample_rate: float, rate: float) -> np.ndarray:
    """Strength of sound onsets over time: the spectral flux of log magnitudes.

    Args:
        samples: (S,) sound, -1..1.
        sample_rate: samples per second.
        rate: values of the envelope per second.

    Returns:
        (floor(S / sample_rate * rate),) float64; value k stands for the time k / rate.

    Source: Bello et al., "A tutorial on onset detection in music signals", IEEE TSAP 2005.
    """
    hop = _WINDOW // 4
    _, times, spectrum = stft(
        np.asarray(samples, np.float64), sample_rate, nperseg=_WINDOW, noverlap=_WINDOW - hop
    )
    level = np.log1p(1000 * np.abs(spectrum))
    flux = np.maximum(np.diff(level, axis=1, prepend=level[:, :1]), 0).sum(axis=0)
    moments = np.arange(int(len(samples) / sample_rate * rate)) / rate
    return np.interp(moments, times, flux)
