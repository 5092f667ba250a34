"""Holding longer what matters little: the measure, the tolerances, the encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from igs.fvv import Decoder, Encoder, FvvConfig, make_header
from igs.fvv.plan import tolerances
from igs.fvv.rows import SH_C0
from igs.fvv.weights import ATTRIBUTES, Weigher
from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Camera

from .conftest import stream
from .test_codec import check_errors


def view(size: int = 16) -> Camera:
    camera = np.eye(4)
    camera[2, 3] = 6.0
    return Camera("front", size, size, float(size), float(size), size / 2, size / 2, camera)


def pair() -> Gaussians:
    """One opaque Gaussian that hides another behind it, and one beside them."""
    return Gaussians(
        means=torch.tensor([[0.0, 0, -1], [0, 0, 1], [1.5, 0, 0]]),
        log_scales=torch.tensor([[0.2] * 3, [-2.0] * 3, [-1.0] * 3]),
        quats=torch.tensor([[1.0, 0, 0, 0]] * 3),
        opacity_logits=torch.tensor([8.0, 2.0, 0.0]),
        sh=torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(1)) * 0.4,
    )


def test_the_measure_is_the_mean_square_of_the_change_that_a_step_makes():
    gaussians, camera = pair(), view()
    grid = make_header(gaussians, FvvConfig()).grid
    measured = Weigher([camera], probes=200)(gaussians, grid)
    assert measured.shape == (6, 3)
    step = grid.color / SH_C0
    for row in (0, 2):
        squares = []
        for channel in range(3):
            sh = gaussians.sh.clone()
            sh[row, 0, channel] += step
            change = (
                render(gaussians.replace(sh=sh), camera).color - render(gaussians, camera).color
            )
            squares.append(float(change.square().mean()))
        found = measured[ATTRIBUTES.index("color"), row]
        assert found == pytest.approx(np.mean(squares), rel=0.25)


def test_what_is_hidden_matters_little():
    gaussians = pair()
    measured = Weigher([view()])(gaussians, make_header(gaussians, FvvConfig()).grid)
    assert (measured[:, 1] <= 0.02 * measured[:, 0]).all()


def test_tolerances_spend_the_same_loss_otherwise():
    rng = np.random.default_rng(0)
    sensitivity = 10 ** rng.normal(-10, 2, (5, 2000))
    found = tolerances(sensitivity, 2.4, 6.5)
    assert found.min() >= 0.5
    assert found.max() <= 6.5
    assert (sensitivity * found**2).sum() == pytest.approx(2.4**2 * sensitivity.sum(), rel=0.01)
    order = np.argsort(sensitivity.ravel())
    assert (np.diff(found.ravel()[order]) <= 0).all()
    alike = tolerances(np.ones((5, 10)), 2.4, 6.5)
    assert np.allclose(alike, 2.4)


@pytest.mark.parametrize("refine", [1, 3])
def test_errors_stay_within_what_is_stated_and_bytes_go_down(refine: int):
    config = FvvConfig(intra_interval=20, level=3, refine=refine)
    loose = replace(config, hold_most=6.0)
    source, sizes = stream(200, 10), []
    for chosen, weigh in ((config, None), (loose, Weigher([view()]))):
        header = make_header(source[0].gaussians, chosen)
        encoder, decoder = Encoder(header, chosen, weigh), Decoder(header)
        sizes.append(0)
        for frame in source:
            chunks = encoder.push(frame)
            sizes[-1] += sum(map(len, chunks))
            order = torch.from_numpy(encoder._sources)
            coded = decoder.decode(chunks).gaussians
            bounds = header.refined_error_bounds or header.error_bounds
            check_errors(frame.gaussians.select(order), coded, bounds)
    assert sizes[1] < sizes[0]


def test_a_bound_below_the_usual_one_is_refused():
    with pytest.raises(ValueError, match=r"fvv\.hold_most"):
        FvvConfig(hold_most=1.0)
