"""Boxes and their file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from igs.scene import Box, SceneError, read_box, read_boxes, write_boxes


@pytest.fixture
def box() -> Box:
    return Box(np.array([-1.0, -2, -3]), np.array([1.0, 2, 3]))


def test_contains_points_of_either_library(box):
    points = np.array([[0, 0, 0], [1, 2, 3], [1.001, 0, 0], [0, 0, -3.001], [np.nan, 0, 0]])
    wanted = [True, True, False, False, False]
    assert box.contains(points).tolist() == wanted
    mask = box.contains(torch.tensor(points, dtype=torch.float32))
    assert mask.dtype == torch.bool
    assert mask.tolist() == wanted
    np.testing.assert_array_equal(box.center, 0)
    np.testing.assert_array_equal(box.size, [2, 4, 6])


def test_round_trip(tmp_path, box):
    other = Box(np.array([-15, -3, 10]), np.array([10, 10, 22]))
    write_boxes(tmp_path / "bbox.json", {"trimming": box, "discussion": other})
    assert json.loads((tmp_path / "bbox.json").read_text())["discussion"] == [
        [-15, -3, 10],
        [10, 10, 22],
    ]
    assert read_boxes(tmp_path / "bbox.json") == {"trimming": box, "discussion": other}
    assert read_box(tmp_path / "bbox.json", "trimming") == box
    with pytest.raises(SceneError, match="no box for scene 'beef'; it has trimming, discussion"):
        read_box(tmp_path / "bbox.json", "beef")


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ([[0, 0, 2], [1, 1, 1]], "minimum 2 exceeds maximum 1 along z"),
        ([[0, 0], [1, 1]], "three finite numbers"),
        ([[0, 0, "a"], [1, 1, 1]], "three finite numbers"),
        ([[0, 0, 0]], "minimum first"),
    ],
)
def test_bad_boxes_are_named(tmp_path, corners, message):
    (tmp_path / "bbox.json").write_text(json.dumps({"toy": corners}))
    with pytest.raises(SceneError, match=rf"bbox\.json: toy: .*{message}"):
        read_boxes(tmp_path / "bbox.json")
