"""Decode single frames of a video to RGB, in order, each when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Generator

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from igs.scene.errors import SceneError
from igs.scene.video_timing import VideoTiming, error_reason, open_video

# Matrix coefficients as numbered in H.273 to swscale's numbers; streams without the tag count as
# BT.601, as in FFmpeg's own tools.
_BT709, _BT601 = 1, 5
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
_FULL_RANGE = 2
# Below this many frames, decoding and dropping costs less than a seek and a new start.
_SEEK_FROM = 16


class VideoDecoder:
    """Reads chosen frames of one video in ascending order.

    The colour matrix and range that the stream is tagged with are obeyed, and so is a rotation by
    quarter turns in the container. Frames are resized with anti-aliasing.

    Args:
        timing: the video's time stamps.
        start: the first position that will be read; earlier ones cannot be.
        size: width and height of the images that come out.
        threads: threads within the codec.

    Raises:
        FileNotFoundError, SceneError: the file cannot be opened.
    """

    def __init__(
        self, timing: VideoTiming, start: int, size: tuple[int, int], threads: int = 1
    ) -> None:
        self._timing = timing
        self._size = size
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._container = open_video(timing.path)
        self._ahead: tuple[int, av.VideoFrame] | None = None
        self._decoded = self._decode()
        if start >= _SEEK_FROM and not timing.by_order:
            self._seek(start)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._decoded.close()
        self._container.close()

    def read(self, position: int) -> np.ndarray:
        """The frame at a position of the time stamps, (height, width, 3) uint8 RGB.

        Raises:
            SceneError: it is damaged or missing; the message names the file and the time.
        """
        while (upcoming := self._next()) is not None:
            at, frame = upcoming
            if at == position:
                if frame.is_corrupt:
                    raise SceneError(f"{self._where(position)} is damaged")
                return frame_to_rgb(frame, self._size, self._reformatter)
            if at > position:
                break
        raise SceneError(f"{self._where(position)} cannot be decoded; the file is damaged")

    def _where(self, position: int) -> str:
        stamps = self._timing.seconds
        return f"{self._timing.path}: the frame at {stamps[position] - stamps[0]:.3f} s"

    def _next(self) -> tuple[int, av.VideoFrame] | None:
        ahead, self._ahead = self._ahead, None
        return ahead if ahead is not None else next(self._decoded, None)

    def _decode(self) -> Generator[tuple[int, av.VideoFrame], None, None]:
        """Yield (position, frame); frames that carry no time are counted."""
        stream = self._container.streams.video[0]
        stream.thread_count = self._threads
        stamps = self._timing.stamps
        expected = 0
        try:
            for frame in self._container.decode(stream):
                at = expected
                if frame.pts is not None and not self._timing.by_order:
                    at = int(np.searchsorted(stamps, frame.pts))
                    if at < len(stamps) and stamps[at] != frame.pts:
                        continue  # no packet that is shown has this time
                yield at, frame
                expected = at + 1
        except (av.error.FFmpegError, OSError) as error:
            last = min(expected, len(stamps) - 1)
            raise SceneError(f"{self._where(last)} is damaged ({error_reason(error)})") from error

    def _seek(self, start: int) -> None:
        """Jump to the key frame before `start`; begin again where the container cannot."""
        stream = self._container.streams.video[0]
        try:
            self._container.seek(int(self._timing.stamps[start]), stream=stream)
            self._ahead = next(self._decoded, None)
        except (av.error.FFmpegError, OSError, SceneError):
            self._ahead = None
        usable = self._ahead is not None and self._ahead[1].pts is not None
        if not usable or (self._ahead is not None and self._ahead[0] > start):
            self.close()
            self._container = open_video(self._timing.path)
            self._ahead, self._decoded = None, self._decode()


def frame_to_rgb(
    frame: av.VideoFrame, size: tuple[int, int] | None, reformatter: VideoReformatter
) -> np.ndarray:
    """Convert a decoded frame to (H, W, 3) uint8 RGB, upright, at `size` (width, height).

    Without a size the frame keeps its own.
    """
    turns = quarter_turns(frame)
    width, height = size or displayed_size(frame)
    if turns % 2:
        width, height = height, width
    shrinks = width < frame.width or height < frame.height
    if frame.format.is_rgb:
        colour = {}
    else:
        full = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
        matrix = _MATRICES.get(int(frame.colorspace), _BT601)
        colour = {
            "src_colorspace": matrix,
            "src_color_range": ColorRange.JPEG if full else ColorRange.MPEG,
            # RGB has no matrix, but older releases of PyAV pass the source's on to swscale only
            # where the two differ.
            "dst_colorspace": _BT709 if matrix == _BT601 else _BT601,
            "dst_color_range": ColorRange.JPEG,
        }
    converted = reformatter.reformat(
        frame,
        width,
        height,
        format="rgb24",
        interpolation=_interpolation("AREA" if shrinks else "BICUBIC"),
        **colour,
    )
    image = converted.to_ndarray()
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _interpolation(name: str) -> Interpolation:
    # Accurate rounding and chroma at full width take the error of a colour from 3 levels to 1;
    # older releases of PyAV cannot be asked for them.
    method = Interpolation[name]
    for extra in ("ACCURATE_RND", "FULL_CHR_H_INT"):
        if hasattr(Interpolation, extra):
            method |= Interpolation[extra]
    return method


def quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that the container asks for to show a frame upright."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def displayed_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height of the upright frame."""
    turned = quarter_turns(frame) % 2
    return (frame.height, frame.width) if turned else (frame.width, frame.height)


def read_displayed_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a video's first frame as shown; decodes that frame.

    Raises:
        FileNotFoundError: there is no such file.
        SceneError: no frame can be decoded; the message names the file.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            frame = next(container.decode(stream), None)
        except (av.error.FFmpegError, OSError) as error:
            raise SceneError(f"{path}: cannot be decoded ({error_reason(error)})") from error
        if frame is None:
            raise SceneError(f"{path}: no frame of it can be decoded")
        return displayed_size(frame)
