"""Stills of other formats: values, axes, and that renders stay what they were."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.fvv.stills import STILL_FORMATS, read_spz, write_gltf, write_splat, write_spz, write_still
from igs.fvv.stills.axes import turned_about_x
from igs.gaussians import Gaussians, read_ply
from igs.render import render
from igs.scene import Camera

from .conftest import cloud


def test_half_a_turn_leaves_pictures_as_they_are():
    scene = cloud(60, 5, 3)
    pose = np.eye(4)
    pose[2, 3] = 6.0
    half = np.diag([1.0, -1.0, -1.0, 1.0])
    here = render(scene, Camera("a", 64, 48, 60.0, 60.0, 32.0, 24.0, pose)).color
    there = render(
        turned_about_x(scene), Camera("a", 64, 48, 60.0, 60.0, 32.0, 24.0, pose @ half)
    ).color
    assert here.std() > 0.05
    assert torch.allclose(here, there, atol=1e-4)
    assert torch.equal(turned_about_x(turned_about_x(scene)).sh, scene.sh)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spz_comes_back_within_its_steps(tmp_path: Path, degree: int):
    scene = cloud(200, 3, degree)
    scene = scene.replace(sh=scene.sh.clamp(-0.9, 0.9))
    write_spz(tmp_path / "a.spz", scene)
    back = read_spz(tmp_path / "a.spz")
    assert back.sh_degree == degree
    assert (back.means - scene.means).abs().max() <= 0.5 / 4096 + 1e-6
    assert (back.log_scales - scene.log_scales).abs().max() <= 0.5 / 16 + 1e-6
    assert (back.opacities - scene.opacities).abs().max() <= 0.51 / 255 + 1e-3
    assert (back.sh[:, 0] - scene.sh[:, 0]).abs().max() <= 0.51 / 255 / 0.15
    assert (1 - (back.unit_quats * scene.unit_quats).sum(1).abs()).max() < 2e-5
    if degree:
        assert (back.sh[:, 1:] - scene.sh[:, 1:]).abs().max() <= 8.5 / 128


def test_spz_bytes_are_the_documented_ones(tmp_path: Path):
    scene = Gaussians(
        means=torch.tensor([[1.0, 2.0, -0.5]]),
        log_scales=torch.tensor([[-10.0, 0.0, -4.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        opacity_logits=torch.tensor([0.0]),
        sh=torch.zeros(1, 1, 3),
    )
    write_spz(tmp_path / "a.spz", scene)
    data = gzip.decompress((tmp_path / "a.spz").read_bytes())
    assert data[:16] == struct.pack("<IIIBBBB", 0x5053474E, 3, 1, 0, 12, 0, 0)
    # y and z change sign; 24-bit fixed point of 12 fraction bits.
    assert data[16:25] == bytes.fromhex("001000") + bytes.fromhex("00e0ff") + bytes.fromhex(
        "000800"
    )
    assert data[25] == 128  # opacity 0.5
    assert data[26:29] == bytes([128] * 3)
    assert data[29:32] == bytes([0, 160, 96])
    assert data[32:] == struct.pack("<I", 3 << 30)  # w is the largest, the others are 0


def test_damaged_spz_is_named(tmp_path: Path):
    path = tmp_path / "a.spz"
    write_spz(path, cloud(20, 0))
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data[:-3]))
    with pytest.raises(ValueError, match="truncated"):
        read_spz(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="not an"):
        read_spz(path)


def test_splat_rows(tmp_path: Path):
    scene = cloud(30, 2)
    write_splat(tmp_path / "a.splat", scene)
    data = (tmp_path / "a.splat").read_bytes()
    assert len(data) == 30 * 32
    importance = scene.scales.double().prod(1) * scene.opacities.double()
    best = int(importance.argmax())
    np.testing.assert_allclose(struct.unpack("<3f", data[:12]), scene.means[best], rtol=1e-6)
    np.testing.assert_allclose(struct.unpack("<3f", data[12:24]), scene.scales[best], rtol=1e-5)
    assert data[27] == round(float(scene.opacities[best]) * 255)
    assert abs(data[28] - (float(scene.unit_quats[best, 0]) * 128 + 128)) <= 1


@pytest.mark.parametrize("ending", ["glb", "gltf"])
def test_gltf_holds_every_attribute(tmp_path: Path, ending: str):
    scene, path = cloud(25, 2, 2), tmp_path / f"a.{ending}"
    write_gltf(path, scene)
    document, data = _open_gltf(path)
    primitive = document["meshes"][0]["primitives"][0]
    assert document["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"

    def read(name: str) -> np.ndarray:
        accessor = document["accessors"][primitive["attributes"][name]]
        view = document["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        assert accessor["componentType"] == 5126
        values = np.frombuffer(data, "<f4", accessor["count"] * width, view["byteOffset"])
        return values.reshape(accessor["count"], width)

    turned = turned_about_x(scene)
    prefix = "KHR_gaussian_splatting:"
    np.testing.assert_array_equal(read("POSITION"), turned.means)
    # "Scale values are linear and MUST NOT be negative", which logarithms would be.
    np.testing.assert_array_equal(read(prefix + "SCALE"), torch.exp(turned.log_scales))
    np.testing.assert_array_equal(read(prefix + "ROTATION"), turned.unit_quats[:, [1, 2, 3, 0]])
    np.testing.assert_allclose(read(prefix + "OPACITY")[:, 0], scene.opacities, rtol=1e-6)
    np.testing.assert_array_equal(read(prefix + "SH_DEGREE_2_COEF_4"), turned.sh[:, 8])
    srgb = np.clip(0.5 + 0.28209479 * scene.sh[:, 0].numpy(), 0, 1)
    shown = read("COLOR_0")[:, :3] ** (1 / 2.4) * 1.055 - 0.055  # of colours that are not dark
    np.testing.assert_allclose(shown[srgb > 0.05], srgb[srgb > 0.05], atol=1e-5)
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert position["max"] == pytest.approx(turned.means.max(0).values.tolist())


def _open_gltf(path: Path) -> tuple[dict, bytes]:
    raw = path.read_bytes()
    if path.suffix == ".gltf":
        document = json.loads(raw)
        return document, base64.b64decode(document["buffers"][0]["uri"].split(",")[1])
    magic, version, length, size, kind = struct.unpack_from("<4sIIII", raw)
    assert (magic, version, length, kind) == (b"glTF", 2, len(raw), 0x4E4F534A)
    return json.loads(raw[20 : 20 + size]), raw[28 + size :]


def test_the_name_chooses_the_format(tmp_path: Path):
    scene = cloud(10, 1)
    for ending in STILL_FORMATS:
        write_still(tmp_path / f"a.{ending}", scene)
        assert (tmp_path / f"a.{ending}").stat().st_size > 100
    assert torch.equal(read_ply(tmp_path / "a.ply").means, scene.means)
    with pytest.raises(ValueError, match="must end in"):
        write_still(tmp_path / "a.obj", scene)
