"""Folders of videos: synchronised frames, and refusals that name what is wrong."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from igs.scene import (
    Camera,
    FrameSource,
    Rig,
    SceneError,
    VideoFolderSource,
    read_image,
    read_rig,
)
from igs.scene.distortion import Distortion


def _levels(frame, names) -> list[int]:
    return [int(np.median(frame.images[name])) for name in names]


def _write(folder: Path, make_video, rig: Rig, **special) -> Path:
    for name in rig.cameras:
        make_video(folder / f"{name}.mp4", **special.get(name, {}))
    return folder


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("igs-")}


def test_frames_of_all_cameras_come_in_order(tmp_path, make_video, rig, level_of):
    source = VideoFolderSource(_write(tmp_path, make_video, rig), rig)
    assert isinstance(source, FrameSource)
    assert (source.num_frames, source.fps) == (10, 30.0)
    assert source.rig.held_out == ("cam0",)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(10))
    for frame in frames:
        assert frame.time == pytest.approx(frame.index / 30)
        assert list(frame.images) == list(rig.cameras)
        for image in frame.images.values():
            assert image.shape == (48, 64, 3)
            assert image.dtype == np.uint8
        assert _levels(frame, rig.cameras) == pytest.approx([level_of(frame.index)] * 6, abs=3)


@pytest.mark.parametrize("start", [0, 1, 7, 23, 39, 40])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_starting_later_gives_the_same_frames(tmp_path, make_video, rig, start, suffix):
    one = rig.subset(["cam1"])
    make_video(tmp_path / f"cam1.{suffix}", 40, options={"crf": "1", "g": "12", "bf": "2"})
    source = VideoFolderSource(tmp_path, one, prefetch=0)
    whole = [frame.images["cam1"] for frame in source.frames()]
    rest = list(source.frames(start))
    assert [frame.index for frame in rest] == list(range(start, 40))
    for frame in rest:
        np.testing.assert_array_equal(frame.images["cam1"], whole[frame.index])


def test_a_start_outside_the_sequence_is_refused(tmp_path, make_video, rig):
    source = VideoFolderSource(_write(tmp_path, make_video, rig), rig)
    with pytest.raises(SceneError, match="start 11 is outside 0 to 10"):
        source.frames(11)


def test_threads_and_prefetch_change_nothing(tmp_path, make_video, rig):
    folder = _write(tmp_path, make_video, rig)
    plain = list(VideoFolderSource(folder, rig, prefetch=0).frames())
    other = list(VideoFolderSource(folder, rig, prefetch=3, threads=2).frames())
    for a, b in zip(plain, other, strict=True):
        for name in rig.cameras:
            np.testing.assert_array_equal(a.images[name], b.images[name])


def test_closing_or_dropping_the_iterator_ends_the_thread(tmp_path, make_video, rig):
    before = _threads()
    source = VideoFolderSource(_write(tmp_path, make_video, rig), rig)
    frames = source.frames()
    next(frames)
    assert len(_threads() - before) == 1
    frames.close()  # type: ignore[attr-defined]
    assert not _threads() - before
    for _ in source.frames():
        break
    assert not _threads() - before


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_frames_in_memory_do_not_grow_with_the_sequence(tmp_path, make_video, rig, depth):
    one = rig.subset(["cam1"])
    make_video(tmp_path / "cam1.mp4", 120)
    size = 64 * 48 * 3
    tracemalloc.start()
    try:
        for _ in VideoFolderSource(tmp_path, one, prefetch=depth).frames():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The frame in use, those that wait, the one in the making and its copy while it is converted.
    assert peak < (depth + 5) * size + 200_000


def test_sizes_and_cameras_are_scaled_together(tmp_path, make_video, rig):
    folder = _write(tmp_path, make_video, rig)
    source = VideoFolderSource(folder, rig, size=(32, 24))
    camera = source.cameras["cam2"]
    assert (camera.width, camera.height) == (32, 24)
    assert camera.cx == pytest.approx(rig.cameras["cam2"].cx / 2)
    assert next(source.frames()).images["cam2"].shape == (24, 32, 3)
    # A camera file made for images of half the size takes the full-size videos.
    half = Rig({name: camera.resized(32, 24) for name, camera in rig.cameras.items()})
    assert next(VideoFolderSource(folder, half).frames()).images["cam2"].shape == (24, 32, 3)


def test_shrinking_averages(tmp_path, make_video, rig):
    """Stripes one pixel wide become an even grey, not a moire of black and white."""
    with av.open(str(tmp_path / "cam1.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.options = {"crf": "0"}
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, ::2] = 200
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    source = VideoFolderSource(tmp_path, rig.subset(["cam1"]), size=(16, 12))
    inner = next(source.frames()).images["cam1"][2:-2, 2:-2].astype(int)
    assert np.ptp(inner) <= 4
    assert inner.mean() == pytest.approx(100, abs=4)


def test_start_offsets_do_not_shift_a_relative_clock(tmp_path, make_video, rig, level_of):
    _write(tmp_path, make_video, rig, cam1={"offset": 7}, cam4={"offset": 3})
    for frame in VideoFolderSource(tmp_path, rig).frames():
        assert _levels(frame, rig.cameras) == pytest.approx([level_of(frame.index)] * 6, abs=3)


def test_an_absolute_clock_takes_what_all_cameras_saw(tmp_path, make_video, rig, level_of):
    two = rig.subset(["cam1", "cam2"])
    make_video(tmp_path / "cam1.mp4", 10)
    # Its own moment 0 is moment 4 of the other: the picture's levels are those of its own count.
    make_video(tmp_path / "cam2.mp4", 10, offset=4)
    with pytest.raises(SceneError, match=r"camera 'cam2' has no frame at 0\.000 s"):
        VideoFolderSource(tmp_path, two, clock="absolute")
    source = VideoFolderSource(tmp_path, two, clock="absolute", on_missing="drop")
    assert source.num_frames == 6
    for frame in source.frames():
        wanted = [level_of(frame.index + 4), level_of(frame.index)]
        assert _levels(frame, two.cameras) == pytest.approx(wanted, abs=3)
        assert frame.time == pytest.approx(frame.index / 30, abs=2e-3)


def test_jitter_within_half_a_frame_is_grouped(tmp_path, make_video, rig, level_of):
    two = rig.subset(["cam1", "cam2"])
    make_video(tmp_path / "cam1.mp4", 10)
    make_video(tmp_path / "cam2.mp4", 10, shift=lambda moment: 0.2 if moment % 2 else 0.0)
    frames = list(VideoFolderSource(tmp_path, two).frames())
    assert len(frames) == 10
    for frame in frames:
        assert _levels(frame, two.cameras) == pytest.approx([level_of(frame.index)] * 2, abs=3)
    with pytest.raises(SceneError, match="has no frame at"):
        VideoFolderSource(tmp_path, two, tolerance=0.001)


def test_a_dropped_frame_is_named(tmp_path, make_video, rig, level_of):
    _write(tmp_path, make_video, rig, cam3={"drop": [4], "count": 11})
    with pytest.raises(SceneError) as caught:
        VideoFolderSource(tmp_path, rig, num_frames=10)
    assert "camera 'cam3' has no frame at 0.133 s (step 4)" in str(caught.value)
    assert "\n" not in str(caught.value)
    source = VideoFolderSource(tmp_path, rig, on_missing="drop")
    assert source.num_frames == 9
    moments = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    for frame, moment in zip(source.frames(), moments, strict=True):
        assert frame.time == pytest.approx(moment / 30)
        assert _levels(frame, rig.cameras) == pytest.approx([level_of(moment)] * 6, abs=3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_cameras_that_disagree_in_count(tmp_path, make_video, rig, suffix):
    two = rig.subset(["cam1", "cam2"])
    make_video(tmp_path / f"cam1.{suffix}", 10)
    make_video(tmp_path / f"cam2.{suffix}", 8)
    with pytest.raises(SceneError, match="cam2 has 8, cam1 10; give num_frames=8"):
        VideoFolderSource(tmp_path, two)
    with pytest.raises(SceneError, match="cam2 has 8, cam1 10; give num_frames=8"):
        VideoFolderSource(tmp_path, two, num_frames=9)
    assert len(list(VideoFolderSource(tmp_path, two, num_frames=8).frames())) == 8
    assert VideoFolderSource(tmp_path, two, on_missing="drop").num_frames == 8


def test_a_long_video_is_not_read_to_its_end_to_be_counted(tmp_path, make_video, rig):
    two = rig.subset(["cam1", "cam2"])
    make_video(tmp_path / "cam1.mp4", 100)
    make_video(tmp_path / "cam2.mp4", 8)
    with pytest.raises(SceneError, match="cam2 has 8, cam1 at least 20"):
        VideoFolderSource(tmp_path, two, num_frames=20)


def test_more_frames_than_there_are(tmp_path, make_video, rig):
    folder = _write(tmp_path, make_video, rig)
    with pytest.raises(SceneError, match="10 common frames, 11 are wanted"):
        VideoFolderSource(folder, rig, num_frames=11)


def test_different_frame_rates_are_named(tmp_path, make_video, rig):
    _write(tmp_path, make_video, rig, cam2={"fps": 25})
    with pytest.raises(SceneError, match=r"cam2 has 25 frames per second, cam\d 30"):
        VideoFolderSource(tmp_path, rig)


@pytest.mark.parametrize("content", [b"", b"no video at all " * 50])
def test_an_unreadable_video_is_named(tmp_path, make_video, rig, content):
    folder = _write(tmp_path, make_video, rig)
    (folder / "cam4.mp4").write_bytes(content)
    with pytest.raises(SceneError, match=r"cam4\.mp4: cannot be read as a video") as caught:
        VideoFolderSource(folder, rig)
    assert "\n" not in str(caught.value)


def test_a_truncated_video_is_named(tmp_path, make_video, rig):
    folder = _write(tmp_path, make_video, rig, cam4={"count": 1})
    make_video(tmp_path / "parts" / "cam4.mp4", 40, size=(64, 48))
    # With the index in front, a cut-off file opens as if nothing were wrong.
    with (
        av.open(str(tmp_path / "parts" / "cam4.mp4")) as whole,
        av.open(str(folder / "cam4.mp4"), "w", options={"movflags": "faststart"}) as front,
    ):
        stream = front.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                front.mux(packet)
    data = (folder / "cam4.mp4").read_bytes()
    (folder / "cam4.mp4").write_bytes(data[:-40])
    with pytest.raises(SceneError, match=r"cam4\.mp4: is cut off or damaged: it announces 40"):
        VideoFolderSource(folder, rig)


def test_damage_inside_a_video_stops_the_stream(tmp_path, rig):
    one = rig.subset(["cam1"])
    path, noise = tmp_path / "cam1.mp4", np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "5", "threads": "1"}
        for _ in range(30):
            image = noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    before = _threads()
    seen = []
    with pytest.raises(SceneError, match=r"cam1\.mp4: the frame at 0\.\d+ s"):
        seen.extend(VideoFolderSource(tmp_path, one).frames())
    assert 0 < len(seen) < 30
    assert not _threads() - before


def test_videos_and_cameras_must_pair_up(tmp_path, make_video, rig):
    folder = _write(tmp_path, make_video, rig)
    make_video(folder / "cam9.mp4")
    with pytest.raises(SceneError, match=r"cam9\.mp4: the camera file has no camera 'cam9'"):
        VideoFolderSource(folder, rig)
    (folder / "cam9.mp4").unlink()
    (folder / "cam3.mp4").unlink()
    with pytest.raises(SceneError, match="no video of camera cam3"):
        VideoFolderSource(folder, rig)
    source = VideoFolderSource(folder, rig, only=["cam5", "cam1"])
    assert list(next(source.frames()).images) == ["cam5", "cam1"]
    with pytest.raises(SceneError, match=r"no camera is called 'cam7'.*did you mean"):
        VideoFolderSource(folder, rig, only=["cam7"])


def test_two_files_of_one_camera_and_empty_folders(tmp_path, make_video, rig):
    with pytest.raises(FileNotFoundError, match="no such folder of videos"):
        VideoFolderSource(tmp_path / "nowhere", rig)
    with pytest.raises(SceneError, match="holds no video"):
        VideoFolderSource(tmp_path, rig)
    folder = _write(tmp_path, make_video, rig)
    make_video(folder / "cam1.mkv")
    with pytest.raises(SceneError, match=r"cam1\.mkv and cam1\.mp4 are of one camera"):
        VideoFolderSource(folder, rig)


def test_images_of_another_shape_are_refused(tmp_path, make_video, rig):
    _write(tmp_path, make_video, rig, cam5={"size": (64, 64)})
    with pytest.raises(SceneError, match=r"cam5\.mp4: 64 x 64 pixels do not have the shape"):
        VideoFolderSource(tmp_path, rig)


@pytest.mark.parametrize(
    "bad",
    [
        {"num_frames": 0},
        {"tolerance": -1.0},
        {"threads": 0},
        {"clock": "wall"},
        {"on_missing": "guess"},
    ],
)
def test_bad_settings_are_named(tmp_path, rig, bad):
    with pytest.raises(SceneError, match=next(iter(bad))):
        VideoFolderSource(tmp_path, rig, **bad)


def test_distortion_is_taken_out(tmp_path, rig):
    """A straight line that the lens bent is straight again, and where the pinhole puts it."""
    camera = Camera("cam1", 128, 96, 90.0, 90.0, 64.0, 48.0, np.eye(4))
    lens = Distortion(camera, k1=-0.25, k2=0.05, p1=0.002)
    target = lens.undistorted()
    columns = np.arange(camera.width) + 0.5
    rows = np.arange(camera.height) + 0.5
    x = (np.stack(np.meshgrid(columns, rows), -1) - [64, 48]) / 90
    ideal = x.copy()
    for _ in range(50):  # the inverse by fixed point, independent of the code under test
        ideal = ideal + x - lens.distort(ideal)
    bent = np.where(ideal[..., :1] > 0.2, 200, 50).astype(np.uint8).repeat(3, axis=-1)
    with av.open(str(tmp_path / "cam1.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv444p"
        stream.options = {"crf": "0"}
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bent, format="rgb24")))
        container.mux(stream.encode())
    distorted = Rig({"cam1": target}, distortion={"cam1": lens})
    image = next(VideoFolderSource(tmp_path, distorted).frames()).images["cam1"]
    edge = np.argmax(image[..., 0] > 125, axis=1)
    wanted = round(0.2 * target.fx + target.cx)  # the first pixel whose centre lies beyond
    assert np.abs(edge - wanted).max() <= 1
    uncorrected = np.argmax(bent[..., 0] > 125, axis=1)
    assert np.ptp(uncorrected) > np.ptp(edge)


def test_panoptic_basketball(shared):
    folder = shared / "data" / "panoptic_basketball"
    if not folder.is_dir():
        pytest.skip(f"no data: {folder} is not a folder")
    rig = read_rig(folder / "cameras.json")
    assert rig.held_out == ("cam00", "cam10", "cam15", "cam30")
    source = VideoFolderSource(folder / "videos", rig, num_frames=3)
    assert (source.num_frames, source.fps, len(source.cameras)) == (3, 30.0, 31)
    first = next(source.frames())
    # Full-range 4:2:0: the decoded frame agrees with the untouched JPEG of the same instant.
    original = read_image(folder / "first_frame" / "ims" / "5" / "000000.jpg")
    decoded = first.images["cam05"]
    assert original.shape == decoded.shape
    error = np.mean((original.astype(float) - decoded.astype(float)) ** 2)
    assert 10 * np.log10(255**2 / error) > 40
    assert np.abs(original.astype(float).mean((0, 1)) - decoded.mean((0, 1))).max() < 1.0


def test_desk_is_undistorted(shared):
    folder = shared / "data" / "desk_4cam_board"
    if not folder.is_dir():
        pytest.skip(f"no data: {folder} is not a folder")
    with pytest.raises(SceneError, match="undistort"):
        read_rig(folder / "cameras.json")
    rig = read_rig(folder / "cameras.json", undistort=True)
    source = VideoFolderSource(folder / "videos", rig, num_frames=2)
    assert source.fps == pytest.approx(6)
    plain = VideoFolderSource(folder / "videos", replace(rig, distortion={}), num_frames=2)
    bent, straight = (next(s.frames()).images["cam_0"] for s in (plain, source))
    assert straight.shape == (360, 640, 3)
    assert np.abs(bent.astype(float) - straight).mean() > 2
