"""Frames of several cameras brought together, and the frames that are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from igs.config.prepare import SyncConfig
from igs.prepare.detect import open_capture
from igs.prepare.timeline import FrameRange, Timeline, make_timeline
from igs.scene import SceneError

QUIET = {"mode": "off"}


def timeline_of(
    folder: Path, frames: str | None = None, fps: float | None = None, **sync
) -> Timeline:
    capture = open_capture(folder)
    return make_timeline(capture, SyncConfig(**{**QUIET, **sync}), FrameRange.parse(frames), fps)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, FrameRange(0, None, 1)),
        ("60", FrameRange(0, 60, 1)),
        ("10:300", FrameRange(10, 300, 1)),
        ("10:", FrameRange(10, None, 1)),
        (":300:2", FrameRange(0, 300, 2)),
    ],
)
def test_frame_ranges(text: str | None, expected: FrameRange):
    assert FrameRange.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "5:5", "-3", "0:10:0x"])
def test_frame_ranges_that_are_none(text: str):
    with pytest.raises(SceneError, match="frames: "):
        FrameRange.parse(text)


def test_videos(tmp_path: Path, write_videos):
    write_videos(tmp_path, 6)
    timeline = timeline_of(tmp_path, "1:6:2")
    assert timeline.fps == pytest.approx(15)
    assert [step.positions["cam03"] for step in timeline.steps] == [1, 3, 5]
    assert [step.time for step in timeline.steps] == pytest.approx([0, 2 / 30, 4 / 30])


def test_too_many_frames_are_wanted(tmp_path: Path, write_videos):
    write_videos(tmp_path, 4)
    with pytest.raises(SceneError, match="4 common frames, 9 are wanted"):
        timeline_of(tmp_path, "9")
    with pytest.raises(SceneError, match="nothing is left of 4"):
        timeline_of(tmp_path, "4:")


def test_cameras_of_different_length(
    tmp_path: Path, write_videos, write_video: Callable[..., Path]
):
    write_videos(tmp_path, 6)
    write_video(tmp_path / "cam02.mp4", 2, 4)
    with pytest.raises(SceneError, match="disagree in frame count: cam02 has 4"):
        timeline_of(tmp_path)
    assert len(timeline_of(tmp_path, "4").steps) == 4
    assert len(timeline_of(tmp_path, on_missing="drop").steps) == 4


def test_cameras_of_different_rate(tmp_path: Path, write_videos, write_video: Callable[..., Path]):
    write_videos(tmp_path, 30)
    write_video(tmp_path / "cam02.mp4", 2, 30, fps=25)
    with pytest.raises(SceneError, match=r"differ in frame rate: cam02 has 25.*, cam0\d 30"):
        timeline_of(tmp_path)


def test_offsets_move_a_camera(tmp_path: Path, write_videos):
    write_videos(tmp_path, 6)
    timeline = timeline_of(tmp_path, offsets={"cam01": 2 / 30})
    # cam01 shows at its frame 2 what the others show at their frame 0.
    assert [step.positions["cam01"] for step in timeline.steps] == [2, 3, 4, 5]
    assert [step.positions["cam00"] for step in timeline.steps] == [0, 1, 2, 3]
    with pytest.raises(
        SceneError, match=r"sync\.offsets: no camera is called 'cam1'; did you mean"
    ):
        timeline_of(tmp_path, offsets={"cam1": 1.0})


def write_times(folder: Path, late: dict[str, float], frames: int, heading: str) -> None:
    lines = [heading]
    for frame in range(frames):
        lines += [f"{n},{1000 + frame / 30 + late.get(str(n), 0.0):.6f}" for n in range(5)]
    (folder / "timestamps.csv").write_text("\n".join(lines) + "\n")


def test_time_stamps_of_a_table(tmp_path: Path, write_videos, caplog: pytest.LogCaptureFixture):
    write_videos(tmp_path, 6)
    write_times(tmp_path, {"3": 2 / 30, "1": 0.014}, 6, "cam_id,frame_time")
    timeline = timeline_of(tmp_path, on_missing="drop")
    assert [step.positions["cam03"] for step in timeline.steps] == [0, 1, 2, 3]
    assert [step.positions["cam00"] for step in timeline.steps] == [2, 3, 4, 5]
    assert timeline.late["cam01"] == pytest.approx(0.014, abs=1e-5)
    assert "camera cam01 is not synchronous: its frames lie +14.0 ms off" in caplog.text
    ignored = timeline_of(tmp_path, timestamps="none")
    assert [step.positions["cam03"] for step in ignored.steps] == list(range(6))


def test_tables_that_do_not_fit(tmp_path: Path, write_videos):
    write_videos(tmp_path, 4)
    write_times(tmp_path, {}, 3, "cam_id,frame_time")
    with pytest.raises(SceneError, match="has 3 times of camera 'cam00', its video 4 frames"):
        timeline_of(tmp_path)
    write_times(tmp_path, {}, 3, "who,when")
    with pytest.raises(SceneError, match="needs the columns cam_id and frame_time, has who, when"):
        timeline_of(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"times\.csv: no such file \(sync\.timestamps\)"):
        timeline_of(tmp_path, timestamps="times.csv")


def test_image_folders(tmp_path: Path, write_image_folders):
    write_image_folders(tmp_path / "images", 5)
    timeline = timeline_of(tmp_path, "1:4", fps=10)
    assert timeline.fps == 10
    assert [step.positions["cam04"] for step in timeline.steps] == [1, 2, 3]
    assert [step.time for step in timeline.steps] == pytest.approx([0, 0.1, 0.2])


def test_an_image_that_is_missing(tmp_path: Path, write_image_folders):
    write_image_folders(tmp_path, 5)
    (tmp_path / "cam03" / "000002.png").unlink()
    with pytest.raises(SceneError, match=r"cam03: camera 'cam03' has no image number 2 \(4 of 5"):
        timeline_of(tmp_path)
    timeline = timeline_of(tmp_path, on_missing="drop")
    assert [step.positions["cam00"] for step in timeline.steps] == [0, 1, 3, 4]
    assert [step.positions["cam03"] for step in timeline.steps] == [0, 1, 2, 3]


def test_images_are_ordered_by_number(tmp_path: Path, write_image_folders):
    write_image_folders(tmp_path, 1)
    for name in ("cam00", "cam01", "cam02", "cam03", "cam04"):
        first = tmp_path / name / "000000.png"
        for number in (2, 10):
            (tmp_path / name / f"frame{number}.png").write_bytes(first.read_bytes())
    view = open_capture(tmp_path).views["cam02"]
    assert view.numbers == (0, 2, 10)
    (tmp_path / "cam02" / "other2.png").write_bytes(first.read_bytes())
    with pytest.raises(SceneError, match=r"other2\.png: has the same frame number as frame2"):
        open_capture(tmp_path)
