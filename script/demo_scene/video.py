"""From rendered images to one H.264 file per camera, and back."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image
from scipy.ndimage import gaussian_filter

from .geometry import Array

# H.273 codes: BT.601 luma weights, which decoders also assume of small untagged video; sRGB
# primaries and transfer; limited range.
MATRIX, PRIMARIES, TRANSFER, RANGE = 6, 1, 13, 1
CRF = 10
# Colour a little finer than x264 would have it; siting as in `to_planes`.
X264 = "chroma-qp-offset=-4:chromaloc=0"
CHROMA_SIGMA = 0.8
_QUALITY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


def soften_chroma(pixels: np.ndarray) -> np.ndarray:
    """Blur colour, not brightness, by ``CHROMA_SIGMA`` pixels, as a sensor with a mosaic does.

    H.264 keeps chroma at half the resolution. Without this, what that loses would differ with
    where an edge falls on the pixel grid, so that no two cameras would agree about it.

    Args:
        pixels: (H, W, 3) uint8 sRGB; so is the result.
    """
    ycc = pixels.astype(np.float64) @ _TO_YCC.T
    for channel in (1, 2):
        ycc[..., channel] = gaussian_filter(ycc[..., channel], CHROMA_SIGMA)
    rgb = ycc @ np.linalg.inv(_TO_YCC).T
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def luma(pixels: np.ndarray) -> Array:
    """Brightness Y' (H, W) of sRGB bytes, in [0, 255]."""
    return pixels.astype(np.float64) @ _TO_YCC[0]


def load_image(path: Path) -> np.ndarray:
    """A rendered image as it goes into the video, (H, W, 3) uint8."""
    with Image.open(path) as image:
        return soften_chroma(np.asarray(image.convert("RGB")))


def write_video(path: Path, images: list[Path], fps: int) -> None:
    """Encode images, frame i at exactly i / fps seconds; a temporary name until it is whole."""
    temporary = path.with_suffix(".tmp")
    with av.open(
        str(temporary),
        "w",
        format="mp4",
        options={"movflags": "faststart", "movie_timescale": str(1000 * fps)},
    ) as out:
        stream = out.add_stream("libx264", rate=fps)
        first = load_image(images[0])
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        # One thread: the same bytes on every machine. One group of pictures: no pulsing.
        stream.options = {
            "crf": str(CRF),
            "preset": "veryslow",
            "threads": "1",
            "g": "600",
            "x264-params": X264,
        }
        _tag(stream.codec_context)
        for i, image in enumerate(images):
            frame = _to_frame(load_image(image))
            frame.pts, frame.time_base = i, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    os.replace(temporary, path)


def _tag(context: av.VideoCodecContext) -> None:
    context.color_range = RANGE
    context.colorspace = MATRIX
    context.color_primaries = PRIMARIES
    context.color_trc = TRANSFER


def to_planes(pixels: np.ndarray) -> np.ndarray:
    """sRGB bytes (H, W, 3) as the planes of a limited-range BT.601 4:2:0 picture.

    Chroma samples sit where H.264 puts them unless told otherwise: level with the even columns,
    between two rows.

    Returns:
        (H * 3 / 2, W) uint8: brightness above the two quarter-size colour planes, packed.
    """
    ycc = pixels.astype(np.float64) @ _TO_YCC.T
    bright = 16 + ycc[..., 0] * 219 / 255
    colour = 128 + ycc[..., 1:] * 224 / 255
    colour = (colour[0::2] + colour[1::2]) / 2
    padded = np.pad(colour, ((0, 0), (1, 1), (0, 0)), mode="edge")
    colour = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:])[:, 0::2] / 4
    width = pixels.shape[1]
    planes = [bright, colour[..., 0].reshape(-1, width), colour[..., 1].reshape(-1, width)]
    return np.round(np.concatenate(planes)).astype(np.uint8)


def _to_frame(pixels: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(to_planes(pixels), "yuv420p")


def read_video(path: Path) -> tuple[Array, np.ndarray]:
    """Decode a whole video: time stamps (F,) in seconds and images (F, H, W, 3) uint8."""
    times, images = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(float(frame.pts * frame.time_base))
            rgb = frame.reformat(
                format="rgb24",
                src_colorspace=Colorspace.ITU601,
                src_color_range=ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=_QUALITY,
            )
            images.append(rgb.to_ndarray())
    return np.array(times), np.stack(images)
