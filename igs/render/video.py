"""Video files, written frame by frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
import torch
from av.video.stream import VideoStream

from igs.render.images import load_image, to_uint8
from igs.scene.files import atomic_path

_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
_BT709 = 1  # the number of ITU-R BT.709 in the stream's colour tags
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


class VideoWriter:
    """An H.264 MP4 file (yuv420p) that takes one frame at a time and holds none.

    Use it as a context manager: the file appears under its name when the block ends well, and not
    at all otherwise. Frames of odd width or height get their last column or row doubled, as the
    format has only even sizes.

    Args:
        path: file to write; missing folders are made.
        fps: frames per second.
        crf: constant rate factor of x264, 0 (lossless) to 51; 18 is near the visible limit.

    Raises:
        ValueError: no frame at all, or a frame of another size or type; names the file.
        RuntimeError: no H.264 encoder in the installed PyAV.
        OSError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: str | Path, fps: float = 30.0, *, crf: int = 18) -> None:
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._crf = crf
        self._stack = ExitStack()
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self.num_frames = 0

    def __enter__(self) -> VideoWriter:
        temporary = self._stack.enter_context(atomic_path(self._path))
        options = {"movflags": "+faststart"}
        self._file = av.open(str(temporary), "w", format="mp4", options=options)
        self._stack.callback(self._file.close)
        return self

    def add(self, frame: torch.Tensor | np.ndarray) -> None:
        """Encode one more frame: (3, H, W) float tensor in 0..1 or (H, W, 3) uint8 array."""
        array = to_uint8(frame) if isinstance(frame, torch.Tensor) else frame
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"{self._path}: a frame must be (H, W, 3) uint8, got {array.shape}")
        if self._stream is None:
            self._stream = self._open(array.shape[1], array.shape[0])
        if array.shape[:2] != self._size:
            raise ValueError(
                f"{self._path}: frame {self.num_frames} is {array.shape[1]} x {array.shape[0]}, "
                f"the video is {self._size[1]} x {self._size[0]}"
            )
        height, width = array.shape[:2]
        even = np.pad(array, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        picture.pts = self.num_frames
        self._file.mux(self._stream.encode(picture))
        self.num_frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._stream is None:
                raise ValueError(f"{self._path}: a video needs at least one frame")
            self._file.mux(self._stream.encode(None))

    def _open(self, width: int, height: int) -> VideoStream:
        stream = self._file.add_stream(_encoder(), rate=self._rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(self._crf)}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._size = (height, width)
        return stream


def write_video(
    path: str | Path,
    frames: Iterable[torch.Tensor | np.ndarray],
    fps: float = 30.0,
    *,
    crf: int = 18,
) -> int:
    """Write frames as they come; see `VideoWriter`.

    Returns:
        The number of frames written.
    """
    with VideoWriter(path, fps, crf=crf) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.num_frames


def image_paths(folder: str | Path) -> list[Path]:
    """PNG and JPEG files of a folder, sorted by the first integer in their names, then by name.

    Source: spec `streaming.md`, section 12.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        ValueError: an image without a number in its name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    numbered = []
    for path in folder.iterdir():
        if path.suffix.lower() not in _IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        number = re.search(r"\d+", path.stem)
        if number is None:
            raise ValueError(f"{path}: no number in the name to sort it by")
        numbered.append((int(number.group()), path.name, path))
    if not numbered:
        raise FileNotFoundError(f"{folder}: no PNG or JPEG images in it")
    return [path for _, _, path in sorted(numbered)]


def frames_from_folder(folder: str | Path) -> Iterator[np.ndarray]:
    """Yield the images of a folder as (H, W, 3) uint8, in the order of `image_paths`."""
    for path in image_paths(folder):
        yield load_image(path)


def _encoder() -> str:
    for name in _ENCODERS:
        if name in av.codecs_available:
            return name
    raise RuntimeError(
        f"the installed PyAV {av.__version__} has no H.264 encoder ({', '.join(_ENCODERS)}); "
        "install PyAV from its wheels: pip install --force-reinstall av"
    )
