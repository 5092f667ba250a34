"""Behaviour of the network apart from the fixtures."""

from __future__ import annotations

import pytest
import torch
from gmflow import FeatureExtractor, GMFlow, GMFlowConfig, global_matching
from gmflow.padding import Padding
from gmflow.transformer import TransformerBlock, make_shift, windowed_attention
from gmflow.windows import cut, join, shift_mask
from torch.nn import functional as F
from torch.testing import assert_close

SMALL = GMFlowConfig.small()


@pytest.fixture(scope="module")
def network() -> GMFlow:
    torch.manual_seed(1)
    return GMFlow(SMALL).eval()


def pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 3, height, width) * 255
    return images[:1], images[1:]


def test_parameter_counts():
    count = {
        kind: sum(p.numel() for p in kind().parameters()) for kind in (FeatureExtractor, GMFlow)
    }
    assert count == {FeatureExtractor: 4_199_456, GMFlow: 4_680_288}


def test_windows_are_cut_and_joined_without_loss():
    tokens = torch.rand(2, 6, 9, 4)
    parts = cut(tokens, 3)
    assert parts.shape == (2, 9, 6, 4)
    assert_close(parts[:, 5], tokens[:, 2:4, 6:9].reshape(2, 6, 4))
    assert_close(join(parts, 3, 6, 9), tokens)


