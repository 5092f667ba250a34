"""The differentiable render: geometry of the camera, outputs, gradients, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from igs.gaussians import DensityStatistics, Gaussians
from igs.render import raster_view, render, render_depths
from igs.scene import Camera

SH_C0 = 0.28209479177387814
OPTIONAL = ("depth", "median_depth", "normal", "coord", "median_coord")


def camera(
    cx: float = 32.0, cy: float = 24.0, pose: np.ndarray | None = None, name: str = "c"
) -> Camera:
    return Camera(name, 64, 48, 60.0, 66.0, cx, cy, np.eye(4) if pose is None else pose)


def turned_pose(angle: float = 0.1) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]
    ]  # fmt: skip
    pose[:3, 3] = 0.3, -0.2, 0.5
    return pose


def blobs(means: list[list[float]], scale: float = 0.05, opacity: float = 4.0) -> Gaussians:
    n = len(means)
    return Gaussians(
        torch.tensor(means, dtype=torch.float32),
        torch.full((n, 3), scale).log(),
        torch.tensor([[2.0, 0, 0, 0]]).repeat(n, 1),
        torch.full((n,), opacity),
        torch.full((n, 1, 3), 0.5 / SH_C0),  # white
    )


def cloud(n: int = 60, seed: int = 0, degree: int = 2) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    means = normal(n, 3) * 0.6 + torch.tensor([0, 0, 4.0])
    return Gaussians(
        means,
        normal(n, 3) * 0.3 - 2,
        normal(n, 4),
        normal(n),
        normal(n, (degree + 1) ** 2, 3) * 0.3,
    )


def trained(gaussians: Gaussians) -> Gaussians:
    return gaussians.map(lambda t: t.clone().requires_grad_())


def centroid(image: torch.Tensor) -> tuple[float, float]:
    """Centre of mass in pixels from the image border, pixel centres at +0.5."""
    rows, columns = torch.meshgrid(
        torch.arange(image.shape[0]) + 0.5, torch.arange(image.shape[1]) + 0.5, indexing="ij"
    )
    weight = image.double()
    total = weight.sum()
    return float((weight * columns).sum() / total), float((weight * rows).sum() / total)


@pytest.mark.parametrize("principal", [(32.0, 24.0), (29.3, 27.9), (36.45, 18.8), (32.25, 24.0)])
@pytest.mark.parametrize("point", [[0.0, 0, 4], [0.31, -0.22, 4.1], [-0.533, 0.4, 3.7]])
@pytest.mark.parametrize("turned", [False, True])
def test_a_point_lands_where_the_pinhole_puts_it(
    principal: tuple[float, float], point: list[float], turned: bool
) -> None:
    view = camera(*principal, pose=turned_pose() if turned else None)
    x, y, z = view.world_to_camera[:3, :3] @ point + view.world_to_camera[:3, 3]
    wanted = view.fx * x / z + view.cx, view.fy * y / z + view.cy
    got = centroid(render(blobs([point], scale=0.12, opacity=-1.0), view).alpha[0])
    assert got == pytest.approx(wanted, abs=0.02)


def test_centred_projection_is_that_of_the_originals() -> None:
    matrices = raster_view(camera(pose=turned_pose()))
    near, far = 0.01, 100.0
    a, b = (np.tan(fov / 2) for fov in camera().fov)
    projection = np.array([
        [1 / a, 0, 0, 0], [0, 1 / b, 0, 0],
        [0, 0, far / (far - near), -far * near / (far - near)], [0, 0, 1, 0],
    ])  # fmt: skip
    np.testing.assert_allclose(
        matrices.projmatrix.numpy(), turned_pose().T @ projection.T, atol=1e-5
    )
    assert (matrices.tanfovx, matrices.tanfovy) == pytest.approx((a, b))
    np.testing.assert_allclose(
        matrices.campos.numpy(), np.linalg.inv(turned_pose())[:3, 3], atol=1e-6
    )


def wall(depth: float) -> Gaussians:
    """A dense sheet of flat discs facing along z, an exact plane."""
    step = 0.1
    xs, ys = torch.meshgrid(torch.arange(-4, 4, step), torch.arange(-4, 4, step), indexing="ij")
    means = torch.stack([xs.reshape(-1), ys.reshape(-1), torch.full((xs.numel(),), depth)], -1)
    sheet = blobs(means.tolist(), scale=step)
    sheet.log_scales[:, 2] = -8.0
    return sheet


@pytest.mark.parametrize("principal", [(32.0, 24.0), (20.0, 33.0)])
def test_depth_is_z_and_normals_face_the_camera(principal: tuple[float, float]) -> None:
    output = render(wall(3.0), camera(*principal), want=OPTIONAL)
    assert output.alpha.min() > 0.99
    for depth in (output.depth, output.median_depth):
        assert depth is not None
        assert depth.shape == (1, 48, 64)
        # The rasterizer's half pixel (fault 10 of its spec) is 0.35 / W in a corner.
        torch.testing.assert_close(depth, torch.full_like(depth, 3.0), rtol=0.6 / 64, atol=0)
    assert output.normal is not None
    torch.testing.assert_close(
        output.normal,
        torch.tensor([0.0, 0, -1])[:, None, None].expand(3, 48, 64),
        atol=0.02,
        rtol=0,
    )
    for coord in (output.coord, output.median_coord):
        assert coord is not None
        torch.testing.assert_close(coord[2], torch.full_like(coord[2], 3.0), rtol=0.01, atol=0)


def test_only_what_is_wanted_is_filled() -> None:
    for wanted in (["color"], ["depth"], ["normal"], ["coord", "median_depth"]):
        output = render(cloud(), camera(), want=wanted)
        filled = {name for name in OPTIONAL if getattr(output, name) is not None}
        assert filled == set(wanted) - {"color"}
        assert output.color.shape == (3, 48, 64)
        assert output.radii.shape == (60,)
    normal = render(cloud(), camera(), want="normal").normal
    assert normal is not None
    assert normal.abs().max() > 0.5


def test_background_and_overridden_colours() -> None:
    gaussians, view = cloud(), camera()
    black = render(gaussians, view)
    red = render(gaussians, view, (1.0, 0.0, 0.0))
    torch.testing.assert_close(red.color[1:], black.color[1:])
    torch.testing.assert_close(red.color[0], black.color[0] + 1 - black.alpha[0], atol=1e-5, rtol=0)
    flow = render(gaussians, view, override_colors=torch.full((60, 3), -2.0))
    torch.testing.assert_close(flow.color, -2 * flow.alpha.expand(3, -1, -1), atol=1e-5, rtol=0)
    empty = render(gaussians.select(torch.arange(0)), view, torch.tensor([0.2, 0.4, 0.6]))
    assert empty.color[:, 5, 5].tolist() == pytest.approx([0.2, 0.4, 0.6])


def test_degree_can_be_held_back() -> None:
    gaussians, view = cloud(), camera()
    low = render(gaussians, view, sh_degree=0).color
    assert torch.equal(low, render(gaussians.replace(sh=gaussians.sh[:, :1]), view).color)
    assert not torch.allclose(low, render(gaussians, view).color)


def test_scale_modifier_and_kernel() -> None:
    gaussians, view = cloud(), camera()
    half = gaussians.replace(log_scales=gaussians.log_scales + np.log(0.5))
    torch.testing.assert_close(
        render(gaussians, view, scale_modifier=0.5).color, render(half, view).color,
        atol=1e-5, rtol=0,
    )  # fmt: skip
    dot = blobs([[0.0, 0, 4]], scale=0.01)
    sharp, soft = (render(dot, view, kernel_size=k).alpha for k in (0.0, 0.3))
    assert not sharp.any(), "a blob below a pixel, between four centres, is missed without"
    area = 2 * np.pi * (view.fx * 0.01 / 4) * (view.fy * 0.01 / 4)
    # Compensated: the same light spread wider. What falls below 1/255 is not drawn.
    assert soft.sum().item() == pytest.approx(dot.opacities.item() * area, rel=0.15)


def test_quaternions_of_any_length_render_alike() -> None:
    gaussians = cloud()
    longer = gaussians.replace(quats=gaussians.quats * 3)
    torch.testing.assert_close(
        render(longer, camera()).color, render(gaussians, camera()).color, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", ["means", "log_scales", "quats", "opacity_logits", "sh"])
def test_gradients_point_where_the_loss_falls(name: str) -> None:
    gaussians, view = trained(cloud()), camera(29, 26, turned_pose(0.1))
    target = render(cloud(seed=1), view, want=("depth",))

    def loss(values: Gaussians) -> torch.Tensor:
        output = render(values, view, want=("depth",))
        assert output.depth is not None
        assert target.depth is not None
        difference = (output.depth - target.depth) * output.alpha.detach()
        return (output.color - target.color).square().sum() + 0.01 * difference.square().sum()

    start = loss(gaussians)
    start.backward()
    grad = getattr(gaussians, name).grad
    step = 1e-3 * grad / grad.norm()
    moved = gaussians.detach().replace(**{name: getattr(gaussians, name).detach() - step})
    fall = (start.detach() - loss(moved)).item()
    assert fall == pytest.approx(1e-3 * grad.norm().item(), rel=0.1)


def test_means2d_feeds_the_statistics() -> None:
    gaussians = trained(cloud())
    gaussians = gaussians.replace(
        means=torch.cat([gaussians.means.detach()[:59], torch.tensor([[0.0, 0, -3]])])
    )
    output = render(gaussians, camera())
    output.color.square().sum().backward()
    grad = output.means2d.grad
    assert grad is not None
    assert grad.shape == (60, 3)
    statistics = DensityStatistics(60)
    statistics.update(grad, output.radii)
    assert statistics.count[59] == 0
    assert (statistics.mean_grad[:59] > 0).sum() > 40
    assert (statistics.mean_grad_abs >= 0).all()
    handle = torch.zeros(60, 3, requires_grad=True)
    render(gaussians, camera(), means2d=handle).color.square().sum().backward()
    assert handle.grad is not None
    torch.testing.assert_close(handle.grad, grad)


def test_screen_gradient_is_per_device_coordinate() -> None:
    """Moving the principal point by one pixel is moving every centre by 2 / W."""
    gaussians = trained(blobs([[0.05, 0.02, 4.0]], scale=0.2, opacity=0.0))
    weight = torch.linspace(0, 1, 64).expand(48, 64)
    output = render(gaussians, camera())
    (output.alpha[0] * weight).sum().backward()
    assert output.means2d.grad is not None
    step = 0.1
    sums = [
        (render(gaussians.detach(), camera(32 + s)).alpha[0] * weight).sum().item()
        for s in (-step, step)
    ]
    slope = (sums[1] - sums[0]) / (2 * step)
    assert output.means2d.grad[0, 0].item() == pytest.approx(slope * 64 / 2, rel=0.05)


def test_gradient_limit_cuts_every_entry() -> None:
    limit = 1e-3
    free, cut = trained(cloud()), trained(cloud())
    render(free, camera()).color.square().sum().backward()
    output = render(cut, camera(), gradient_limit=limit)
    output.color.square().sum().backward()
    for name in ("means", "sh"):
        wanted = getattr(free, name).grad.clamp(-limit, limit)
        assert (getattr(free, name).grad.abs() > limit).any()
        torch.testing.assert_close(getattr(cut, name).grad, wanted)
    assert output.means2d.grad is not None
    assert output.means2d.grad.abs().max() > limit, "the screen-space gradient is not cut"


def test_depths_of_several_views() -> None:
    views = [camera(name="a"), camera(pose=turned_pose(), name="b")]
    depths = render_depths(trained(cloud()), views)
    assert depths.shape == (2, 1, 48, 64)
    assert not depths.requires_grad
    second = render(cloud(), views[1], want=("depth",)).depth
    assert second is not None
    assert torch.equal(depths[1], second)
    with pytest.raises(ValueError, match="one size"):
        render_depths(cloud(), [*views, views[0].resized(32, 24)])
    with pytest.raises(ValueError, match="kind 'normal'"):
        render_depths(cloud(), views, kind="normal")


def test_no_graph_without_anything_to_train() -> None:
    output = render(cloud(), camera())
    assert not output.color.requires_grad
    assert not output.means2d.requires_grad


def test_bad_requests_are_refused() -> None:
    gaussians, view = cloud(), camera()
    with pytest.raises(ValueError, match="no output colour; there are color, alpha"):
        render(gaussians, view, want=("colour",))
    with pytest.raises(ValueError, match="SH degree 3: the Gaussians have degree 2"):
        render(gaussians, view, sh_degree=3)
    with pytest.raises(ValueError, match=r"background: shape \(4,\) must be \(3,\)"):
        render(gaussians, view, (0, 0, 0, 1))
    with pytest.raises(ValueError, match=r"override_colors: shape \(2, 3\) must be \(60, 3\)"):
        render(gaussians, view, override_colors=torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"means2d: shape \(60, 2\) must be \(60, 3\)"):
        render(gaussians, view, means2d=torch.zeros(60, 2))
    gaussians.means[7, 1] = float("nan")
    with pytest.raises((ValueError, RuntimeError), match="7"):
        render(gaussians, view)
