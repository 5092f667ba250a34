"""Values, gradients and refusals of the loss, against the torch twin and other libraries."""

import numpy as np
import pytest
import torch
from fused_ssim import _native, photometric_loss, reference, ssim, ssim_map
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

SIZES = [(1, 1, 1), (3, 5, 7), (3, 11, 11), (2, 1, 40), (1, 40, 1), (2, 3, 37, 53), (1, 97, 12)]


def image_pair(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A random image and a disturbed copy of it."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    return (target + 0.1 * noise).clamp(0, 1), target


def value_and_gradient(function, image, target, **kwargs):
    leaf = image.clone().requires_grad_()
    value = function(leaf, target, **kwargs)
    value.backward()
    assert leaf.grad is not None
    return value.item(), leaf.grad


@pytest.mark.parametrize("shape", [*SIZES, (1, 100, 1601)])
@pytest.mark.parametrize("lambda_l1", [0.0, 0.8, 1.0])
def test_matches_twin_in_double(shape, lambda_l1):
    image, target = image_pair(shape)
    value, gradient = value_and_gradient(photometric_loss, image, target, lambda_l1=lambda_l1)
    expected, expected_gradient = value_and_gradient(
        reference.photometric_loss, image.double(), target.double(), lambda_l1=lambda_l1
    )
    assert value == pytest.approx(expected, abs=5e-7)
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize("shape", SIZES)
def test_ssim_matches_twin_in_double(shape):
    image, target = image_pair(shape)
    value, gradient = value_and_gradient(ssim, image, target)
    expected, expected_gradient = value_and_gradient(
        reference.ssim, image.double(), target.double()
    )
    assert value == pytest.approx(expected, abs=1e-6)
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=0, atol=5e-6 * scale)


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 120),
    width=st.integers(1, 60),
    seed=st.integers(0, 2**31),
)
def test_any_size(channels, height, width, seed):
    image, target = image_pair((channels, height, width), seed)
    value, gradient = value_and_gradient(photometric_loss, image, target)
    expected, expected_gradient = value_and_gradient(
        reference.photometric_loss, image.double(), target.double()
    )
    assert value == pytest.approx(expected, abs=1e-6)
    scale = expected_gradient.abs().max().item()
    assert (gradient - expected_gradient).abs().max().item() <= 2e-5 * scale


@pytest.mark.parametrize("variant", _native.simd_variants())
def test_every_simd_variant(variant):
    image, target = image_pair((2, 130, 803))
    _, expected = value_and_gradient(reference.photometric_loss, image.double(), target.double())
    gradient = torch.full_like(image, torch.nan)
    l1, similarity = _native.l1_ssim(image, target, gradient, 0.8, -0.2, 2, variant)
    assert l1 == pytest.approx((image - target).double().abs().mean().item(), rel=1e-6)
    twin = reference.ssim(image.double(), target.double()).item()
    assert similarity == pytest.approx(twin, abs=1e-6)
    scale = expected.abs().max().item()
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=5e-6 * scale)
    values_only = _native.l1_ssim(image, target, None, 0.8, -0.2, 2, variant)
    assert values_only == pytest.approx((l1, similarity), abs=1e-7)


def test_same_bits_for_any_thread_count():
    image, target = image_pair((3, 250, 310))
    results = []
    for threads in (1, 2, 5):
        gradient = torch.empty_like(image)
        means = _native.l1_ssim(image, target, gradient, 0.8, -0.2, threads)
        results.append((means, gradient))
    for means, gradient in results[1:]:
        assert means == results[0][0]
        assert torch.equal(gradient, results[0][1])


def test_twin_gradient_by_finite_differences():
    image, target = image_pair((2, 9, 13), seed=3)
    leaf = image.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: photometric_loss(x, target.double()), (leaf,))
    assert torch.autograd.gradcheck(lambda x: ssim(x, target.double()), (leaf,))


