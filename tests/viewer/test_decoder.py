"""The player's decoder gives what the Python decoder gives, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.fvv import DecodedFrame, FvvConfig, FvvReader

from .conftest import Dump
from .streams import camera, stream, write

SH_C0 = 0.28209479177387814
EPS = np.finfo(np.float32).eps


def check(found: dict, expected: DecodedFrame) -> None:
    """Bit for bit where one rounding decides, otherwise to a few units in the last place."""
    gaussians = expected.gaussians
    assert found["count"] == len(gaussians)
    assert found["number"] == expected.index
    assert found["isKey"] == expected.is_key
    np.testing.assert_allclose(found["time"], expected.seconds, atol=1e-9)
    np.testing.assert_array_equal(found["centers"], gaussians.means.numpy())
    np.testing.assert_array_equal(found["colors"], gaussians.sh[:, 0].numpy())
    quats = torch.nn.functional.normalize(gaussians.quats.double(), dim=1).numpy()
    np.testing.assert_allclose(found["rotations"], quats, atol=2 * EPS)
    np.testing.assert_allclose(found["scales"], gaussians.log_scales.exp().numpy(), rtol=4 * EPS)
    opacities = gaussians.opacities.double().numpy()
    np.testing.assert_allclose(found["opacities"][:, 0], opacities, atol=4e-7)
    sh, coefficients = gaussians.sh.numpy(), (found["shDegree"] + 1) ** 2
    if coefficients > 1:
        shape = (len(sh), coefficients - 1, 3)
        np.testing.assert_array_equal(found["sh"].reshape(shape), sh[:, 1:coefficients])
    assert not sh[:, coefficients:].any()


def compare(made: Dump, path: Path, layers: int | None = None) -> None:
    """All frames of a dump with those of the Python reader."""
    assert made.damage is None
    with FvvReader(path) as reader:
        expected = {f.index: f for f in reader.frames(layers=layers)}
    assert len(made.frames) >= len(expected)
    for found in made.frames:
        check(found, expected[found["number"]])


@pytest.mark.parametrize(
    ("degree", "codec", "refine"),
    [(0, "zstd", 1), (1, "zstd", 1), (1, "deflate", 2), (2, "raw", 1), (3, "zstd", 4)],
)
def test_equal_to_python(
    tmp_path: Path, dump: Callable[..., Dump], degree: int, codec: str, refine: int
) -> None:
    config = FvvConfig(intra_interval=9, level=3, codec=codec, refine=refine)
    path = write(tmp_path / "stream.fvv", stream(degree=degree), config)
    made = dump(path)
    assert made.info["shDegree"] == degree
    assert made.info["frameCount"] == 14
    assert len(made.info["layers"]) == 1 + degree + (refine > 1)
    compare(made, path)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_fewer_layers(tmp_path: Path, dump: Callable[..., Dump], layer: int) -> None:
    config = FvvConfig(intra_interval=9, level=3, refine=2)
    path = write(tmp_path / "stream.fvv", stream(count=200, degree=3), config)
    made = dump(path, layer=layer)
    assert {frame["shDegree"] for frame in made.frames} == {layer}
    compare(made, path, layers=layer + 1)


def test_any_order(tmp_path: Path, dump: Callable[..., Dump]) -> None:
    config = FvvConfig(intra_interval=6, level=3, refine=2)
    path = write(tmp_path / "stream.fvv", stream(), config)
    made = dump(path, frames=[13, 0, 12, 5, 4, 4, 3, 8, 7, 11, 1, 10, 9, 9, 2, 13])
    compare(made, path)


def test_what_stays_keeps_its_version(tmp_path: Path, dump: Callable[..., Dump]) -> None:
    path = write(tmp_path / "stream.fvv", stream(), FvvConfig(intra_interval=60, level=3))
    versions = [frame["versions"] for frame in dump(path).frames]
    assert versions[1]["place"] != versions[0]["place"]
    assert versions[2]["look"] == versions[1]["look"] == versions[0]["look"]
    assert versions[4]["look"] != versions[3]["look"] == versions[5]["look"]
    assert versions[2]["sh"] == versions[0]["sh"] != versions[3]["sh"]


def test_header(tmp_path: Path, dump: Callable[..., Dump]) -> None:
    path = write(tmp_path / "stream.fvv", stream(frames=3), FvvConfig(level=3))
    info = dump(path).info
    (found,) = info["cameras"]
    wanted = camera()
    assert found["name"] == "left"
    assert [found[k] for k in ("width", "height", "fx", "fy", "cx", "cy")] == [
        64, 48, 60, 61, 32, 24,
    ]  # fmt: skip
    np.testing.assert_allclose(np.reshape(found["worldToCamera"], (4, 4)), wanted.world_to_camera)
    with FvvReader(path) as reader:
        low, high = reader.header.bounds
    assert (tuple(info["bounds"]["min"]), tuple(info["bounds"]["max"])) == (low, high)
    assert info["fps"] == pytest.approx(25, rel=1e-3)
    assert info["duration"] == pytest.approx(3 / 25, rel=1e-3)
