"""The native engine, in float32, against the plain-torch twin, in double, on random scenes.

Pixels where rounding may decide a threshold are left out: no incoming gradient, no comparison.
"""

import math

import diff_gaussian_rasterization_compress as compress
import diff_gaussian_rasterization_rade as rade
import diff_gaussian_rasterization_rade_clamp as rade_clamp
import pytest
import torch
from diff_gaussian_rasterization.reference import (
    api,
    blend,
    count_gaussians_reference,
    inputs,
    rasterize_gaussians_reference,
)
from torch import Tensor

WIDTH, HEIGHT = 52, 37
OUTPUTS = ("color", "radii", "coord", "mcoord", "depth", "mdepth", "alpha", "normal")
Scene = dict[str, Tensor]


def random_matrices(generator: torch.Generator, tan_x: float, tan_y: float) -> dict[str, Tensor]:
    """A camera a little off the origin, tilted, with a shifted principal point."""
    axis = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
    skew = torch.zeros(3, 3)
    skew[0, 1], skew[0, 2], skew[1, 2] = -axis[2], axis[1], -axis[0]
    rotation = torch.linalg.matrix_exp(0.15 * (skew - skew.T))
    translation = 0.2 * torch.randn(3, generator=generator)
    view = torch.eye(4)
    view[:3, :3], view[:3, 3] = rotation, translation
    projection = torch.zeros(4, 4)
    projection[0, 0], projection[1, 1] = 1 / tan_x, 1 / tan_y
    projection[0, 2], projection[1, 2] = 0.05, -0.03
    projection[2, 2], projection[2, 3], projection[3, 2] = 1.0001, -0.010001, 1.0
    return {
        "viewmatrix": view.T.contiguous(),
        "projmatrix": (projection @ view).T.contiguous(),
        "campos": -rotation.T @ translation,
        "bg": torch.rand(3, generator=generator),
    }


def make_settings(kind, seed: int, **changes):
    """Settings of one of the drop-in packages."""
    tan_x, tan_y = 0.55, 0.55 * HEIGHT / WIDTH
    values: dict = {
        "image_height": HEIGHT,
        "image_width": WIDTH,
        "tanfovx": tan_x,
        "tanfovy": tan_y,
        "scale_modifier": 1.0,
        "sh_degree": 3,
        "prefiltered": False,
        "debug": False,
    }
    values |= random_matrices(torch.Generator().manual_seed(seed), tan_x, tan_y)
    if kind is not compress.GaussianRasterizationSettings:
        values |= {"kernel_size": 0.0, "require_depth": True, "require_coord": True}
    else:
        values |= {"f_count": False}
    return kind(**(values | changes))


def make_scene(seed: int, count: int = 70, precomputed: bool = False) -> Scene:
    """Gaussians of all shapes, in front, behind and beside the camera, from faint to opaque."""
    generator = torch.Generator().manual_seed(seed + 1000)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    depth = 0.1 + 5 * uniform(count, 1)
    side = 1.6 * (uniform(count, 2) - 0.5) * depth
    scene = {
        "means3D": torch.cat([side, depth], 1),
        "means2D": torch.zeros(count, 3),
        "opacities": torch.sqrt(uniform(count, 1)),
        "shs": 0.4 * torch.randn(count, 16, 3, generator=generator),
        "scales": 0.4 * uniform(count, 1) * torch.exp(-3 * uniform(count, 3)),
        "rotations": torch.nn.functional.normalize(
            torch.randn(count, 4, generator=generator), dim=1
        ),
    }
    if precomputed:
        factor = 0.2 * torch.randn(count, 3, 3, generator=generator)
        factor[:10, :, 2] *= 1e-3
        sigma = factor @ factor.transpose(1, 2)
        rows, columns = torch.triu_indices(3, 3)
        scene["colors_precomp"] = torch.randn(count, 3, generator=generator)
        scene["cov3D_precomp"] = sigma[:, rows, columns]
        for name in ("shs", "scales", "rotations"):
            del scene[name]
    return scene


def leaves(scene: Scene, dtype: torch.dtype) -> Scene:
    return {name: value.to(dtype, copy=True).requires_grad_() for name, value in scene.items()}


def run_twin(scene: Scene, settings, plain: bool = False) -> dict[str, Tensor]:
    rest = dict(scene)
    first = [rest.pop(name) for name in ("means3D", "means2D", "opacities")]
    values = rasterize_gaussians_reference(*first, **rest, settings=settings, plain=plain)
    return dict(zip(OUTPUTS, values, strict=True))


@torch.no_grad()
def stable_pixels(scene: Scene, settings, plain: bool = False) -> Tensor:
    """(H, W) bool: no alpha near 1/255, no transmittance near 1e-4 or 0.5."""
    double = {name: value.double() for name, value in scene.items()}
    view = inputs.read_view(settings, plain, double["means3D"])
    gaussians = inputs.read_gaussians(
        double["means3D"],
        double["means2D"],
        double["opacities"],
        double.get("shs"),
        double.get("colors_precomp"),
        double.get("scales"),
        double.get("rotations"),
        double.get("cov3D_precomp"),
        view.sh_degree,
    )
    order = api._order(api.footprint(gaussians, view))
    splats = api._splats(gaussians.select(order), view, plain)
    ys, xs = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    pixels = torch.stack([xs.reshape(-1), ys.reshape(-1)], 1).double()
    dx, dy = (splats.centre[None] - pixels[:, None]).unbind(-1)
    a, b, c = splats.conic.unbind(-1)
    alpha = splats.opacity * torch.exp(-(a * dx**2 + c * dy**2) / 2 - b * dx * dy)
    near = ((alpha / blend.MIN_ALPHA - 1).abs() < 3e-4).any(1)
    alpha = torch.where(alpha < blend.MIN_ALPHA, 0, alpha.clamp_max(blend.MAX_ALPHA))
    through = torch.cumprod(1 - alpha, 1)
    near |= ((through / blend.MIN_TRANSMITTANCE - 1).abs() < 3e-3).any(1)
    near |= ((through - blend.MEDIAN_TRANSMITTANCE).abs() < 3e-5).any(1)
    stable = ~near.view(HEIGHT, WIDTH)
    assert stable.double().mean() > 0.8
    return stable


