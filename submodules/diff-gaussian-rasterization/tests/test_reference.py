"""The plain-torch twin against the fixtures, finite differences and its own conventions."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diff_gaussian_rasterization.reference import (
    count_gaussians_reference,
    rasterize_gaussians_reference,
)

PROJECT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("IGS_SHARED", PROJECT.parent / "shared"))
FOLDER = SHARED / "parity" / "rasterizer"
OUTPUTS = ("color", "radii", "coord", "mcoord", "depth", "mdepth", "alpha", "normal")
INPUTS = (
    "means3D",
    "means2D",
    "opacities",
    "shs",
    "colors_precomp",
    "scales",
    "rotations",
    "cov3D_precomp",
)
SCALARS = ("tanfovx", "tanfovy", "kernel_size", "scale_modifier", "image_height", "image_width")
FLAGS = ("sh_degree", "require_depth", "require_coord")
MATRICES = ("bg", "viewmatrix", "projmatrix", "campos")


@pytest.fixture(autouse=True)
def one_thread():
    """The twin works on small tensors, where more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scene_files() -> list:
    """Every fixture of a rendered scene: those that hold an incoming colour gradient."""
    found = []
    for path in sorted(FOLDER.glob("*.npz")):
        with np.load(path) as arrays:
            if "gin_color" in arrays:
                found.append(pytest.param(path, id=path.stem))
    skip = pytest.mark.skip(reason=f"no fixtures in {FOLDER}")
    return found or [pytest.param(None, id="none", marks=skip)]


def fixture_settings(arrays, prefix: str = "") -> SimpleNamespace:
    """Settings of a fixture; a plain 3DGS scene stores fewer of them."""
    values: dict = {"scale_modifier": 1.0}
    for name in (*SCALARS, *FLAGS, *MATRICES):
        for key in (name, prefix + name):
            if key in arrays:
                array = arrays[key]
                values[name] = array.item() if array.ndim == 0 else torch.from_numpy(array)
    return SimpleNamespace(**values)


def fixture_inputs(arrays) -> dict[str, torch.Tensor]:
    inputs = {name: torch.from_numpy(arrays[name]).double() for name in INPUTS if name in arrays}
    inputs["means2D"] = torch.zeros_like(inputs["means3D"])
    return {name: value.requires_grad_() for name, value in inputs.items()}


def render(inputs: dict[str, torch.Tensor], settings, plain: bool = False) -> dict:
    arguments = dict(inputs)
    first = [arguments.pop(name) for name in ("means3D", "means2D", "opacities")]
    values = rasterize_gaussians_reference(*first, **arguments, settings=settings, plain=plain)
    return dict(zip(OUTPUTS, values, strict=True))


@pytest.mark.parity
@pytest.mark.parametrize("path", scene_files())
def test_fixture_scene(path):
    """Images and gradients in double agree with the double-precision originals."""
    with np.load(path) as file:
        arrays = dict(file)
    inputs = fixture_inputs(arrays)
    plain = "kernel_size" not in arrays
    outputs = render(inputs, fixture_settings(arrays), plain)
    radii = arrays["out_radii" if plain else "exact_radii"]
    np.testing.assert_array_equal(outputs["radii"].numpy(), radii)
    stable = arrays.get("stable", np.ones(arrays["exact_color"].shape[1:], bool))
    loss = torch.zeros((), dtype=torch.float64)
    for name in OUTPUTS:
        if f"gin_{name}" in arrays:
            expected = arrays[f"exact_{name}"]
            error = np.abs(outputs[name].detach().numpy() - expected)[:, stable].max()
            assert error <= 2e-6 * max(1, np.abs(expected).max()), name
            loss = loss + (outputs[name] * torch.from_numpy(arrays[f"gin_{name}"])).sum()
    loss.backward()
    expected_gradients = {name: arrays[f"exact_grad_{name}"] for name in inputs}
    largest = max(np.abs(value).max() for value in expected_gradients.values())
    for name, expected in expected_gradients.items():
        gradient = inputs[name].grad
        assert gradient is not None, name
        error = np.abs(gradient.numpy() - expected).max()
        assert error <= 5e-6 * np.abs(expected).max() + 1e-8 * largest, name


