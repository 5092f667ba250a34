"""The fixtures of the original GMFlow, each within its stated tolerance."""

from __future__ import annotations

import pytest
import torch
from gmflow import FeatureExtractor, global_matching
from gmflow.windows import windowed_position
from torch.testing import assert_close

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("no_grad")]


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


def test_encoder(filled, arrays):
    a = arrays("backbone")
    assert_close(filled.normalise(a["image0"]), a["norm0"], atol=1e-5, rtol=0)
    assert_close(filled.normalise(a["image0"] / 255), a["unit_norm0"], atol=1e-5, rtol=0)
    for k in "01":
        image = a[f"image{k}"]
        assert_close(filled.encode(image), a[f"feat{k}"], atol=1e-4, rtol=1e-4)
        assert_close(filled.encode(image / 255), a[f"unit_feat{k}"], atol=3e-4, rtol=0)


@pytest.mark.parametrize("windows", [1, 2])
def test_transformer(filled, arrays, windows):
    a = arrays("transformer")
    channels, height, width = a["in0"].shape[1:]
    position = windowed_position(height, width, channels, windows, a["in0"])
    assert_close(position[None], a[f"pos_s{windows}"], atol=1e-5, rtol=0)
    out0, out1 = filled.relate(a["in0"], a["in1"], windows)
    assert_close(out0, a[f"s{windows}_out0"], atol=2e-4, rtol=1e-4)
    assert_close(out1, a[f"s{windows}_out1"], atol=2e-4, rtol=1e-4)


def test_features_of_twice_divided_images(filled, arrays):
    a = arrays("igs_features")
    out0, out1 = FeatureExtractor.forward(filled, a["image0"], a["image1"], windows=2)
    assert_close(out0, a["feature0"], atol=1.5e-3, rtol=1e-4)
    assert_close(out1, a["feature1"], atol=1.5e-3, rtol=1e-4)
    assert_close(out0 - out1, a["feature0"] - a["feature1"], atol=1.5e-3, rtol=0)


@pytest.mark.parametrize("windows", [1, 2])
def test_flow(filled, arrays, windows):
    a = arrays(f"flow_splits{windows}")
    features = filled.encode(torch.cat([a["image0"], a["image1"]]), windows).chunk(2)
    enh0, enh1 = filled.relate(*features, windows)
    assert_close(enh0, a["enh0"], atol=5e-4, rtol=0)
    assert_close(enh1, a["enh1"], atol=5e-4, rtol=0)
    matched = global_matching(enh0, enh1)
    assert_close(matched, a["flow_match"], atol=2e-3, rtol=0)
    assert_close(filled.propagation(enh0, matched), a["flow_prop"], atol=2e-3, rtol=0)
    assert_close(filled(a["image0"], a["image1"], windows), a["flow"], atol=2e-2, rtol=0)
