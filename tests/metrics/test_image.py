"""PSNR and SSIM against torchmetrics, scikit-image and the original's numbers."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fused_ssim import ssim as fused_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from igs.metrics import Psnr, Ssim, decibels, psnr, ssim

_DEFAULT = Path(__file__).resolve().parents[2].parent / "shared"


@pytest.fixture(scope="module")
def frame0() -> dict[str, np.ndarray]:
    path = Path(os.environ.get("IGS_SHARED", _DEFAULT)) / "parity/frame0/frame0_ops.npz"
    if not path.is_file():
        pytest.skip(f"fixture {path.name} is not there; set IGS_SHARED to the folder with parity/")
    with np.load(path) as arrays:
        return dict(arrays)


def pair(height: int = 45, width: int = 52, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth image and a disturbed copy, both in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    image = F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)
    noise = torch.randn(3, height, width, generator=generator)
    return image, (image * 0.9 + 0.08 * noise).clamp(0, 1)


def framed(image: torch.Tensor) -> torch.Tensor:
    """In a black frame of 10 pixels, so that a library without padding sees our zero padding."""
    return F.pad(image, (10, 10, 10, 10))


def test_psnr_agrees_with_both_libraries() -> None:
    image, target = pair()
    got = psnr(image, target)
    assert got == pytest.approx(torchmetrics_psnr(image, target, data_range=1.0).item(), abs=1e-4)
    oracle = peak_signal_noise_ratio(target.numpy(), image.numpy(), data_range=1.0)
    assert got == pytest.approx(oracle, abs=1e-4)


@pytest.mark.parametrize("size", [(45, 52), (11, 11), (5, 40)])
def test_ssim_agrees_with_scikit_image(size: tuple[int, int]) -> None:
    """Same window, population variances; our zero padding shown to it as a black frame."""
    image, target = pair(*size)
    full = structural_similarity(
        framed(image).numpy(), framed(target).numpy(), channel_axis=0, data_range=1.0,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True,
    )[1]  # fmt: skip
    assert ssim(image, target) == pytest.approx(full[:, 10:-10, 10:-10].mean(), abs=1e-5)


def test_ssim_agrees_with_torchmetrics() -> None:
    """It cuts 5 pixels off before its mean, so it is shown our image in a black frame of 10."""
    image, target = pair()
    _, full = torchmetrics_ssim(
        framed(image)[None], framed(target)[None], sigma=1.5, kernel_size=11, data_range=1.0,
        gaussian_kernel=True, return_full_image=True,
    )  # fmt: skip
    assert full.shape[-2:] == (65, 72)
    assert ssim(image, target) == pytest.approx(full[..., 10:-10, 10:-10].mean().item(), abs=1e-5)


@pytest.mark.parity
def test_figures_match_the_original(frame0: dict[str, np.ndarray]) -> None:
    """The fixture's image leaves 0..1 and the original does not clamp: its parts are compared."""
    image, target = (torch.from_numpy(frame0[k]) for k in ("loss_img", "loss_gt"))
    squared = float((image - target).square().mean())
    assert decibels(squared) == pytest.approx(float(frame0["psnr_per_image"]), abs=1e-4)
    assert float(fused_ssim(image, target)) == pytest.approx(float(frame0["loss_ssim"]), abs=1e-5)


def test_values_are_clamped_first() -> None:
    image, target = pair()
    wild = torch.where(target == target.max(), 7.0, target)
    tame = torch.where(target == target.max(), 1.0, target)
    assert psnr(image, wild) == psnr(image, tame)
    assert ssim(image, wild) == ssim(image, tame)


def test_equal_images() -> None:
    image, _ = pair()
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("metric", [Psnr, Ssim])
def test_classes_take_the_mean_of_images(metric: type[Psnr | Ssim]) -> None:
    function = {Psnr: psnr, Ssim: ssim}[metric]
    pairs = [pair(seed=0), pair(20, 90, seed=1), pair(seed=2)]
    collected = metric()
    returned = [collected.update(*p) for p in pairs]
    assert returned == collected.values == [function(*p) for p in pairs]
    assert collected.compute() == pytest.approx(float(np.mean(returned)))
    collected.reset()
    with pytest.raises(ValueError, match="no image has been measured"):
        collected.compute()


@pytest.mark.parametrize("function", [psnr, ssim])
def test_two_shapes_are_refused(function) -> None:
    with pytest.raises(ValueError, match=r"\(3, 8, 8\) and target \(3, 8, 9\) differ"):
        function(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9))
