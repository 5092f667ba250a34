"""Settings and the image resize."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from igs.motion import AGMConfig, resize_images


def test_defaults_are_the_published_sizes():
    config = AGMConfig()
    assert (config.channels, config.map_size) == (128, 128)
    assert (config.anchors, config.neighbours, config.distance_weight) == (8192, 8, 10.0)
    assert not config.double_normalise
    assert AGMConfig.released().double_normalise
    assert AGMConfig.small().map_size == 64


@pytest.mark.parametrize("config", [AGMConfig(), AGMConfig.small(), AGMConfig.released()])
def test_json_round_trip(config):
    assert AGMConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"flow": {}, "colour": 1}'])
def test_bad_json_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        AGMConfig.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anchors", 0),
        ("network_size", 500),
        ("heads", 7),
        ("groups", 33),
        ("distance_weight", 0.0),
    ],
)
def test_bad_values_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        AGMConfig(**{name: value})


def test_resize_is_bilinear_with_or_without_a_filter():
    fine = torch.rand(2, 3, 96, 128)
    smooth, sharp = resize_images(fine, 32), resize_images(fine, 32, antialias=False)
    assert smooth.shape == sharp.shape == (2, 3, 32, 32)
    want = F.interpolate(fine, (32, 32), mode="bilinear", align_corners=False)
    assert_close(sharp, want)
    assert smooth.std() < 0.7 * sharp.std()
    assert_close(smooth.mean(), fine.mean(), atol=5e-3, rtol=0)
    batch = torch.rand(2, 4, 3, 20, 24)
    assert_close(resize_images(batch, 16)[1, 2], resize_images(batch[1, 2], 16))