def test_shifted_attention_equals_attention_within_regions():
    """Plain attention over the rolled map, restricted pair by pair, is the oracle."""
    h, w, windows = 8, 12, 2
    q, k, v = torch.rand(3, 1, h, w, 4).unbind()
    shift = make_shift(q, windows)
    got = windowed_attention(q, k, v, windows, shift)

    rolled = [x.roll((-shift.rows, -shift.columns), (1, 2)).reshape(h * w, 4) for x in (q, k, v)]
    row, column = torch.arange(h * w) // w, torch.arange(h * w) % w
    # Tokens of one window that were not neighbours before the roll lie across the wrap.
    window = (row // (h // windows)) * windows + column // (w // windows)
    wrapped = (row >= h - shift.rows) * 2 + (column >= w - shift.columns) * 1
    allowed = (window[:, None] == window[None]) & (wrapped[:, None] == wrapped[None])
    scores = (rolled[0] @ rolled[1].T / 2).masked_fill(~allowed, -torch.inf)
    want = (scores.softmax(-1) @ rolled[2]).view(1, h, w, 4)
    assert_close(got, want.roll((shift.rows, shift.columns), (1, 2)), atol=1e-5, rtol=1e-5)


def test_mask_is_minus_hundred_and_symmetric():
    mask = shift_mask(8, 8, 2, torch.zeros(()))
    assert set(mask.unique().tolist()) == {-100.0, 0.0}
    assert_close(mask, mask.transpose(1, 2))
    assert not mask[0].any()  # the first window meets no border
    assert mask[3].any()


def test_swapping_the_images_swaps_the_features(network):
    image0, image1 = pair(32, 48)
    a0, a1 = FeatureExtractor.forward(network, image0, image1)
    b0, b1 = FeatureExtractor.forward(network, image1, image0)
    assert_close(a0, b1, atol=1e-5, rtol=1e-5)
    assert_close(a1, b0, atol=1e-5, rtol=1e-5)


def test_matching_finds_a_cyclic_move():
    features = torch.randn(1, 64, 8, 10) * 20
    flow = global_matching(features, features.roll((2, 3), (2, 3)))
    assert_close(flow[0, 0, :6, :7], torch.full((6, 7), 3.0), atol=1e-3, rtol=0)
    assert_close(flow[0, 1, :6, :7], torch.full((6, 7), 2.0), atol=1e-3, rtol=0)


def test_upsampler_with_equal_weights_averages_neighbours(network):
    upsampler = network.upsampler
    saved = {k: v.clone() for k, v in upsampler.state_dict().items()}
    with torch.no_grad():
        upsampler.weights.weight.zero_()
        upsampler.weights.bias.zero_()
        flow = torch.rand(1, 2, 4, 5)
        fine = upsampler(torch.rand(1, 64, 4, 5), flow)
    upsampler.load_state_dict(saved)
    want = F.avg_pool2d(8 * flow, 3, stride=1, padding=1)
    assert_close(fine, want.repeat_interleave(8, 2).repeat_interleave(8, 3))


def test_bidirectional_flow_is_both_flows(network):
    image0, image1 = pair(32, 48)
    with torch.no_grad():
        both = network(image0, image1, bidirectional=True)
        there, back = network(image0, image1), network(image1, image0)
    assert_close(both, torch.cat([there, back]), atol=1e-3, rtol=1e-4)


def test_flow_of_any_size(network):
    image0, image1 = pair(37, 50)
    flow = network.flow(image0, image1)
    assert flow.shape == (1, 2, 37, 50)
    single = network.flow(image0[0].to(torch.uint8), image1[0].to(torch.uint8))
    assert single.shape == (2, 37, 50)
    assert network.flow(image0, image1, bidirectional=True).shape == (2, 2, 37, 50)
    padded = [F.pad(i, (7, 7, 5, 6), mode="replicate") for i in (image0, image1)]
    with torch.no_grad():
        assert_close(flow, network(*padded)[..., 5:42, 7:57])


def test_padding_puts_the_smaller_half_first():
    assert Padding.to_multiple(37, 51, 16) == Padding(left=6, right=7, top=5, bottom=6)
    assert Padding.to_multiple(37, 51, 16, all_below=True) == Padding(6, 7, 0, 11)
    assert Padding.to_multiple(32, 64, 16) == Padding(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("size", "message"),
    [((30, 32), "multiples of 16, got 30 x 32"), ((32, 24), "multiples of 16, got 32 x 24")],
)
def test_sizes_that_do_not_fit_are_refused(network, size, message):
    with pytest.raises(ValueError, match=message):
        network(*pair(*size))


def test_unequal_images_are_refused(network):
    with pytest.raises(ValueError, match="differ in shape"):
        network(pair(32, 32)[0], pair(32, 48)[0])
    with pytest.raises(ValueError, match=r"must be \(B, 3, H, W\)"):
        network.flow(torch.rand(1, 4, 32, 32), torch.rand(1, 4, 32, 32))


def test_gradients_reach_every_parameter():
    network = GMFlow(SMALL)
    network(*pair(32, 48)).square().mean().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_bfloat16_autocast_stays_near(network):
    image0, image1 = pair(32, 48)
    with torch.no_grad():
        want, _ = FeatureExtractor.forward(network, image0, image1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got, _ = FeatureExtractor.forward(network, image0, image1)
            assert network(image0, image1).dtype == torch.float32
    assert (got - want).abs().mean() < 0.05 * want.abs().mean()


def test_initial_weights_follow_the_rule():
    torch.manual_seed(0)
    network = GMFlow()
    fan_out = 128 * 9
    second = network.encoder.get_submodule("stages.2.1.second").get_parameter("weight")
    assert second.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    bound = (6 / 256) ** 0.5
    for part in (network.transformer.blocks[0], network.propagation):
        matrix = next(p for p in part.parameters() if p.ndim == 2)
        assert bound * 0.99 < matrix.abs().max().item() <= bound


def test_block_updates_the_source_only():
    block = TransformerBlock(8, 2)
    source, target = torch.rand(2, 1, 4, 4, 8).unbind()
    before = target.clone()
    assert block(source, target, 2).shape == source.shape
    assert_close(target, before)


@pytest.mark.parametrize(
    ("field", "value"), [("channels", 130), ("blocks", 0), ("widths", (1, 2)), ("windows", 0)]
)
def test_bad_configs_name_the_field(field, value):
    with pytest.raises(ValueError, match=field):
        GMFlowConfig(**{field: value})
