"""The folder of a trained frame: other programs read it, and so do we."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plyfile import PlyData

from igs.frame0.outputs import (
    iteration_name,
    model_options,
    normal_image,
    read_depth_image,
    read_views,
    render_views,
    save_gaussians,
    save_test_line,
    split_cameras,
    start_model,
    write_depth_image,
)
from igs.frame0.outputs_arguments import read_cfg_args, write_cfg_args
from igs.frame0.outputs_metrics import write_results
from igs.gaussians import Gaussians, PointCloud, read_ply_unfolded
from igs.metrics import psnr
from igs.render import render, to_float, to_uint8
from igs.scene import Camera, GaussianModelFolder, Rig, SceneError, read_rig

BLACK = torch.zeros(3)
N = 40


def some_gaussians() -> Gaussians:
    generator = torch.Generator().manual_seed(1)
    return Gaussians(
        means=torch.randn(N, 3, generator=generator) * 0.4 + torch.tensor([0, 0, 3.0]),
        log_scales=torch.full((N, 3), -2.0),
        quats=torch.randn(N, 4, generator=generator),
        opacity_logits=torch.full((N,), 2.0),
        sh=torch.randn(N, 4, 3, generator=generator),
    )


def some_rig() -> Rig:
    cameras = []
    for i, name in enumerate(("b", "c", "a", "d")):
        pose = np.eye(4)
        pose[0, 3] = 0.2 * (i - 1)
        cameras.append(Camera(name, 48, 36, 50.0, 50.0, 24.0, 18.0, pose))
    return Rig.of(cameras).with_held_out(["c"])


@pytest.fixture
def model(tmp_path: Path) -> GaussianModelFolder:
    points = PointCloud(torch.rand(9, 3), torch.rand(9, 3))
    options = model_options("data/it's here", tmp_path, sh_degree=1, evaluation=True)
    return start_model(tmp_path / "model", some_rig(), points, options)


@pytest.fixture
def rendered(model: GaussianModelFolder) -> GaussianModelFolder:
    rig = some_rig()
    images = {}
    for i, (name, camera) in enumerate(rig.cameras.items()):
        with torch.no_grad():
            images[name] = to_uint8(render(some_gaussians(), camera).color * (1 - 0.01 * i))
    extra = ("depth_median_mm", "alpha", "normal")
    render_views(model, "6000", some_gaussians(), rig, images, BLACK, extra=extra)
    return model


def test_ply_is_read_by_another_program_in_the_order_of_the_family(
    model: GaussianModelFolder,
) -> None:
    gaussians, filter_3d = some_gaussians(), torch.rand(N)
    path = save_gaussians(model, iteration_name(6000, compressed=True), gaussians, filter_3d)
    assert path.parent.name == "iteration_6000_compress"
    vertices = PlyData.read(path)["vertex"]
    names = [p.name for p in vertices.properties]
    rest = [f"f_rest_{i}" for i in range(9)]
    assert names == [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *rest,
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
        "filter_3D",
    ]
    assert np.array_equal(vertices["filter_3D"], filter_3d.numpy())
    # Channel-major: the second number is red's second coefficient above the constant.
    assert np.array_equal(vertices["f_rest_1"], gaussians.sh[:, 2, 0].numpy())
    read, kept_filter = read_ply_unfolded(path)
    assert torch.equal(read.log_scales, gaussians.log_scales)
    assert kept_filter is not None
    assert torch.equal(kept_filter, filter_3d)
    assert len(PlyData.read(model.path / "input.ply")["vertex"]) == 9
    assert model.iterations() == ["6000_compress"]


def test_cameras_of_the_folder_are_read_back_test_cameras_first(model: GaussianModelFolder) -> None:
    listed = json.loads(model.cameras_path.read_text())
    assert [entry["img_name"] for entry in listed] == ["c", "a", "b", "d"]
    assert read_rig(model.cameras_path).held_out == ("c",)


def test_cfg_args_is_what_argparse_prints_and_is_parsed_not_run(
    model: GaussianModelFolder, tmp_path: Path
) -> None:
    path = model.path / "cfg_args"
    options = read_cfg_args(path)
    assert options["source_path"] == "data/it's here"
    assert options["sh_degree"] == 1
    assert options["eval"] is True
    # The programs of the family evaluate the text with their own Namespace.
    assert eval(path.read_text(), {"Namespace": dict}) == options
    mark = tmp_path / "ran"
    for text in (
        f"Namespace(a=open({str(mark)!r}, 'w'))",
        f"__import__('pathlib').Path({str(mark)!r}).touch()",
        "Namespace(**{'a': 1})",
        "Namespace(1)",
        "dict(a=1)",
        "Namespace(a=1",
        "Namespace(a=b)",
        "",
        "Namespace(a=" + "(" * 5000 + ")" * 5000 + ")",
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match="not options of a model") as caught:
            read_cfg_args(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_cfg_args_refuses_what_would_not_come_back(tmp_path: Path) -> None:
    for value in (float("nan"), {"a": 1}, object()):
        with pytest.raises(ValueError, match="option a is"):
            write_cfg_args(tmp_path / "cfg_args", {"a": value})
    with pytest.raises(ValueError, match="'a b' is not a name"):
        write_cfg_args(tmp_path / "cfg_args", {"a b": 1})
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_cfg_args(tmp_path / "cfg_args")


def test_renders_are_numbered_by_name_and_say_whose_they_are(
    rendered: GaussianModelFolder,
) -> None:
    folder = rendered.path / "train" / "ours_6000"
    views = read_views(folder)
    assert views.names == ("a", "b", "d")
    assert [c.name for c in split_cameras(some_rig(), "train")] == list(views.names)
    for kind in ("renders", "gt", "depth_expected_mm", "depth_median_mm", "alpha", "normal"):
        assert sorted(p.name for p in (folder / kind).iterdir()) == [
            "00000.png",
            "00001.png",
            "00002.png",
        ]
    camera = some_rig().cameras["d"]
    with torch.no_grad():
        view = render(some_gaussians(), camera, want=("depth",))
    assert np.array_equal(np.array(Image.open(folder / "renders/00002.png")), to_uint8(view.color))
    depth = read_depth_image(rendered.render_path(6000, "depth_expected_mm", 2), views.depth_scale)
    assert view.depth is not None
    error = view.depth[0] - depth
    assert float(error.min()) >= -1e-5
    assert float(error.max()) <= 0.001 + 1e-5
    assert read_views(rendered.path / "test" / "ours_6000").names == ("c",)


def test_depth_saturates_instead_of_wrapping_around(tmp_path: Path) -> None:
    depth = torch.tensor([[0.0, 1.2345, 65.535], [65.536, 70.0, float("inf")]])
    assert write_depth_image(tmp_path / "d.png", depth) == 3
    with Image.open(tmp_path / "d.png") as image:
        values = np.array(image)
    assert values.dtype == np.uint16
    assert values[0, 1] == 1234
    assert values[1].tolist() == [65_535] * 3
    assert write_depth_image(tmp_path / "d.png", depth, scale=100.0) == 1


def test_normals_are_shown_as_image_editors_expect() -> None:
    toward = torch.zeros(3, 1, 3)
    toward[2, 0, 0], toward[1, 0, 1] = -1.0, -1.0
    shown = normal_image(toward)
    assert shown[0, 0].tolist() == [128, 128, 255]
    assert shown[0, 1].tolist() == [128, 255, 128]
    assert shown[0, 2].tolist() == [0, 0, 0]


def test_results_are_those_of_the_files_and_older_entries_stay(
    rendered: GaussianModelFolder,
) -> None:
    (rendered.path / "results.json").write_text('{"ours_1": {"PSNR": 1.0}}')
    means = write_results(rendered, "6000")
    folder = rendered.path / "test" / "ours_6000"
    images = [
        to_float(np.array(Image.open(folder / kind / "00000.png"))) for kind in ("renders", "gt")
    ]
    assert means["PSNR"] == pytest.approx(psnr(*images))
    results = json.loads((rendered.path / "results.json").read_text())
    assert results["ours_1"] == {"PSNR": 1.0}
    assert results["ours_6000"]["PSNR"] == pytest.approx(means["PSNR"])
    per_view = json.loads((rendered.path / "per_view.json").read_text())
    assert per_view["ours_6000"]["SSIM"]["00000.png"] == pytest.approx(means["SSIM"])
    with pytest.raises(FileNotFoundError, match="no rendered images"):
        write_results(rendered, "7000")


def test_a_perfect_image_has_no_json_infinity(rendered: GaussianModelFolder) -> None:
    folder = rendered.path / "test" / "ours_6000"
    (folder / "gt" / "00000.png").write_bytes((folder / "renders" / "00000.png").read_bytes())
    write_results(rendered, "6000")
    assert json.loads((rendered.path / "results.json").read_text())["ours_6000"]["PSNR"] is None


def test_test_lines_have_the_names_of_the_family(model: GaussianModelFolder) -> None:
    assert save_test_line(model, "6000", 0.0123, 33.5).name == "chkpnt6000.txt"
    path = save_test_line(model, iteration_name(6000, compressed=True), 0.0123, 33.5)
    assert path.name == "chkpnt_compress6000.txt"
    assert path.read_text() == "test L1 0.012300 PSNR 33.5000\n"


def test_bad_input_is_named(model: GaussianModelFolder, tmp_path: Path) -> None:
    rig, images = some_rig(), {"a": np.zeros((36, 48, 3), np.uint8)}
    with pytest.raises(ValueError, match=r"camera 'b': needs an image of shape \(36, 48, 3\)"):
        render_views(model, 1, some_gaussians(), rig, images, BLACK)
    with pytest.raises(ValueError, match="output 'flow' must be one of"):
        render_views(model, 1, some_gaussians(), rig, images, BLACK, extra=("flow",))
    with pytest.raises(ValueError, match="split 'val' must be train or test"):
        render_views(model, 1, some_gaussians(), rig, images, BLACK, splits=("val",))
    (tmp_path / "views.json").write_text('{"names": []}')
    with pytest.raises(SceneError, match="positive depth_values_per_world_unit"):
        read_views(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such depth image"):
        read_depth_image(tmp_path / "x.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(SceneError, match="16-bit grey"):
        read_depth_image(tmp_path / "x.png")
