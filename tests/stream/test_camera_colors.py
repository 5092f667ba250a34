"""Colours that frame 0 learned of the cameras hold for the whole stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igs.config import RunConfig, load_config
from igs.frame0 import ColorCorrectedSource, read_camera_colors
from igs.stream import StreamSession

WORDS = [
    "frame0.mode=optimise",
    "frame0.iterations=30",
    "frame0.sh_degree=0",
    "frame0.init.mode=random",
    "frame0.init.depth_range=[2,4]",
    "frame0.init.max_points=150",
    "frame0.camera_color.from_iteration=1",
    "schedule.interval=2",
    "refine.iterations=3",
    "data.num_frames=4",
    "free_view.enabled=false",
    "write.videos=false",
]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_stream_sees_the_cameras_as_frame0_does(
    toy_capture: Path, tmp_path: Path, enabled: bool
) -> None:
    words = [f"data.root={toy_capture}", f"output={tmp_path / 'run'}", *WORDS]
    words.append(f"frame0.camera_color.enabled={str(enabled).lower()}")
    session = StreamSession(load_config(RunConfig, None, words))
    results = session.run()
    assert results["summary"]["num_frames"] == 4
    path = tmp_path / "run/camera_colors.json"
    assert path.is_file() == enabled
    assert isinstance(session.inputs.source, ColorCorrectedSource) == enabled
    if enabled:
        # The held-out camera has none: it is measured as it came.
        assert set(read_camera_colors(path)) == {"cam00", "cam01", "cam03", "cam04"}
        assert json.loads(path.read_text())["format"] == "igs-camera-colors-1"
        again = StreamSession(load_config(RunConfig, None, words), resume=True)
        assert again.run()["psnr"] == results["psnr"]
