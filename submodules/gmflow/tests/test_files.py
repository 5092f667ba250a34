"""The .flo format and the colour picture."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from gmflow import flow_to_rgb, read_flo, write_flo
from torch.testing import assert_close


def test_flo_round_trip_and_layout(tmp_path):
    flow = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert data[:4] == b"PIEH"
    assert struct.unpack("<ii", data[4:12]) == (5, 3)
    assert struct.unpack("<ff", data[12:20]) == tuple(flow[0, 0])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"PNG", "tag"), (b"PIEH" + struct.pack("<ii", 4, 4) + b"\0" * 8, "4 x 4")],
)
def test_bad_flo_files_are_named(tmp_path, data, message):
    path = tmp_path / "bad.flo"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"bad\.flo.*{message}"):
        read_flo(path)
    with pytest.raises(ValueError, match=r"\(H, W, 2\)"):
        write_flo(path, np.zeros((2, 3, 4)))


def test_colours():
    flow = torch.tensor([[0.0, 0], [2, 0], [-2, 0], [1, 0]]).T.reshape(2, 1, 4)
    rgb = flow_to_rgb(flow)
    assert_close(rgb[:, 0, 0], torch.ones(3))
    assert_close(rgb[:, 0, 1], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    assert_close(rgb[:, 0, 2], torch.tensor([0.0, 1, 1]), atol=1e-6, rtol=0)
    assert_close(rgb[:, 0, 3], torch.tensor([1.0, 0.5, 0.5]), atol=1e-6, rtol=0)
    assert_close(flow_to_rgb(flow, max_length=4)[:, 0, 1], torch.tensor([1.0, 0.5, 0.5]))
    batch = flow_to_rgb(torch.randn(2, 2, 4, 5) * 9)
    assert batch.shape == (2, 3, 4, 5)
    assert batch.min() >= 0
    assert batch.max() <= 1
