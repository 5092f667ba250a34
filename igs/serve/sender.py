"""Sends pictures as a camera would, MPEG-TS with H.264 over UDP: trials without cameras."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.container
import numpy as np

_TICKS = 90_000


class TsSender:
    """One simulated camera. Use it as a context manager.

    Args:
        url: where to, ``udp://HOST:PORT``.
        size: width and height, even.
        fps: pictures a second; `send` must be called at that pace.
        key_interval: pictures from one key picture to the next; who joins waits for one.
    """

    def __init__(
        self, url: str, size: tuple[int, int], fps: float, *, key_interval: int = 8
    ) -> None:
        self.sent = 0
        opened: Any = av.open(f"{url}?pkt_size=1316", "w", format="mpegts")
        self._container: av.container.OutputContainer = opened
        rate = Fraction(fps).limit_denominator(1001)
        stream: Any = self._container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, _TICKS)
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "18",
            "g": str(key_interval),
        }
        self._stream = stream

    def __enter__(self) -> TsSender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, image: np.ndarray, seconds: float) -> None:
        """Encode and send one picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            seconds: its time stamp; ascending.
        """
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = round(seconds * _TICKS), Fraction(1, _TICKS)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self.sent += 1

    def close(self) -> None:
        """Close the socket; what was sent stays sent."""
        self._container.close()