@pytest.mark.parity
@pytest.mark.skipif(not (FOLDER / "compress_score.npz").is_file(), reason=f"nothing in {FOLDER}")
def test_fixture_counts():
    with np.load(FOLDER / "compress_score.npz") as file:
        arrays = dict(file)
    inputs = {name: value.detach() for name, value in fixture_inputs(arrays).items()}
    del inputs["means2D"]
    first = [inputs.pop(name) for name in ("means3D", "opacities")]
    views = sorted(key.removesuffix("_count") for key in arrays if key.endswith("_count"))
    assert views
    for view in views:
        settings = fixture_settings(arrays, f"{view}_")
        count, score, score_T, color, radii = count_gaussians_reference(
            *first, **inputs, settings=settings
        )
        np.testing.assert_array_equal(count.numpy(), arrays[f"{view}_count"])
        np.testing.assert_array_equal(radii.numpy(), arrays[f"{view}_radii"])
        np.testing.assert_allclose(score.numpy(), arrays[f"{view}_score"], rtol=1e-5)
        np.testing.assert_allclose(score_T.numpy(), arrays[f"{view}_score_T"], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(color.numpy(), arrays[f"{view}_color"], atol=2e-6)


def make_settings(width: int, height: int, **changes) -> SimpleNamespace:
    """A camera at the origin that looks along +z."""
    tan_x, tan_y = 0.6, 0.6 * height / width
    projection = torch.zeros(4, 4, dtype=torch.float64)
    projection[0, 0], projection[1, 1] = 1 / tan_x, 1 / tan_y
    projection[2, 2], projection[2, 3], projection[3, 2] = 1.0, -0.01, 1.0
    values = {
        "image_width": width,
        "image_height": height,
        "tanfovx": tan_x,
        "tanfovy": tan_y,
        "kernel_size": 0.0,
        "bg": torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64),
        "scale_modifier": 1.0,
        "viewmatrix": torch.eye(4, dtype=torch.float64),
        "projmatrix": projection.T.contiguous(),
        "sh_degree": 1,
        "campos": torch.zeros(3, dtype=torch.float64),
        "require_depth": True,
        "require_coord": True,
    }
    return SimpleNamespace(**(values | changes))