def compare(scene: Scene, settings, engine, plain: bool = False, limit: float = math.inf) -> None:
    """Images at stable pixels, radii, and gradients of a random projection of all outputs."""
    stable = stable_pixels(scene, settings, plain)
    single, double = leaves(scene, torch.float32), leaves(scene, torch.float64)
    values = engine(settings)(**single)
    actual = dict(zip(OUTPUTS, values, strict=False))
    expected = run_twin(double, settings, plain)
    assert torch.equal(actual["radii"], expected["radii"])
    assert (actual["radii"] > 0).sum() > 20
    generator = torch.Generator().manual_seed(5)
    losses = [torch.zeros(()), torch.zeros((), dtype=torch.float64)]
    for name in actual:
        if name == "radii":
            continue
        want = expected[name].detach()[:, stable]
        error = (actual[name].detach()[:, stable] - want).abs().max().item()
        assert error <= 3e-5 * max(1, want.abs().max().item()), name
        factor = torch.randn(expected[name].shape, generator=generator) * stable
        losses[0] = losses[0] + (actual[name] * factor).sum()
        losses[1] = losses[1] + (expected[name] * factor.double()).sum()
    for loss in losses:
        loss.backward()
    compare_gradients(single, double, limit)


def compare_gradients(single: Scene, double: Scene, limit: float) -> None:
    gradients = {name: leaf.grad for name, leaf in double.items()}
    largest = max(g.abs().max().item() for g in gradients.values() if g is not None)
    unlimited = ("means2D", "colors_precomp", "cov3D_precomp")
    for name, expected in gradients.items():
        actual = single[name].grad
        assert actual is not None, name
        assert expected is not None, name
        scale = expected.abs().max().item()
        if name not in unlimited:
            expected = expected.clamp(-limit, limit)
        error = (actual - expected).abs().max().item()
        assert error <= 1e-3 * scale + 1e-6 * largest, name


CASES = {
    "all": {},
    "low_pass": {"kernel_size": 0.3},
    "modifier": {"scale_modifier": 1.4, "sh_degree": 1},
    "depth": {"require_coord": False},
    "coord": {"require_depth": False, "sh_degree": 2},
    "colour": {"require_depth": False, "require_coord": False, "sh_degree": 0},
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_rade(case, seed):
    settings = make_settings(rade.GaussianRasterizationSettings, seed, **CASES[case])
    compare(make_scene(seed), settings, rade.GaussianRasterizer)


@pytest.mark.parametrize("seed", [10, 11])
def test_rade_at_the_edges(seed):
    """Discs of no thickness, equal depths, opacities of 0 and 1, centres beyond the 1.3 limit."""
    scene = make_scene(seed)
    scene["scales"][:20, seed % 3] = 0
    scene["means3D"][20:30, 2] = scene["means3D"][20, 2]
    scene["opacities"][30:40] = 1
    scene["opacities"][40:45] = 0
    scene["means3D"][45:60, 0] += 0.6 * scene["means3D"][45:60, 2]
    scene["scales"][45:60] += 0.3
    settings = make_settings(rade.GaussianRasterizationSettings, seed)
    # Equal world depth is equal camera depth only for a camera that is not tilted.
    flat = torch.eye(4)
    projection = settings.viewmatrix.inverse() @ settings.projmatrix
    settings = settings._replace(viewmatrix=flat, projmatrix=projection, campos=torch.zeros(3))
    compare(scene, settings, rade.GaussianRasterizer)


@pytest.mark.parametrize("seed", [3, 4])
def test_rade_with_precomputed_inputs(seed):
    settings = make_settings(rade.GaussianRasterizationSettings, seed)
    compare(make_scene(seed, precomputed=True), settings, rade.GaussianRasterizer)


def test_limited_gradients():
    settings = make_settings(rade_clamp.GaussianRasterizationSettings, 5)
    compare(make_scene(5), settings, rade_clamp.GaussianRasterizer, limit=15)


@pytest.mark.parametrize("precomputed", [False, True])
def test_plain(precomputed):
    settings = make_settings(compress.GaussianRasterizationSettings, 6)
    scene = make_scene(6, precomputed=precomputed)
    compare(scene, settings, compress.GaussianRasterizer, plain=True)


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_counts(seed):
    settings = make_settings(compress.GaussianRasterizationSettings, seed, f_count=True)
    scene = make_scene(seed)
    unstable = int((~stable_pixels(scene, settings, True)).sum())
    count, score, color, radii = compress.GaussianRasterizer(settings)(**scene)
    double = {name: value.double() for name, value in scene.items() if name != "means2D"}
    first = [double.pop(name) for name in ("means3D", "opacities")]
    expected_count, expected_score, _, expected_color, expected_radii = count_gaussians_reference(
        *first, **double, settings=settings
    )
    assert torch.equal(radii, expected_radii)
    # A pixel on a threshold can count one more or one less.
    assert (count - expected_count).abs().max() <= unstable
    assert (count != expected_count).sum() <= 2 * unstable
    same = count == expected_count
    torch.testing.assert_close(score[same].double(), expected_score[same], rtol=1e-5, atol=1e-6)
    assert same.sum() > len(same) // 2
    stable = stable_pixels(scene, settings, True)
    assert (color - expected_color).abs()[:, stable].max() <= 3e-5
