"""Encoder and decoder: stated errors, the same integers on both sides, layers, dropped frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from igs.fvv import PRESETS, Decoder, Encoder, FvvConfig, FvvError, Limits, SourceFrame, make_header
from igs.fvv.chunks import INTRA, REFERENCE
from igs.fvv.match import match_rows
from igs.fvv.rows import Grid, to_steps
from igs.gaussians import SH_C0, Gaussians

from .conftest import cloud, moved, refined, stream

ROUNDING = 1.001  # float32 of what is decoded


def quat_angle(a: Gaussians, b: Gaussians) -> float:
    dot = (a.unit_quats.double() * b.unit_quats.double()).sum(dim=1).abs().clamp(max=1)
    return float(2 * torch.acos(dot).max())


def check_errors(source: Gaussians, coded: Gaussians, bounds: dict[str, float]) -> None:
    def worst(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a.double() - b.double()).abs().max())

    assert worst(source.means, coded.means) <= bounds["position"] * ROUNDING
    assert quat_angle(source, coded) <= bounds["rotation"] * ROUNDING
    assert worst(source.log_scales, coded.log_scales) <= bounds["log_scale"] * ROUNDING
    assert worst(source.opacities, coded.opacities) <= bounds["opacity"] * ROUNDING
    assert worst(source.sh[:, 0], coded.sh[:, 0]) * SH_C0 <= bounds["color"] * ROUNDING
    for d in range(1, source.sh_degree + 1):
        part = slice(d * d, (d + 1) ** 2)
        assert worst(source.sh[:, part], coded.sh[:, part]) <= bounds[f"sh{d}"] * ROUNDING


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_every_frame_keeps_to_the_stated_errors(preset: str, degree: int):
    config = replace(PRESETS[preset], intra_interval=8, level=3)
    source = stream(200, 10, degree)
    header = make_header(source[0].gaussians, config)
    encoder, decoder = Encoder(header, config), Decoder(header)
    for frame in source:
        decoded = decoder.decode(encoder.push(frame))
        order = torch.from_numpy(encoder._sources)
        assert sorted(order.tolist()) == list(range(len(frame.gaussians)))
        assert decoded.layers == len(header.layers)
        bounds = header.refined_error_bounds or header.error_bounds
        check_errors(frame.gaussians.select(order), decoded.gaussians, bounds)
        assert encoder._rows is not None
        assert decoder._rows is not None
        assert encoder._rows.equals(decoder._rows)
        assert (decoded.index, decoded.is_key) == (frame.index, frame.is_key)
        assert decoded.seconds == pytest.approx(frame.seconds, abs=1e-5)


def test_a_scene_at_rest_costs_next_to_nothing():
    config = FvvConfig(level=3)
    scene = cloud(500, 4)
    encoder = Encoder(make_header(scene, config), config)
    first = sum(len(c) for c in encoder.push(SourceFrame(0, 0.0, scene)))
    again = sum(len(c) for c in encoder.push(SourceFrame(1, 0.1, scene)))
    assert again < 200 < first / 20


def test_rigid_motion_costs_less_than_coding_the_moved_rows():
    config = FvvConfig(level=3)
    scene = cloud(3000, 4)
    encoder = Encoder(make_header(scene, config), config)
    first = sum(len(c) for c in encoder.push(SourceFrame(0, 0.0, scene)))
    shown = SourceFrame(1, 0.1, moved(scene, 2), is_key=False, same_rows=True)
    # A third moves; its own quaternions turn about axes of their own.
    assert sum(len(c) for c in encoder.push(shown)) < first / 8


def test_candidates_may_be_dropped(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder, whole, sparse = Encoder(header, config), Decoder(header), Decoder(header)
    for frame in frames:
        chunks = encoder.push(frame)
        full = whole.decode(chunks)
        assert bool(chunks[0].header.flags & REFERENCE) == frame.is_key
        if frame.is_key:
            part = sparse.decode(chunks)
            for name, tensor in full.gaussians.tensors().items():
                assert torch.equal(tensor, getattr(part.gaussians, name))


def test_layers_may_be_dropped_and_come_back_with_the_next_intra_frame(config: FvvConfig):
    source = stream(200, 10, 2)
    header = make_header(source[0].gaussians, config)
    encoder, whole, base = Encoder(header, config), Decoder(header), Decoder(header)
    for frame in source:
        chunks = encoder.push(frame)
        full = whole.decode(chunks)
        assert full.layers == 3
        # The base alone, then from frame 4 on everything again.
        got = base.decode(chunks[:1] if frame.index < 4 else chunks)
        assert torch.equal(got.gaussians.means, full.gaussians.means)
        assert torch.equal(got.gaussians.sh[:, 0], full.gaussians.sh[:, 0])
        if frame.index < 8:
            assert got.layers == 1
            assert not got.gaussians.sh[:, 1:].any()
        else:  # frame 8 is intra
            assert bool(chunks[0].header.flags & INTRA) == (frame.index == 8)
            assert torch.equal(got.gaussians.sh, full.gaussians.sh)


def test_who_joins_late_gets_the_same(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder, early, late = Encoder(header, config), Decoder(header), Decoder(header)
    with pytest.raises(ValueError, match="no frame"):
        encoder.snapshot()
    for frame in frames:
        chunks = encoder.push(frame)
        first = early.decode(chunks)
        if frame.index == 5:
            joined = late.decode(encoder.snapshot())
            assert joined.index == 4
        elif frame.index > 5:
            second = late.decode(chunks)
            for name, tensor in first.gaussians.tensors().items():
                assert torch.equal(tensor, getattr(second.gaussians, name))


def test_a_frame_without_its_reference_is_refused(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder, decoder = Encoder(header, config), Decoder(header)
    coded = [encoder.push(frame) for frame in frames[:6]]
    with pytest.raises(FvvError, match="refers to frame 0"):
        decoder.decode(coded[1])
    decoder.decode(coded[0])
    with pytest.raises(FvvError, match="refers to frame 4"):
        decoder.decode(coded[5])
    assert decoder.reference == 0


def test_decoded_frames_share_nothing(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder, decoder = Encoder(header, config), Decoder(header)
    first = decoder.decode(encoder.push(frames[0])).gaussians
    kept = first.means.clone()
    for tensor in first.tensors().values():
        tensor.zero_()
    second = decoder.decode(encoder.push(frames[1])).gaussians
    check_errors(
        frames[1].gaussians.select(torch.from_numpy(encoder._sources)), second, header.error_bounds
    )
    assert (kept - second.means).abs().max() < 0.5


def test_rows_are_found_again_whatever_their_order():
    old = cloud(400, 2)
    rng = np.random.default_rng(0)
    order = rng.permutation(400)
    new = old.select(torch.from_numpy(order))
    grid = make_header(old, FvvConfig()).grid
    found = match_rows(to_steps(old, grid, 1), to_steps(new, grid, 1))
    np.testing.assert_array_equal(order[found], np.arange(400))
    jittered = new.replace(means=new.means + 0.003, log_scales=new.log_scales + 0.01)
    found = match_rows(to_steps(old, grid, 1), to_steps(jittered, grid, 1))
    assert (order[found] == np.arange(400)).mean() > 0.98


def test_removed_and_added_rows_are_told():
    old = cloud(400, 2)
    new = refined(old, 9)
    grid = make_header(old, FvvConfig()).grid
    found = match_rows(to_steps(old, grid, 1), to_steps(new, grid, 1))
    taken = found[found >= 0]
    assert len(set(taken.tolist())) == len(taken)
    assert 380 <= len(taken) <= 400


def test_bad_input_is_named(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder = Encoder(header, config)
    encoder.push(frames[0])
    with pytest.raises(ValueError, match="comes after frame 0"):
        encoder.push(frames[0])
    broken = frames[1].gaussians.replace(means=frames[1].gaussians.means * float("nan"))
    with pytest.raises(ValueError, match=r"frame 1: .*finite"):
        encoder.push(SourceFrame(1, 0.0, broken))
    with pytest.raises(ValueError, match="300"):
        encoder.push(SourceFrame(1, 0.0, cloud(5, 0), is_key=False, same_rows=True))
    with pytest.raises(ValueError, match="no Gaussians"):
        make_header(cloud(0, 0), config)


def test_more_gaussians_than_allowed_are_refused(frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    with pytest.raises(FvvError, match="limit is 100"):
        Decoder(header, Limits(gaussians=100)).decode(Encoder(header, config).push(frames[0]))


@pytest.mark.parametrize(
    "change", [{"position": 0.0}, {"quat": 40000}, {"origin": (0, 0, float("inf"))}, {"opacity": 0}]
)
def test_a_grid_that_makes_no_sense_is_refused(change: dict):
    good = Grid((0.0, 0.0, 0.0), 0.1, 56, 0.1, 48, 0.01, (0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="grid"):
        replace(good, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"hold": -1.0},
        {"codec": "lzma"},
        {"level": 0},
        {"sh": 0.0},
        {"refine": 65},
        {"intra_interval": 0},
    ],
)
def test_settings_out_of_range_are_named(change: dict):
    with pytest.raises(ValueError, match=f"fvv.{next(iter(change))}"):
        FvvConfig(**change)