def make_scene(count: int, seed: int, degree: int = 1) -> dict[str, torch.Tensor]:
    """Gaussians inside the view, a few pixels in size, away from 0.99 and the 1.3 limit."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    depth = 2 + 2 * uniform(count, 1)
    side = (uniform(count, 2) - 0.5) * depth
    rotations = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return {
        "means3D": torch.cat([side, depth], 1),
        "means2D": torch.zeros(count, 3, dtype=torch.float64),
        "opacities": 0.3 + 0.6 * uniform(count, 1),
        "shs": 0.5 * (uniform(count, (degree + 1) ** 2, 3) - 0.3),
        "scales": 0.15 + 0.35 * uniform(count, 3),
        "rotations": torch.nn.functional.normalize(rotations, dim=1),
    }


def with_precomputed(scene: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """The same with given colours (also negative) and given covariances."""
    generator = torch.Generator().manual_seed(seed)
    count = len(scene["means3D"])
    factor = 0.3 * torch.randn(count, 3, 3, generator=generator, dtype=torch.float64)
    sigma = factor @ factor.transpose(1, 2) + 0.01 * torch.eye(3, dtype=torch.float64)
    rows, columns = torch.triu_indices(3, 3)
    kept = {k: scene[k] for k in ("means3D", "means2D", "opacities")}
    colors = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return kept | {"colors_precomp": colors, "cov3D_precomp": sigma[:, rows, columns]}


CASES = {
    "rade": ({}, False),
    "low_pass": ({"kernel_size": 0.3}, False),
    "modifier": ({"scale_modifier": 1.5, "sh_degree": 0}, False),
    "depth_only": ({"require_coord": False}, False),
    "coord_only": ({"require_depth": False}, False),
    "plain": ({}, True),
}


def check_gradients(scene: dict[str, torch.Tensor], settings, plain: bool) -> None:
    """Finite differences of a random projection of all outputs, over all inputs."""
    generator = torch.Generator().manual_seed(11)
    means2D = scene["means2D"]
    names = [name for name in scene if name != "means2D"]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(names, values, strict=True)) | {"means2D": means2D}
        if "rotations" in inputs:
            # Off the unit sphere the gradient of the plane follows a convention.
            inputs["rotations"] = torch.nn.functional.normalize(inputs["rotations"], dim=1)
        outputs = render(inputs, settings, plain)
        generator.manual_seed(11)
        total = torch.zeros((), dtype=torch.float64)
        for name in OUTPUTS:
            if name != "radii":
                factor = torch.randn(outputs[name].shape, generator=generator, dtype=torch.float64)
                total = total + (outputs[name] * factor).sum()
        return total

    leaves = tuple(scene[name].clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_gradients_by_finite_differences(case):
    changes, plain = CASES[case]
    check_gradients(make_scene(3, seed=2), make_settings(17, 12, **changes), plain)


def test_gradients_of_precomputed_inputs():
    check_gradients(with_precomputed(make_scene(3, seed=3), 5), make_settings(6, 17), False)


def test_gradients_at_degree_three():
    scene = make_scene(2, seed=4, degree=3)
    check_gradients(scene, make_settings(9, 8, sh_degree=3), False)


def test_absolute_statistic_is_the_sum_over_pixels():
    """Third column of the means2D gradient against one backward pass a pixel."""
    scene = make_scene(5, seed=6)
    settings = make_settings(7, 6, require_depth=False, require_coord=False)
    means2D = scene["means2D"].clone().requires_grad_()
    color = render(scene | {"means2D": means2D}, settings)["color"]
    factor = torch.randn(color.shape, generator=torch.Generator().manual_seed(1))
    (per_image,) = torch.autograd.grad((color * factor).sum(), means2D, retain_graph=True)
    per_pixel = torch.stack(
        [
            torch.autograd.grad((color * factor)[:, y, x].sum(), means2D, retain_graph=True)[0]
            for y in range(6)
            for x in range(7)
        ]
    )
    assert per_image[:, 2].min() > 0
    torch.testing.assert_close(per_image[:, :2], per_pixel[..., :2].sum(0))
    torch.testing.assert_close(per_image[:, 2], per_pixel[..., :2].abs().sum((0, 2)))


def test_cut_alpha_passes_its_gradient():
    scene = with_precomputed(make_scene(1, seed=0), 1)
    scene["means3D"] = torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64)
    scene["opacities"] = torch.ones(1, 1, dtype=torch.float64).requires_grad_()
    # In an image of one pixel the mean falls on its centre, where alpha is the opacity.
    outputs = render(scene, make_settings(1, 1), plain=True)
    assert outputs["alpha"].item() == pytest.approx(0.99, abs=1e-7)
    outputs["alpha"].sum().backward()
    assert scene["opacities"].grad is not None
    assert scene["opacities"].grad.item() == pytest.approx(1)


def test_order_of_the_gaussians_does_not_matter():
    scene, settings = make_scene(12, seed=7), make_settings(40, 35)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    first = render(scene, settings)
    second = render({k: v[order] for k, v in scene.items()}, settings)
    for name in OUTPUTS:
        expected = first[name][order] if name == "radii" else first[name]
        torch.testing.assert_close(second[name], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["none", "behind"])
def test_nothing_to_see(kind):
    count = 0 if kind == "none" else 3
    scene = make_scene(count, seed=8)
    scene["means3D"][:, 2] *= -1
    leaves = {name: value.requires_grad_() for name, value in scene.items()}
    settings = make_settings(21, 18)
    outputs = render(leaves, settings)
    torch.testing.assert_close(outputs["color"], settings.bg[:, None, None].expand(3, 18, 21))
    for name in OUTPUTS[1:]:
        assert not outputs[name].any(), name
    torch.stack([outputs[name].sum() for name in OUTPUTS if name != "radii"]).sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None, name
        assert leaf.grad.shape == leaf.shape
        assert not leaf.grad.any(), name


def test_unrequested_outputs_are_zero():
    scene = make_scene(4, seed=9)
    outputs = render(scene, make_settings(20, 16, require_depth=False, require_coord=False))
    for name in ("coord", "mcoord", "depth", "mdepth", "normal"):
        assert not outputs[name].any(), name
    assert outputs["alpha"].max() > 0.1


def test_float32_agrees_with_double():
    scene, settings = make_scene(10, seed=10), make_settings(33, 20)
    double = render(scene, settings)
    single = render({name: value.float() for name, value in scene.items()}, settings)
    for name in OUTPUTS:
        assert single[name].dtype == (torch.int32 if name == "radii" else torch.float32)
        torch.testing.assert_close(single[name].double(), double[name].double(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["means3D", "opacities", "shs", "scales", "rotations"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_what_is_not_finite(name, value):
    scene = make_scene(5, seed=1)
    scene[name][3, 0] = value
    with pytest.raises(ValueError, match=f"{name} is not finite at Gaussian 3"):
        render(scene, make_settings(8, 8))


def test_refusals():
    scene, settings = make_scene(3, seed=1), make_settings(8, 8)
    colors = torch.zeros(3, 3, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"\(3, 2\).*\(N, 3\)"):
        render(scene | {"means3D": scene["means3D"][:, :2]}, settings)
    with pytest.raises(ValueError, match="one of shs and colors_precomp"):
        render(scene | {"colors_precomp": colors}, settings)
    with pytest.raises(ValueError, match="pair scales and rotations"):
        render({k: v for k, v in scene.items() if k != "rotations"}, settings)
    with pytest.raises(ValueError, match="pair scales and rotations"):
        render(scene | {"cov3D_precomp": torch.zeros(3, 6, dtype=torch.float64)}, settings)
    with pytest.raises(ValueError, match="holds 4 coefficients, SH degree 2 needs 9"):
        render(scene, make_settings(8, 8, sh_degree=2))
    with pytest.raises(ValueError, match=r"opacities has shape \(2, 1\)"):
        render(scene | {"opacities": scene["opacities"][:2]}, settings)
    with pytest.raises(ValueError, match=r"scales is torch.float32.*torch.float64"):
        render(scene | {"scales": scene["scales"].float()}, settings)
