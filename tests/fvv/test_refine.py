"""The refinement layer: what it adds, and that everything goes on without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.fvv import Decoder, Encoder, FvvConfig, FvvError, FvvReader, SourceFrame, make_header
from igs.fvv.chunks import FRAME, INTRA, Chunk, make_chunk
from igs.fvv.header import StreamHeader
from igs.gaussians import Gaussians

from .conftest import cloud, stream, write
from .test_codec import check_errors

LAYER = 4  # as documented
FINE = FvvConfig(intra_interval=8, level=3, refine=4)


def coded(
    degree: int = 1, config: FvvConfig = FINE
) -> tuple[StreamHeader, Encoder, list[SourceFrame]]:
    frames = stream(200, 10, degree)
    header = make_header(frames[0].gaussians, config)
    return header, Encoder(header, config), frames


def without(chunks: list[Chunk], layer: int = LAYER) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.header.layer != layer]


def same(a: Gaussians, b: Gaussians) -> bool:
    return all(torch.equal(t, getattr(b, name)) for name, t in a.tensors().items())


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_both_qualities_keep_to_their_stated_errors(degree: int):
    header, encoder, frames = coded(degree)
    fine, coarse = Decoder(header), Decoder(header)
    for frame in frames:
        chunks = encoder.push(frame)
        assert [c.header.layer for c in chunks] == [*range(degree + 1), LAYER]
        source = frame.gaussians.select(torch.from_numpy(encoder._sources))
        whole, rough = fine.decode(chunks), coarse.decode(without(chunks))
        check_errors(source, whole.gaussians, header.refined_error_bounds)
        check_errors(source, rough.gaussians, header.error_bounds)
        assert (whole.layers, rough.layers) == (degree + 2, degree + 1)
    for name, finer in header.refined_error_bounds.items():
        assert finer < 0.9 * header.error_bounds[name], name


def test_the_refined_stream_has_the_steps_asked_for():
    plain = make_header(cloud(200, 1), replace(FINE, refine=1)).error_bounds
    refined = make_header(cloud(200, 1), FINE).refined_error_bounds
    for name, bound in plain.items():
        # Grids that count steps to 1 are rounded to whole steps.
        assert refined[name] == pytest.approx(bound, rel=0.05), name


def test_without_the_layer_there_is_none():
    header, encoder, frames = coded(config=replace(FINE, refine=1))
    assert header.refine == 1
    assert "refine" not in header.to_json()
    assert [c.header.layer for c in encoder.push(frames[0])] == [0, 1]


def test_a_frame_without_the_layer_is_coarse_for_itself_or_until_the_next_intra_frame():
    header, encoder, frames = coded()
    every = [encoder.push(frame) for frame in frames]
    whole, coarse = Decoder(header), Decoder(header)
    full = [whole.decode(chunks).gaussians for chunks in every]
    rough = [coarse.decode(without(chunks)).gaussians for chunks in every]
    assert every[8][0].header.flags & INTRA
    # Frame 2 is a candidate, frame 4 a reference.
    for lost, poor in ((2, {2}), (4, {4, 5, 6, 7})):
        decoder = Decoder(header)
        for number, chunks in enumerate(every):
            given = without(chunks) if number == lost else chunks
            got = decoder.decode(given)
            assert same(got.gaussians, (rough if number in poor else full)[number]), number
            assert got.layers == (2 if number in poor else 3)


def test_without_harmonics_the_layer_is_of_no_use():
    header, encoder, frames = coded()
    chunks = encoder.push(frames[0])
    base = Decoder(header).decode(chunks[:1])
    odd = Decoder(header).decode(without(chunks, layer=1))
    assert same(base.gaussians, odd.gaussians)
    assert (base.layers, odd.layers) == (1, 1)


def test_who_joins_late_gets_the_fine_steps_too():
    header, encoder, frames = coded()
    early, late = Decoder(header), Decoder(header)
    for frame in frames[:8]:
        chunks = encoder.push(frame)
        first = early.decode(chunks)
        if frame.index == 5:
            assert late.decode(encoder.snapshot()).layers == 3
        elif frame.index > 5:
            assert same(first.gaussians, late.decode(chunks).gaussians)


def test_files_keep_it_and_damage_to_it_is_no_harm_to_others(tmp_path: Path):
    path = tmp_path / "a.fvv"
    header = write(path, stream(100, 10), FINE)
    with FvvReader(path) as reader:
        assert reader.header.refine == 4
        assert reader.header.refined_error_bounds == header.refined_error_bounds
        rough = [f.gaussians for f in reader.frames(layers=2)]
        fine = [f.gaussians for f in reader.frames()]
        assert [f.layers for f in reader.frames()] == [3] * 10
        offset, length = reader.entries[8].layers[LAYER]
    data = bytearray(path.read_bytes())
    data[offset + length - 1] ^= 1
    path.write_bytes(bytes(data))
    with FvvReader(path) as reader:
        got = [f.gaussians for f in reader.frames()]
        assert all(map(same, got, fine[:8] + rough[8:]))
        assert [d.frame for d in reader.damage] == [8]


@pytest.mark.parametrize("which", [0, 1])
def test_residues_that_do_not_fit_are_refused(which: int):
    header, encoder, frames = coded(config=replace(FINE, codec="raw"))
    decoder = Decoder(header)
    for frame in frames[:which]:
        decoder.decode(encoder.push(frame))
    chunks = encoder.push(frames[which])
    old, payload = chunks[-1].header, bytearray(chunks[-1].payload)
    payload[0] ^= 1
    words = {k: getattr(old, k) for k in ("layer", "flags", "frame", "refers_to")}
    chunks[-1] = make_chunk(bytes(payload), kind=FRAME, **words)
    with pytest.raises(FvvError, match="another number"):
        decoder.decode(chunks)


@pytest.mark.parametrize("factor", [1, 65, "2", True])
def test_a_factor_out_of_range_is_refused(factor: object):
    header, _, _ = coded()
    values = header.to_json()
    values["refine"]["factor"] = factor
    with pytest.raises(FvvError, match=r"refine\.factor"):
        StreamHeader._from_json(values)


def test_residues_stay_where_nothing_changes():
    header, encoder, frames = coded()
    encoder.push(frames[0])
    again = encoder.push(SourceFrame(1, 0.1, frames[0].gaussians))
    assert len(again[-1]) < 100
    decoder = Decoder(header)
    decoder.decode(encoder.snapshot())
    assert decoder._residues is not None
    assert np.any(decoder._residues[0])
