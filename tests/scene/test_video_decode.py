"""Colours, ranges and rotations of decoded frames."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from igs.scene.video_decode import VideoDecoder, frame_to_rgb, read_displayed_size
from igs.scene.video_timing import read_timing

# H.273 number of the matrix -> (name here, Kr, Kb).
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
COLOURS = [(200, 40, 60), (30, 180, 90), (20, 30, 220), (128, 128, 128), (250, 250, 250), (5, 5, 5)]


def _encode(rgb: tuple[int, ...], matrix: int, full: bool) -> list[int]:
    """Y, Cb, Cr in 8 bits by the definition in ITU-R BT.601, 709 and 2020."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (value / 255 for value in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if full:
        exact = [255 * luma, 128 + 255 * cb, 128 + 255 * cr]
    else:
        exact = [16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr]
    return [int(np.clip(round(value), 0, 255)) for value in exact]


def _yuv_frame(ycc: list[int]) -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, ycc, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_the_tagged_matrix_and_range_are_obeyed(tmp_path, matrix, full):
    path = tmp_path / "cam.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"crf": "1", "threads": "1"}
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        for colour in COLOURS:
            frame = _yuv_frame(_encode(colour, matrix, full))
            frame.colorspace, frame.color_range = matrix, 2 if full else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    decoder = VideoDecoder(read_timing(path), 0, (64, 48))
    for i, colour in enumerate(COLOURS):
        image = decoder.read(i).astype(int)
        assert np.abs(image - colour).max() <= 3, colour
    decoder.close()


def test_untagged_video_counts_as_bt601_of_limited_range(tmp_path):
    ycc = _encode((200, 40, 60), 6, False)
    image = frame_to_rgb(_yuv_frame(ycc), None, VideoReformatter())
    assert np.abs(image.astype(int) - (200, 40, 60)).max() <= 3


def test_resizing_keeps_the_colour():
    ycc = _encode((200, 40, 60), 6, False)
    for size in [(32, 24), (16, 12), (100, 70), (63, 47)]:
        image = frame_to_rgb(_yuv_frame(ycc), size, VideoReformatter())
        assert image.shape == (size[1], size[0], 3)
        assert np.abs(image.astype(int) - (200, 40, 60)).max() <= 3


def test_rgb_frames_pass_unchanged():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    np.testing.assert_array_equal(frame_to_rgb(frame, None, VideoReformatter()), image)


# Clockwise quarter turns in the container's display matrix -> where the white corner goes.
TURNS = {
    (0, 1, -1, 0): (slice(4, 28), slice(28, 44)),
    (-1, 0, 0, -1): (slice(28, 44), slice(36, 60)),
    (0, -1, 1, 0): (slice(36, 60), slice(4, 20)),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_rotation_in_the_container_is_applied(tmp_path, matrix):
    path = tmp_path / "cam.mp4"
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    # The matrix stands 40 bytes into the track header (version 0), after its four-letter name.
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (65536 * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    upright = (64, 48) if matrix[0] else (48, 64)
    assert read_displayed_size(path) == upright
    decoder = VideoDecoder(read_timing(path), 0, upright)
    shown = decoder.read(0)
    decoder.close()
    assert shown.shape == (upright[1], upright[0], 3)
    rows, columns = TURNS[matrix]
    assert shown[rows, columns].min() > 200
    assert shown.mean() == pytest.approx(255 / 4, abs=6)
