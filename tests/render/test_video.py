"""Images, comparison frames and videos."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from igs.render import (
    comparison_frame,
    error_map,
    frames_from_folder,
    image_paths,
    load_image,
    save_png,
    to_float,
    to_uint8,
    write_video,
)


def ramp(height: int, width: int, shift: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    channels = [(rows * 2 + shift) % 256, (columns * 2) % 256, np.full_like(rows, 90)]
    return np.stack(channels, -1).astype(np.uint8)


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            for frame in file.decode(video=0)
        ]


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (1, 1)])
def test_video_holds_every_frame(tmp_path: Path, height: int, width: int) -> None:
    frames = [ramp(height, width, shift) for shift in (0, 40, 80)]
    count = write_video(tmp_path / "out" / "a.mp4", iter(frames), fps=25, crf=8)
    decoded = decode(tmp_path / "out" / "a.mp4")
    assert count == len(decoded) == 3
    for got, wanted in zip(decoded, frames, strict=True):
        assert got.shape == (height + height % 2, width + width % 2, 3)
        error = np.abs(got[:height, :width].astype(int) - wanted)
        assert error.mean() < 6, "colours survive but for 4:2:0 and quantisation"
    with av.open(str(tmp_path / "out" / "a.mp4")) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25


def test_flat_colours_come_back(tmp_path: Path) -> None:
    for color in ((250, 10, 10), (10, 250, 10), (20, 40, 250), (128, 128, 128)):
        frame = np.full((32, 32, 3), color, np.uint8)
        write_video(tmp_path / "a.mp4", [frame], crf=5)
        got = decode(tmp_path / "a.mp4")[0].astype(int)
        assert np.abs(got - color).max() <= 5


def test_tensor_frames_and_odd_rates(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", (torch.full((3, 16, 16), v) for v in (0.2, 0.6)), fps=29.97)
    assert [round(f.mean() / 255, 1) for f in decode(tmp_path / "a.mp4")] == [0.2, 0.6]
    with av.open(str(tmp_path / "a.mp4")) as file:
        rate = file.streams.video[0].average_rate
        assert rate is not None
        assert float(rate) == pytest.approx(29.97, abs=0.001)


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    alive = []

    def frames() -> Iterator[np.ndarray]:
        import weakref

        for shift in range(30):
            frame = ramp(32, 32, shift)
            alive.append(weakref.ref(frame))
            yield frame
            assert sum(ref() is not None for ref in alive) <= 2

    write_video(tmp_path / "a.mp4", frames())


def test_failed_video_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def broken() -> Iterator[np.ndarray]:
        yield ramp(16, 16)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_video(path, broken())
    with pytest.raises(ValueError, match=r"a\.mp4: a video needs at least one frame"):
        write_video(path, [])
    with pytest.raises(ValueError, match=r"a\.mp4: frame 1 is 18 x 16, the video is 16 x 16"):
        write_video(path, [ramp(16, 16), ramp(16, 18)])
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8"):
        write_video(path, [np.zeros((16, 16, 3))])
    assert list(tmp_path.iterdir()) == []


def test_folder_order_is_by_first_number(tmp_path: Path) -> None:
    for name in ("v10_1.png", "v9_2.jpg", "v100.png", "v9_1.PNG"):
        Image.fromarray(ramp(4, 4)).save(tmp_path / name)
    (tmp_path / "notes7.txt").write_text("no image")
    assert [p.name for p in image_paths(tmp_path)] == [
        "v9_1.PNG",
        "v9_2.jpg",
        "v10_1.png",
        "v100.png",
    ]
    assert len(list(frames_from_folder(tmp_path))) == 4
    Image.fromarray(ramp(4, 4)).save(tmp_path / "first.png")
    with pytest.raises(ValueError, match=r"first\.png: no number"):
        image_paths(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        image_paths(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no PNG or JPEG"):
        image_paths(tmp_path / "empty")


def test_png_round_trip(tmp_path: Path) -> None:
    image = torch.rand(3, 7, 5, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    save_png(tmp_path / "deep" / "a.png", image)
    back = load_image(tmp_path / "deep" / "a.png")
    np.testing.assert_array_equal(back, to_uint8(image))
    assert (to_float(back) - image.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    save_png(tmp_path / "deep" / "a.png", torch.full((1, 4, 4), 0.5))
    assert load_image(tmp_path / "deep" / "a.png").tolist()[0][0] == [128] * 3
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_bad_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image"):
        load_image(tmp_path / "a.png")
    save_png(tmp_path / "b.png", ramp(50, 50))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:80])
    with pytest.raises(ValueError, match=r"b\.png: cannot be read as an image"):
        load_image(tmp_path / "b.png")
    with pytest.raises(ValueError, match="must be"):
        save_png(tmp_path / "c.png", np.zeros((4, 4, 3), np.float32))
    assert not (tmp_path / "c.png").exists()


def test_comparison_has_three_labelled_panels() -> None:
    captured, rendered = np.full((60, 80, 3), 100, np.uint8), np.full((60, 80, 3), 100, np.uint8)
    rendered[40:, 40:] = 160
    frame = comparison_frame(captured, rendered)
    assert frame.shape == (60, 240, 3)
    np.testing.assert_array_equal(frame[30:, :80], captured[30:])
    np.testing.assert_array_equal(frame[30:, 80:160], rendered[30:])
    assert not frame[30:40, 160:].any(), "no error is black"
    assert frame[45:, 205:].min(-1).max() > 0 or frame[45:, 205:].max() > 100
    assert (frame[:20, :80] != 100).any(), "the label is drawn"
    bare = comparison_frame(captured, captured, labels=("", "", ""))
    assert (bare[:, :160] == 100).all()
    with pytest.raises(ValueError, match="must have one size"):
        comparison_frame(captured, rendered[:50])


def test_error_map_brightens_with_the_error() -> None:
    captured = np.zeros((1, 6, 3), np.uint8)
    rendered = captured.copy()
    rendered[0, :, :] = np.array([0, 10, 20, 40, 64, 255])[:, None]
    heat = error_map(captured, rendered, full_error=0.25).astype(int)
    luma = heat @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) >= 0).all()
    assert heat[0, 0].tolist() == [0, 0, 0]
    assert heat[0, 5].tolist() == [255, 255, 255]
