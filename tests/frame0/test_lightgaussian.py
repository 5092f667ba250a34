"""LightGaussian's scores: parity of the counts, the formulas, ties and bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.frame0.compress import count_importance
from igs.gaussians import (
    Gaussians,
    Importance,
    global_significance,
    prune_mask,
    prune_scores,
    relative_volume,
)
from igs.render import render
from igs.scene import Camera


def some_gaussians(n: int = 60, seed: int = 3) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=torch.randn(n, 3, generator=generator) * 0.4 + torch.tensor([0, 0, 3.0]),
        log_scales=torch.randn(n, 3, generator=generator) * 0.4 - 2.2,
        quats=torch.randn(n, 4, generator=generator),
        opacity_logits=torch.randn(n, generator=generator),
        sh=torch.randn(n, 1, 3, generator=generator),
    )


def some_cameras(count: int = 3) -> list[Camera]:
    cameras = []
    for i in range(count):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * (i - 1)
        cameras.append(Camera(f"c{i}", 48, 40, 60.0, 60.0, 24.0, 20.0, pose))
    return cameras


def parity_camera(data: dict[str, np.ndarray], view: str) -> Camera:
    height, width = data[f"{view}_color"].shape[1:]
    w2c = data[f"{view}_viewmatrix"].T.astype(np.float64)
    # Stored in float32; a camera wants a rotation to more digits than that has.
    u, _, vt = np.linalg.svd(w2c[:3, :3])
    w2c[:3, :3] = u @ vt
    scale = data[f"{view}_projmatrix"] @ np.eye(4)
    projection = np.linalg.inv(data[f"{view}_viewmatrix"].astype(np.float64)) @ scale
    fx, fy = projection[0, 0] * width / 2, projection[1, 1] * height / 2
    return Camera(view, width, height, fx, fy, width / 2, height / 2, w2c)


@pytest.mark.parity
@pytest.mark.parametrize(("kind", "suffix"), [("opacity", "_score"), ("opacity_t", "_score_T")])
def test_importance_is_the_sum_over_the_views_of_the_original(
    parity_folder: Callable[[str], Path], kind: str, suffix: str
) -> None:
    with np.load(parity_folder("rasterizer") / "compress_score.npz") as arrays:
        data = dict(arrays)
    views = sorted(key.split("_")[0] for key in data if key.endswith("_viewmatrix"))
    opacity = torch.from_numpy(data["opacities"]).reshape(-1)
    gaussians = Gaussians(
        means=torch.from_numpy(data["means3D"]),
        log_scales=torch.from_numpy(data["scales"]).log(),
        quats=torch.from_numpy(data["rotations"]),
        opacity_logits=torch.logit(opacity.double()).float(),
        sh=torch.zeros(len(opacity), 1, 3),
    )
    importance = count_importance(gaussians, [parity_camera(data, v) for v in views], kind)
    wanted = sum(data[f"{v}{suffix}"].astype(np.float64) for v in views)
    # Scales and opacities go through logarithm and back, so that a pixel on a threshold may flip.
    off = np.abs(importance.counts.numpy() - data["count_total"])
    assert off.max() <= 2
    assert (off > 0).mean() <= 0.02
    error = np.abs(importance.scores.numpy() - wanted)
    assert (error <= 1e-4 * np.maximum(1, wanted)).mean() >= 0.98
    assert error.max() <= 2.1


def test_alpha_times_transmittance_is_the_weight_in_the_image() -> None:
    gaussians, cameras = some_gaussians(), some_cameras()
    importance = count_importance(gaussians, cameras, "alpha_t")
    with torch.no_grad():
        coverage = sum(float(render(gaussians, c).alpha.double().sum()) for c in cameras)
        one = torch.zeros(len(gaussians), 3)
        one[7] = 1.0
        alone = sum(
            float(render(gaussians, c, override_colors=one).color[0].sum()) for c in cameras
        )
    assert float(importance.scores.sum()) == pytest.approx(coverage, rel=1e-5)
    assert float(importance.scores[7]) == pytest.approx(alone, rel=1e-4)


def test_what_is_hidden_counts_by_opacity_but_not_by_weight() -> None:
    wall = Gaussians(
        means=torch.tensor([[0.0, 0.0, 2.0]] * 8 + [[0.0, 0.0, 4.0]]),
        log_scales=torch.zeros(9, 3),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(9, 1),
        opacity_logits=torch.tensor([0.0] * 8 + [3.0]),
        sh=torch.zeros(9, 1, 3),
    )
    by_opacity = count_importance(wall, some_cameras(1), "opacity").scores
    by_weight = count_importance(wall, some_cameras(1), "alpha_t").scores
    assert by_opacity[8] > by_opacity[0]
    assert by_weight[8] < 0.05 * by_weight[0]


def test_scores_repeat_to_the_bit() -> None:
    gaussians, cameras = some_gaussians(), some_cameras()
    first, second = (count_importance(gaussians, cameras, "opacity") for _ in range(2))
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.counts, second.counts)


def test_relative_volume_has_its_reference_at_rank_nine_tenths_of_the_descending_sort() -> None:
    gaussians = some_gaussians(10)
    volume = gaussians.scales.double().prod(-1)
    reference = volume.sort(descending=True).values[9]
    torch.testing.assert_close(relative_volume(gaussians), volume / reference, rtol=1e-6, atol=0)
    assert float(relative_volume(gaussians, clip=True).max()) == 1.0


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("important_score", lambda g, i: i.scores),
        ("max_v_important_score", lambda g, i: i.scores * g.scales.double().amax(-1)),
        ("count", lambda g, i: i.counts.double()),
        ("opacity", lambda g, i: g.opacities.double()),
        ("v_important_score", lambda g, i: i.scores * relative_volume(g) ** 0.3),
    ],
)
def test_every_prune_type(kind: str, wanted: Callable) -> None:
    gaussians = some_gaussians()
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, generator=generator, dtype=torch.float64)
    importance = Importance(torch.arange(60), scores)
    got = prune_scores(gaussians, importance, kind, v_pow=0.3)
    torch.testing.assert_close(got, wanted(gaussians, importance))


def test_threshold_is_the_published_rank_and_ties_go_too() -> None:
    scores = torch.tensor([5.0, 1, 4, 2, 3, 2, 9, 8, 7, 6])
    # int(0.45 * 9) = 4: the fifth of 1 2 2 3 4 ... is 4.
    assert prune_mask(scores, 0.45).tolist() == (scores <= 4).tolist()
    tied = torch.tensor([0.0, 0, 0, 0, 1, 2])
    assert int(prune_mask(tied, 0.2).sum()) == 4
    assert not prune_mask(scores, 0.0).any()
    assert prune_mask(torch.zeros(0), 0.5).shape == (0,)


def test_bad_input_is_named() -> None:
    gaussians, short = some_gaussians(), Importance(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="60 Gaussians but importance of 3"):
        global_significance(gaussians, short)
    with pytest.raises(ValueError, match="prune type 'volume' must be"):
        prune_scores(gaussians, Importance(torch.zeros(60), torch.zeros(60)), "volume")
    with pytest.raises(ValueError, match=r"share 1.5 must lie in 0..1"):
        prune_mask(torch.zeros(3), 1.5)
    with pytest.raises(ValueError, match="score of Gaussian 1 is not a number"):
        prune_mask(torch.tensor([0.0, float("nan")]), 0.5)
    with pytest.raises(ValueError, match="importance 'alpha' must be"):
        count_importance(gaussians, some_cameras(), "alpha")
    with pytest.raises(ValueError, match="no cameras"):
        count_importance(gaussians, [])
