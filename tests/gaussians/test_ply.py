"""PLY files, with plyfile as the oracle."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.recfunctions import repack_fields

from igs.gaussians import (
    Gaussians,
    PointCloud,
    ply_table,
    read_ply,
    read_points,
    write_ply,
    write_points,
)


def make_gaussians(n: int = 37, degree: int = 3, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        normal(n, 3), normal(n, 3) - 3, normal(n, 4), normal(n), normal(n, (degree + 1) ** 2, 3)
    )


def as_plyfile(path: Path) -> np.ndarray:
    return plyfile.PlyData.read(str(path))["vertex"].data


def save_with_plyfile(path: Path, table: np.ndarray, *, text: bool, byte_order: str = "<") -> None:
    element = plyfile.PlyElement.describe(table, "vertex")
    plyfile.PlyData([element], text=text, byte_order=byte_order).write(str(path))


def columns(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """What the file must hold, written out by hand rather than by the code under test."""
    found = {}
    for i, axis in enumerate("xyz"):
        found[axis] = gaussians.means[:, i].numpy()
        found[f"f_dc_{i}"] = gaussians.sh[:, 0, i].numpy()
        found[f"scale_{i}"] = gaussians.log_scales[:, i].numpy()
        for k in range(1, gaussians.sh.shape[1]):
            found[f"f_rest_{i * (gaussians.sh.shape[1] - 1) + k - 1}"] = gaussians.sh[
                :, k, i
            ].numpy()
    for i in range(4):
        found[f"rot_{i}"] = gaussians.quats[:, i].numpy()
    found["opacity"] = gaussians.opacity_logits.numpy()
    return found


def table_of(gaussians: Gaussians, extra: dict[str, np.ndarray] | None = None) -> np.ndarray:
    parts = columns(gaussians) | (extra or {})
    # An order of our own: readers go by name.
    table = np.zeros(len(gaussians), [(n, v.dtype.str[1:]) for n, v in sorted(parts.items())])
    for name, values in parts.items():
        table[name] = values
    return table


def assert_same(left: Gaussians, right: Gaussians, atol: float = 0.0) -> None:
    for name, tensor in left.tensors().items():
        torch.testing.assert_close(tensor, getattr(right, name), rtol=0, atol=atol)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_written_file_is_what_plyfile_reads(tmp_path: Path, degree: int) -> None:
    gaussians = make_gaussians(degree=degree)
    write_ply(tmp_path / "a.ply", gaussians)
    table = as_plyfile(tmp_path / "a.ply")
    rest = [f"f_rest_{i}" for i in range(3 * ((degree + 1) ** 2 - 1))]
    assert list(table.dtype.names or ()) == [
        *"xyz", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "filter_3D",
    ]  # fmt: skip
    for name, values in columns(gaussians).items():
        np.testing.assert_array_equal(table[name], values)
    for name in ("nx", "ny", "nz", "filter_3D"):
        assert not table[name].any()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, "<"), (False, ">")])
def test_reads_what_plyfile_writes(tmp_path: Path, degree: int, text: bool, order: str) -> None:
    gaussians = make_gaussians(degree=degree)
    extra = {"label": np.arange(37, dtype=np.uint16), "semantic_1": np.ones(37)}
    save_with_plyfile(tmp_path / "a.ply", table_of(gaussians, extra), text=text, byte_order=order)
    # The text form of plyfile keeps 17 digits, so even that is exact.
    assert_same(read_ply(tmp_path / "a.ply"), gaussians, atol=1e-6 if text else 0)


@given(n=st.integers(0, 5), degree=st.integers(0, 3), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_round_trip_is_exact(tmp_path_factory, n: int, degree: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    gaussians = make_gaussians(n, degree, seed)
    write_ply(path, gaussians)
    assert_same(read_ply(path), gaussians)


def test_filter_is_folded_in(tmp_path: Path) -> None:
    gaussians = make_gaussians()
    filter_3d = torch.rand(37) * 0.2
    write_ply(tmp_path / "a.ply", gaussians, filter_3d=filter_3d)
    got = read_ply(tmp_path / "a.ply")
    squared = gaussians.scales.double() ** 2
    wider = squared + filter_3d.double()[:, None] ** 2
    opacity = gaussians.opacities.double() * (squared.prod(1) / wider.prod(1)).sqrt()
    torch.testing.assert_close(got.scales, wider.sqrt().float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(got.opacities, opacity.float(), rtol=2e-6, atol=0)
    assert torch.equal(got.means, gaussians.means)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_sh_degree_truncates(tmp_path: Path, wanted: int) -> None:
    gaussians = make_gaussians()
    write_ply(tmp_path / "a.ply", gaussians)
    got = read_ply(tmp_path / "a.ply", sh_degree=wanted)
    assert torch.equal(got.sh, gaussians.sh[:, : (wanted + 1) ** 2])


def test_degree_above_the_file_is_refused(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", make_gaussians(degree=1))
    with pytest.raises(ValueError, match=r"a\.ply: SH degree 3 .* the file has degree 1"):
        read_ply(tmp_path / "a.ply", sh_degree=3)


def test_sh_count_of_no_degree_is_refused(tmp_path: Path) -> None:
    extra = {f"f_rest_{i}": np.zeros(37) for i in range(9, 13)}
    table = table_of(make_gaussians(degree=1), extra)
    save_with_plyfile(tmp_path / "a.ply", table, text=False)
    with pytest.raises(ValueError, match=r"a\.ply: 13 f_rest properties; .* 0, 9, 24, 45"):
        read_ply(tmp_path / "a.ply")


def test_missing_properties_are_named(tmp_path: Path) -> None:
    table = table_of(make_gaussians())
    kept = [n for n in table.dtype.names or () if n not in ("rot_2", "opacity")]
    save_with_plyfile(tmp_path / "a.ply", repack_fields(table[kept]), text=False)
    with pytest.raises(ValueError, match=r"a\.ply: missing properties: opacity rot_2$"):
        read_ply(tmp_path / "a.ply")


@pytest.mark.parametrize("text", [True, False])
def test_truncated_file_tells_both_counts(tmp_path: Path, text: bool) -> None:
    path = tmp_path / "a.ply"
    save_with_plyfile(path, table_of(make_gaussians()), text=text)
    data = path.read_bytes()
    body = data.index(b"end_header\n") + len(b"end_header\n")
    path.write_bytes(data[: body + int((len(data) - body) * 0.51)])
    with pytest.raises(ValueError, match=r"a\.ply: truncated, 37 vertices expected, 1[89] found$"):
        read_ply(path)
    path.write_bytes(data[:body])
    with pytest.raises(ValueError, match="37 vertices expected, 0 found"):
        read_ply(path)


def test_absurd_count_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, make_gaussians())
    path.write_bytes(path.read_bytes().replace(b"vertex 37", b"vertex 3700000000000", 1))
    with pytest.raises(ValueError, match="3700000000000 vertices expected, 37 found"):
        read_ply(path)


def test_other_elements(tmp_path: Path) -> None:
    gaussians = make_gaussians()
    vertex = plyfile.PlyElement.describe(table_of(gaussians), "vertex")
    scalar = plyfile.PlyElement.describe(np.zeros(3, [("a", "f8"), ("b", "i2")]), "camera")
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    face = plyfile.PlyElement.describe(faces, "face")
    for text in (True, False):
        path = tmp_path / "a.ply"
        plyfile.PlyData([scalar, vertex, face], text=text).write(str(path))
        assert_same(read_ply(path), gaussians, atol=1e-6)
        plyfile.PlyData([vertex], text=text, comments=["made by a test"]).write(str(path))
        assert_same(read_ply(path), gaussians, atol=1e-6)
    plyfile.PlyData([face, vertex]).write(str(tmp_path / "b.ply"))
    with pytest.raises(ValueError, match=r"b\.ply: element 'face' before 'vertex' has a list"):
        read_ply(tmp_path / "b.ply")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"solid cube\n", "not a PLY file"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n", "no end_header"),
        (b"ply\nformat ascii 1.0\nend_header\n", "no element 'vertex'"),
        (b"ply\nelement vertex 0\nend_header\n", "names no format"),
        (b"ply\nformat zipped 1.0\nend_header\n", "cannot use the header line 'format zipped 1.0'"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty quad x\nend_header\n", "quad x"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list char int x\nend_header\n",
            "list property; only scalars fit",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 2\nproperty int x\nend_header\n1\ntwo\n",
            "bad vertex data",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty char x\nend_header",
            "'x' is declared twice",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_ply(path)
    assert "bad.ply" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    gaussians = make_gaussians()
    gaussians.log_scales[12, 1] = math.nan
    write_ply(tmp_path / "a.ply", gaussians)
    with pytest.raises(ValueError, match=r"vertex 12: scale_1 is nan"):
        read_ply(tmp_path / "a.ply")


def test_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, make_gaussians(3))
    before = path.read_bytes()

    class FullDisk:
        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            self.file.close()

        def write(self, data) -> None:
            self.file.write(bytes(data)[:40])
            raise OSError(errno.ENOSPC, "No space left on device")

    plain_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: FullDisk(plain_open(self, mode)))
    with pytest.raises(OSError, match=r"No space left.*a\.ply") as caught:
        write_ply(path, make_gaussians())
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]


@pytest.mark.parametrize("text", [True, False])
def test_points(tmp_path: Path, text: bool) -> None:
    rng = np.random.default_rng(0)
    table = np.zeros(20, [("x", "f4"), ("y", "f8"), ("z", "f4"), ("red", "u1"), ("green", "u1"),
                          ("blue", "u1"), ("alpha", "u1")])  # fmt: skip
    for name in table.dtype.names or ():
        table[name] = rng.integers(0, 256, 20)
    save_with_plyfile(tmp_path / "p.ply", table, text=text)
    points = read_points(tmp_path / "p.ply")
    for i, (axis, color) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        np.testing.assert_array_equal(points.positions[:, i].numpy(), table[axis])
        np.testing.assert_allclose(points.colors[:, i].numpy(), table[color] / 255, rtol=1e-6)


def test_points_round_trip_and_float_colours(tmp_path: Path) -> None:
    points = PointCloud(torch.randn(9, 3), torch.randint(0, 256, (9, 3)) / 255)
    write_points(tmp_path / "p.ply", points)
    assert (as_plyfile(tmp_path / "p.ply").dtype.names or ())[-3:] == ("red", "green", "blue")
    got = read_points(tmp_path / "p.ply")
    assert torch.equal(got.positions, points.positions)
    torch.testing.assert_close(got.colors, points.colors)
    table = np.zeros(2, [(n, "f4") for n in ("x", "y", "z", "red", "green", "blue")])
    table["green"] = 0.25, 200
    ply_table.write_vertices(tmp_path / "f.ply", table[:1])
    assert read_points(tmp_path / "f.ply").colors.tolist() == [[0, 0.25, 0]]
    ply_table.write_vertices(tmp_path / "f.ply", table)
    with pytest.raises(ValueError, match=r"f\.ply: colours must lie in 0\.\.1, found 200"):
        read_points(tmp_path / "f.ply")


def test_points_without_colour_are_refused(tmp_path: Path) -> None:
    ply_table.write_vertices(tmp_path / "p.ply", np.zeros(2, [(n, "f4") for n in "xyz"]))
    with pytest.raises(ValueError, match=r"missing properties: red green blue"):
        read_points(tmp_path / "p.ply")
