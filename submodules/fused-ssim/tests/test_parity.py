"""The loss of the original training program, from the fixtures."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from fused_ssim import photometric_loss, reference, ssim

PROJECT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("IGS_SHARED", PROJECT.parent / "shared"))
FIXTURE = SHARED / "parity" / "frame0" / "frame0_ops.npz"

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not FIXTURE.is_file(), reason=f"no fixture at {FIXTURE}"),
]


@pytest.mark.parametrize("loss", [photometric_loss, reference.photometric_loss])
def test_loss_and_gradient(loss):
    with np.load(FIXTURE) as arrays:
        image = torch.from_numpy(arrays["loss_img"]).requires_grad_()
        target = torch.from_numpy(arrays["loss_gt"])
        value = loss(image, target)
        value.backward()
        assert image.grad is not None
        assert value.item() == pytest.approx(float(arrays["loss_total"]), abs=1e-5)
        l1 = loss(image, target, lambda_l1=1.0).item()
        assert l1 == pytest.approx(float(arrays["loss_l1"]), abs=1e-5)
        expected = arrays["loss_grad_img"]
        error = np.abs(image.grad.numpy() - expected).max()
        assert error <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("function", [ssim, reference.ssim])
def test_ssim(function):
    with np.load(FIXTURE) as arrays:
        image = torch.from_numpy(arrays["loss_img"])
        target = torch.from_numpy(arrays["loss_gt"])
        assert function(image, target).item() == pytest.approx(float(arrays["loss_ssim"]), abs=1e-5)
