"""The config that `igs prepare` writes: what depends on the rig."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from igs.prepare.stream_config import PreparedScene, stream_settings
from igs.scene import read_rig

DEMO = Path(__file__).parents[2] / "examples/demo_scene/cameras.json"


@pytest.fixture
def scene(tmp_path: Path) -> PreparedScene:
    return PreparedScene(
        output=tmp_path / "run",
        root=tmp_path,
        scene="mine",
        rig=read_rig(DEMO),
        images="images",
        network_images=True,
        num_frames=60,
        fps=30.0,
        inputs=[],
        has_box=True,
        num_points=100,
        gpu=False,
    )


def test_rigs_of_many_cameras_have_each_frame_predicted_first(scene: PreparedScene) -> None:
    settings = stream_settings(scene)
    assert settings["motion"]["weights"] == "igs_small"
    assert settings["refine"]["mode"] == "s"


@pytest.mark.parametrize("lacks", ["box", "cameras"])
def test_without_a_box_or_with_few_cameras_frames_are_refined_alone(
    scene: PreparedScene, lacks: str
) -> None:
    if lacks == "box":
        scene = replace(scene, has_box=False)
    else:
        rig = scene.rig.subset(list(scene.rig.cameras)[:4])
        scene = replace(scene, rig=replace(rig, held_out=()))
    settings = stream_settings(scene)
    assert settings["motion"] == {"mode": "none"}
    assert settings["refine"]["mode"] == "l"