def test_native_gradient_by_finite_differences():
    image, target = image_pair((1, 24, 31), seed=5)
    _, gradient = value_and_gradient(ssim, image, target)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        direction = torch.randn(image.shape, generator=generator)
        step = 1e-4 * direction.double()
        above = reference.ssim(image.double() + step, target.double())
        below = reference.ssim(image.double() - step, target.double())
        slope = ((above - below) / 2e-4).item()
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 37, 53), (2, 1, 64, 40)])
def test_against_torchmetrics_and_skimage(shape):
    """Away from the border: the two others pad by reflection."""
    image, target = image_pair(shape)
    inner = (..., slice(5, -5), slice(5, -5))
    ours = ssim_map(image, target)[inner].double().mean().item()
    _, theirs = structural_similarity_index_measure(
        image,
        target,
        gaussian_kernel=True,
        sigma=1.5,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    assert ours == pytest.approx(theirs[inner].double().mean().item(), abs=2e-6)
    settings_of_wang = {
        "channel_axis": 0,
        "gaussian_weights": True,
        "sigma": 1.5,
        "truncate": 3.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
        "full": True,
    }
    planes = [t.reshape(-1, *shape[2:]).double().numpy() for t in (image, target)]
    full = structural_similarity(*planes, **settings_of_wang)[1]
    assert ours == pytest.approx(float(np.asarray(full)[inner].mean()), abs=2e-6)


def test_equal_images_and_upstream_factor():
    image, target = image_pair((3, 20, 30))
    assert ssim(target, target).item() == pytest.approx(1.0, abs=1e-6)
    assert photometric_loss(target, target).item() == pytest.approx(0.0, abs=1e-6)
    _, once = value_and_gradient(photometric_loss, image, target)
    leaf = image.clone().requires_grad_()
    (3 * photometric_loss(leaf, target)).backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, 3 * once)


def test_non_contiguous_inputs():
    image, target = image_pair((20, 30, 3))
    leaf = image.permute(2, 0, 1).detach().requires_grad_()
    photometric_loss(leaf, target.permute(2, 0, 1)).backward()
    _, expected = value_and_gradient(
        photometric_loss, image.permute(2, 0, 1).contiguous(), target.permute(2, 0, 1).contiguous()
    )
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, expected)


def test_gradient_of_the_target_is_not_lost():
    image, target = image_pair((3, 20, 30))
    leaf = target.clone().requires_grad_()
    photometric_loss(image, leaf).backward()
    _, expected = value_and_gradient(lambda t, i: reference.photometric_loss(i, t), target, image)
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, expected)


def test_no_gradient_when_none_is_wanted():
    image, target = image_pair((3, 20, 30))
    leaf = image.clone().requires_grad_()
    with torch.no_grad():
        value = photometric_loss(leaf, target)
    assert not value.requires_grad
    assert value.item() == pytest.approx(photometric_loss(leaf, target).item(), abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_is_passed_on(dtype):
    image, target = (t.to(dtype) for t in image_pair((1, 40, 40)))
    image[0, 20, 20] = torch.nan
    value, gradient = value_and_gradient(photometric_loss, image, target)
    assert np.isnan(value)
    assert gradient[0, 20, 20].isnan()
    assert gradient[0, 0, 0].isfinite()


@pytest.mark.parametrize(
    ("image", "target", "error", "words"),
    [
        (torch.rand(3, 4, 5), torch.rand(3, 4, 6), ValueError, r"\(3, 4, 5\).*\(3, 4, 6\)"),
        (torch.rand(4, 5), torch.rand(4, 5), ValueError, r"expected a non-empty \(C, H, W\)"),
        (torch.rand(3, 0, 5), torch.rand(3, 0, 5), ValueError, "non-empty"),
        (torch.rand(1, 4, 5).half(), torch.rand(1, 4, 5).half(), TypeError, "float16"),
        (torch.ones(1, 4, 5).byte(), torch.rand(1, 4, 5), TypeError, "uint8"),
        (torch.rand(1, 4, 5).double(), torch.rand(1, 4, 5), TypeError, "float64.*float32"),
        (np.zeros((1, 4, 5)), torch.rand(1, 4, 5), TypeError, "ndarray"),
        (torch.rand(1, 4, 5), torch.rand(1, 4, 5, device="meta"), ValueError, "meta"),
    ],
)
def test_refusals(image, target, error, words):
    for function in (photometric_loss, ssim):
        with pytest.raises(error, match=words):
            function(image, target)


@pytest.mark.parametrize("lambda_l1", [-0.1, 1.1, float("nan")])
def test_refuses_weights_that_are_none(lambda_l1):
    image, target = image_pair((1, 4, 5))
    with pytest.raises(ValueError, match="from 0 to 1"):
        photometric_loss(image, target, lambda_l1=lambda_l1)


def test_native_module_checks_shapes_itself():
    image = torch.rand(1, 4, 5)
    with pytest.raises(ValueError, match="gradient differs"):
        _native.l1_ssim(image, image, torch.empty(1, 4, 6), 1.0, 0.0, 1)
    with pytest.raises(ValueError, match="cannot run here"):
        _native.l1_ssim(image, image, None, 1.0, 0.0, 1, "sse9")
