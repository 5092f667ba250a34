"""Refining only the tiles that changed: the same loss and the same gradients, for less work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diff_gaussian_rasterization import tiles_of
from fused_ssim import photometric_loss

from igs.config import ConfigError, RunConfig, check_stream
from igs.gaussians import Gaussians
from igs.render import render
from igs.render.images import to_float, to_uint8
from igs.scene import Camera
from igs.stream import MultiViewEngine, refine_key_frame
from igs.stream.targets import Target, make_targets, reaching

from .conftest import ToySource, toy_cameras, toy_gaussians

CAMERA = Camera("wide", 150, 97, 90.0, 90.0, 75.0, 48.5, np.eye(4))
BLACK = torch.zeros(3)


def tiles_with(*places: tuple[int, int]) -> torch.Tensor:
    tiles = torch.zeros(7, 10, dtype=torch.bool)
    for row, column in places:
        tiles[row, column] = True
    return tiles


def captured(shift: float = 0.1) -> np.ndarray:
    with torch.no_grad():
        return to_uint8(render(toy_gaussians(shift), CAMERA).color)


def leaves() -> Gaussians:
    """The toy scene, but no Gaussian is a ball, whose rotation would have no gradient."""
    tensors = {k: v.clone() for k, v in toy_gaussians().tensors().items()}
    tensors["log_scales"] += torch.tensor([0.5, 0.0, -0.7])
    return Gaussians(**{k: v.requires_grad_() for k, v in tensors.items()})


@pytest.mark.parametrize(
    "places", [[(3, 4)], [(0, 0)], [(6, 9)], [(2, 3), (4, 6)], [(0, 9), (6, 0)]]
)
@pytest.mark.parametrize("lambda_l1", [0.0, 0.8])
def test_the_loss_is_that_of_the_whole_image(
    places: list[tuple[int, int]], lambda_l1: float
) -> None:
    """With the captured image where nothing is looked at."""
    tiles, image = tiles_with(*places), captured()
    target = Target(CAMERA, image, "cpu", tiles)
    free = leaves()
    loss = target.loss(target.render(free, BLACK).color, lambda_l1)
    loss.backward()

    other = leaves()
    inside = tiles.repeat_interleave(16, 0).repeat_interleave(16, 1)[:97, :150]
    whole = torch.where(inside, render(other, CAMERA, BLACK).color, to_float(image))
    expected = photometric_loss(whole, to_float(image), lambda_l1=lambda_l1)
    expected.backward()
    assert 0 < float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-3, abs=2e-7)
    for name, leaf in free.tensors().items():
        want = other.tensors()[name].grad
        assert leaf.grad is not None
        assert want is not None
        torch.testing.assert_close(
            leaf.grad, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()), msg=name
        )


def test_what_does_not_reach_is_not_missed() -> None:
    tiles, gaussians = tiles_with((3, 4)), toy_gaussians()
    target = Target(CAMERA, captured(), "cpu", tiles)
    near = reaching(gaussians, [target])
    assert 0 < int(near.sum()) < len(gaussians)
    all_of_them = target.render(gaussians, BLACK).color
    assert torch.equal(target.render(gaussians.select(near), BLACK).color, all_of_them)


def test_views_without_a_change_are_left_out() -> None:
    cameras = list(toy_cameras().values())
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in cameras}
    changed = {c.name: torch.zeros(c.height, c.width, dtype=torch.bool) for c in cameras}
    changed["cam03"][5, 7] = True
    targets = make_targets(cameras, images, "cpu", changed)
    assert [target.camera.name for target in targets] == ["cam03"]
    assert targets[0].tiles is not None
    # The tile of the change and its neighbours.
    assert tiles_of(changed["cam03"]).nonzero().tolist() == [[0, 0]]
    assert targets[0].tiles.tolist() == [[True, True, False], [True, True, False]]
    assert len(make_targets(cameras, images, "cpu")) == len(cameras)


def refined(changed: dict[str, torch.Tensor] | None, active: torch.Tensor | None = None):
    config = RunConfig().refine
    config.iterations, config.densify.enabled = 8, False
    source = ToySource()
    return refine_key_frame(
        toy_gaussians(),
        list(source.cameras.values()),
        source.frame(4).images,
        config,
        extent=2.0,
        background=BLACK,
        generator=torch.Generator().manual_seed(0),
        active=active,
        changed=changed,
    )


def test_all_tiles_are_as_none_at_all() -> None:
    cameras = toy_cameras()
    every = {n: torch.ones(c.height, c.width, dtype=torch.bool) for n, c in cameras.items()}
    active = torch.arange(104) > 80
    a, _ = refined(every, active)
    b, _ = refined(None, active)
    torch.testing.assert_close(a.means, b.means, rtol=1e-4, atol=1e-5)


def test_nothing_changed_nothing_done() -> None:
    cameras = toy_cameras()
    none = {n: torch.zeros(c.height, c.width, dtype=torch.bool) for n, c in cameras.items()}
    gaussians, report = refined(none)
    assert report.iterations == 0
    assert torch.equal(gaussians.means, toy_gaussians().means)


def test_a_stream_by_tiles_follows_the_scene(toy_config: RunConfig) -> None:
    toy_config.refine.iterations = 30
    toy_config.refine.active_only = True
    scores = {}
    for by_tiles in (False, True):
        toy_config.refine.active_tiles = by_tiles
        source = ToySource(7, step=0.05)
        last = list(MultiViewEngine(toy_config, toy_gaussians()).run(source))[-1]
        assert last.refinement is not None
        assert last.refinement.num_active < 104
        with torch.no_grad():
            image = render(last.gaussians, source.cameras["cam02"]).color
        error = image - to_float(last.captured.images["cam02"])
        scores[by_tiles] = -10 * float(error.square().mean().log10())
    assert scores[True] > scores[False] - 1.0


def test_tiles_need_the_search_for_changes(toy_config: RunConfig) -> None:
    toy_config.refine.active_tiles = True
    with pytest.raises(ConfigError, match=r"refine\.active_tiles: needs refine\.active_only=true"):
        check_stream(toy_config)
