"""Input views of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from igs.prepare.view_choice import choose_views, write_scene_pairs
from igs.scene import Box, SceneError, read_box, read_pairs, read_rig

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo_scene"


@pytest.fixture
def rig():
    return read_rig(DEMO / "cameras.json")


@pytest.fixture
def box():
    return read_box(DEMO / "bbox.json", "demo_scene")


def test_demo_scene_views_are_spread_and_see_the_box(rig, box) -> None:
    choice = choose_views(rig, box)
    assert len(choice.views) == 4
    assert not set(choice.views) & set(rig.held_out)
    assert min(choice.seen.values()) > 0.9
    assert min(choice.angles.values()) > 10
    assert choice.covered > 0.95
    assert choice.warnings == ()
    assert choose_views(rig, box) == choice


def test_given_views_are_judged_not_changed(rig, box) -> None:
    choice = choose_views(rig, box, given=["cam05", 2, "cam11"])
    assert choice.views == ("cam05", "cam02", "cam11")
    assert set(choice.seen) == set(choice.views)


def test_held_out_unknown_or_too_few_views_are_refused(rig, box) -> None:
    with pytest.raises(SceneError, match="cam00 held out"):
        choose_views(rig, box, given=["cam00", "cam01"])
    with pytest.raises(SceneError, match="cam99"):
        choose_views(rig, box, given=["cam99"])
    with pytest.raises(SceneError, match="cannot be chosen"):
        choose_views(rig, box, count=13)


def test_box_outside_the_images_is_warned_of(rig) -> None:
    choice = choose_views(rig, Box(np.array([-60, -2, -1]), np.array([60, 0, 1])))
    assert any("of the box" in text for text in choice.warnings)


def test_pair_files_stand_where_the_layout_has_them(tmp_path) -> None:
    paths = write_scene_pairs(tmp_path, "demo", 11, [5, 10])
    assert [p.name for p in paths] == [
        "demo_total_11_interval_5.json",
        "demo_total_11_interval_10.json",
    ]
    assert paths[0].parent == tmp_path
    assert len(read_pairs(paths[0]).val) == 10
    with pytest.raises(SceneError, match="2 are needed"):
        write_scene_pairs(tmp_path, "demo", 1, [5])
