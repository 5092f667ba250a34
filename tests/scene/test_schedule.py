"""Key frames, groups and pair files."""

from __future__ import annotations

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igs.scene import (
    FramePair,
    PairFile,
    SceneError,
    Schedule,
    generate_pairs,
    pair_file_name,
    read_pairs,
    schedule_from_pair_file,
    write_pairs,
)


def test_the_paper_schedule():
    schedule = Schedule(5, 300)
    keys = [i for i in range(300) if schedule.is_key(i)]
    assert keys == list(range(0, 300, 5))
    groups = list(schedule.groups())
    assert len(groups) == 60
    assert groups[-1] == range(296, 300)


@given(w=st.integers(1, 12), n=st.integers(1, 60), refine=st.booleans())
def test_groups_cover_every_frame_once_and_start_from_a_key(w, n, refine):
    schedule = Schedule(w, n, refine)
    covered = [i for group in schedule.groups() for i in group]
    assert covered == list(range(1, n))
    for group in schedule.groups():
        for i in group:
            assert schedule.group(i) == group
            assert schedule.key_of(i) == group.start - 1
            assert schedule.is_key(schedule.key_of(i))
            assert schedule.is_key(i) <= (i == group[-1])
    assert schedule.is_key(0)
    if refine:
        assert schedule.is_key(n - 1)
    assert Schedule(w, n).is_key(n - 1) == ((n - 1) % w == 0)


def test_an_endless_source_has_endless_groups():
    schedule = Schedule(3, refine_last=True)
    assert list(islice(schedule.groups(), 3)) == [range(1, 4), range(4, 7), range(7, 10)]
    assert schedule.is_key(3_000_000)
    assert not schedule.is_key(3_000_001)


def test_frames_outside_are_refused():
    with pytest.raises(SceneError, match="frame 7 is outside the sequence 0 to 6"):
        Schedule(3, 7).is_key(7)
    with pytest.raises(SceneError, match="frame -1"):
        Schedule(3).key_of(-1)
    with pytest.raises(SceneError, match="frame 0 is predicted from no key frame"):
        Schedule(3).key_of(0)
    assert Schedule(3).group(0) == range(1)
    with pytest.raises(SceneError, match="interval 0"):
        Schedule(0)
    with pytest.raises(SceneError, match="number of frames 0"):
        Schedule(1, 0)


def test_the_example_of_the_spec(tmp_path):
    path = tmp_path / pair_file_name("toy", 7, 3)
    assert path.name == "toy_total_7_interval_3.json"
    write_pairs(path, generate_pairs("toy", 7, 3))
    text = path.read_text()
    assert text.splitlines()[1].startswith('    "train": []')
    items = json.loads(text)["val"]
    assert [item["cur_frame"] for item in items] == ["colmap_0"] * 3 + ["colmap_3"] * 3
    assert [item["next_frame"] for item in items] == [f"colmap_{i}" for i in range(1, 7)]
    assert [item["keyframe"] for item in items] == [1, 0, 0, 1, 0, 0]
    assert set(items[0]) == {"scene_name", "cur_frame", "next_frame", "keyframe"}


@given(w=st.integers(1, 12), n=st.integers(2, 60))
def test_a_schedule_comes_back_from_its_pairs(w, n):
    pairs = generate_pairs("s", n, w).val
    schedule = Schedule.from_pairs(pairs)
    assert schedule.num_frames == n
    # Within a single group the interval cannot be told, and does not matter.
    assert schedule.interval == min(w, n - 1)
    assert list(schedule.groups()) == list(Schedule(w, n).groups())


def test_training_items_need_no_mark(tmp_path):
    pairs = PairFile(train=(FramePair("s", 4, 2), FramePair("s", 4, 9)))
    write_pairs(tmp_path / "p.json", pairs)
    assert read_pairs(tmp_path / "p.json") == pairs
    assert "keyframe" not in (tmp_path / "p.json").read_text()


def test_pair_file_and_settings_are_checked_against_each_other(tmp_path):
    path = tmp_path / "toy.json"
    write_pairs(path, generate_pairs("toy", 7, 3))
    assert schedule_from_pair_file(path) == Schedule(3, 7)
    assert schedule_from_pair_file(path, "toy", interval=3, num_frames=7) == Schedule(3, 7)
    assert schedule_from_pair_file(path, refine_last=True).refine_last
    with pytest.raises(SceneError, match=r"toy\.json.*item 3 goes from frame 3 to 4; interval 5"):
        schedule_from_pair_file(path, interval=5)
    with pytest.raises(SceneError, match="6 items fit 7 frames, but the sequence has 9"):
        schedule_from_pair_file(path, num_frames=9)
    with pytest.raises(SceneError, match="no pairs of scene 'beef'; it has toy"):
        schedule_from_pair_file(path, "beef")


def test_two_scenes_in_one_file(tmp_path):
    both = [*generate_pairs("a", 7, 3).val, *generate_pairs("b", 9, 2).val]
    write_pairs(tmp_path / "p.json", PairFile(val=both))
    assert schedule_from_pair_file(tmp_path / "p.json", "b") == Schedule(2, 9)
    with pytest.raises(SceneError, match="name one of its scenes: a, b"):
        schedule_from_pair_file(tmp_path / "p.json")


def test_pairs_that_no_interval_explains():
    good = list(generate_pairs("s", 9, 3).val)
    with pytest.raises(SceneError, match="item 4 goes from frame 3 to 6"):
        Schedule.from_pairs([*good[:4], *good[5:]])
    with pytest.raises(SceneError, match="empty"):
        Schedule.from_pairs([])
    with pytest.raises(SceneError, match="1 frames make no pair"):
        generate_pairs("s", 1, 5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "lists"),
        ({"val": {}}, '"val" must be a list'),
        ({"val": [3]}, r"val\[0\]: must be an object"),
        ({"val": [{"scene_name": "s", "cur_frame": "colmap_0"}]}, r"val\[0\]: lacks next_frame"),
        (
            {"train": [{"scene_name": "s", "cur_frame": "frame_0", "next_frame": "colmap_1"}]},
            r"train\[0\]\.cur_frame: must look like",
        ),
        (
            {
                "val": [
                    {
                        "scene_name": "s",
                        "cur_frame": "colmap_0",
                        "next_frame": "colmap_1",
                        "keyframe": 2,
                    }
                ]
            },
            '"keyframe" must be 0 or 1',
        ),
    ],
)
def test_bad_pair_files(tmp_path, data, message):
    (tmp_path / "p.json").write_text(json.dumps(data))
    with pytest.raises(SceneError, match=message):
        read_pairs(tmp_path / "p.json")
