"""Files: seeking, growing, cut off at every byte, damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from igs.fvv import (
    Encoder,
    FvvConfig,
    FvvError,
    FvvReader,
    FvvWriter,
    SourceFrame,
    make_header,
)
from igs.fvv.chunks import HEADER_BYTES
from igs.scene import Camera

from .conftest import stream, write


def means(reader: FvvReader) -> dict[int, torch.Tensor]:
    return {frame.index: frame.gaussians.means for frame in reader.frames()}


def test_a_finished_file_is_whole(path: Path, frames: list[SourceFrame]):
    with FvvReader(path) as reader:
        assert reader.indexed
        assert [e.frame for e in reader.entries] == list(range(12))
        assert list(means(reader)) == list(range(12))
        assert not reader.damage
        assert reader.unread == 0
        assert sum(e.num_bytes for e in reader.entries) < path.stat().st_size


def test_any_frame_can_be_had_by_itself(path: Path):
    with FvvReader(path) as reader:
        played = {f.index: f.gaussians for f in reader.frames()}
        for index in (11, 0, 6, 8, 3):
            alone = reader.frame(index).gaussians
            for name, tensor in played[index].tensors().items():
                assert torch.equal(tensor, getattr(alone, name))
        assert [f.index for f in reader.frames(5, 10)] == [5, 6, 7, 8, 9]
        with pytest.raises(FvvError, match="no frame 12"):
            reader.frame(12)


def test_seeking_reads_no_more_than_needed(path: Path, monkeypatch: pytest.MonkeyPatch):
    with FvvReader(path) as reader:
        read: list[int] = []
        chunks = FvvReader.chunks

        def noted(self, entry, layers=None):
            read.append(entry.frame)
            return chunks(self, entry, layers)

        monkeypatch.setattr(FvvReader, "chunks", noted)
        reader.frame(7)
        assert read == [0, 4, 7]
        read.clear()
        reader.frame(10)
        assert read == [8, 10]


def test_header_comes_back(tmp_path: Path, frames: list[SourceFrame], config: FvvConfig):
    camera = Camera("left", 64, 48, 50.0, 51.0, 31.5, 24.0, np.eye(4))
    header = make_header(
        frames[0].gaussians, config, cameras={"left": camera}, background=(0, 0.5, 1)
    )
    with FvvWriter(tmp_path / "a.fvv", header):
        pass
    with FvvReader(tmp_path / "a.fvv") as reader:
        got = reader.header
        assert got.to_json() == header.to_json()
        assert got.grid == header.grid
        np.testing.assert_array_equal(got.cameras[0].world_to_camera, np.eye(4))
        assert reader.entries == []


Small = tuple[bytes, dict[int, torch.Tensor], list[int]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A small file, its frames, and where each of them ends."""
    path = tmp_path_factory.mktemp("small") / "small.fvv"
    write(path, stream(8, 3, 1), FvvConfig(level=3))
    with FvvReader(path) as reader:
        ends = [max(o + n for o, n in e.layers.values()) for e in reader.entries]
        return path.read_bytes(), means(reader), ends


def test_cut_off_at_every_byte_it_opens_and_plays_what_is_there(small, tmp_path: Path):
    data, whole, ends = small
    with FvvReader(_put(tmp_path, data)) as reader:
        first = min(o for e in reader.entries for o, _ in e.layers.values())
    for length in range(len(data)):
        path = _put(tmp_path, data[:length])
        if length < first:
            with pytest.raises(FvvError):
                FvvReader(path)
            continue
        with FvvReader(path) as reader:
            played = means(reader)
            complete = sum(end <= length for end in ends)
            # A frame whose base is there already plays, with fewer layers.
            assert complete <= len(played) <= complete + 1
            assert list(played) == list(range(len(played)))
            assert all(torch.equal(played[i], whole[i]) for i in played)
            assert reader.unread < len(data)


def test_growing_files_are_followed(tmp_path: Path, frames: list[SourceFrame], config: FvvConfig):
    header = make_header(frames[0].gaussians, config)
    encoder, path = Encoder(header, config), tmp_path / "live.fvv"
    writer = FvvWriter(path, header)
    with FvvReader(path) as reader:
        assert not reader.indexed
        for frame in frames[:6]:
            writer.write(encoder.push(frame))
            assert reader.refresh() == 2
            assert reader.frame(frame.index).index == frame.index
            assert reader.unread == 0
        writer.close()
        reader.refresh()
        assert [e.frame for e in reader.entries] == list(range(6))
        assert not reader.damage


def test_damage_is_told_and_played_around(path: Path, tmp_path: Path):
    data = bytearray(path.read_bytes())
    with FvvReader(path) as reader:
        whole, entries = means(reader), {e.frame: e for e in reader.entries}
    offset = entries[4].layers[0][0]
    data[offset + HEADER_BYTES + 5] ^= 0x40
    with FvvReader(_put(tmp_path, bytes(data))) as reader:
        played = means(reader)
        # Frames 5 to 7 refer to 4; frame 8 needs none.
        assert list(played) == [0, 1, 2, 3, 8, 9, 10, 11]
        assert all(torch.equal(played[i], whole[i]) for i in played)
        assert reader.damage[0].offset == offset
        assert reader.damage[0].frame == 4
        assert "checksum" in reader.damage[0].reason
        assert {d.frame for d in reader.damage} == {4, 5, 6, 7}


def test_a_damaged_layer_costs_only_the_layer(path: Path, tmp_path: Path):
    data = bytearray(path.read_bytes())
    with FvvReader(path) as reader:
        whole, offset = means(reader), reader.entries[4].layers[1][0]
    data[offset + HEADER_BYTES] ^= 1
    with FvvReader(_put(tmp_path, bytes(data))) as reader:
        decoded = {f.index: f for f in reader.frames()}
        assert list(decoded) == list(range(12))
        assert [decoded[i].layers for i in (3, 4, 7, 8)] == [2, 1, 1, 2]
        assert all(torch.equal(decoded[i].gaussians.means, whole[i]) for i in decoded)


def test_lost_pieces_are_skipped_when_there_is_no_index(path: Path, tmp_path: Path):
    data = path.read_bytes()
    with FvvReader(path) as reader:
        entries = {e.frame: e for e in reader.entries}
    start, length = entries[2].layers[0]
    cut = data[:start] + b"\0" * 10 + data[start + length // 2 : entries[11].layers[1][0]]
    with FvvReader(_put(tmp_path, cut)) as reader:
        assert not reader.indexed
        assert [f.index for f in reader.frames()] == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
        assert any("no chunk" in d.reason and d.offset == start for d in reader.damage)


def test_an_error_while_writing_leaves_a_file_that_opens(
    tmp_path: Path, frames: list[SourceFrame], config: FvvConfig
):
    header = make_header(frames[0].gaussians, config)
    encoder = Encoder(header, config)

    def breaks() -> None:
        with FvvWriter(tmp_path / "a.fvv", header) as writer:
            writer.write(encoder.push(frames[0]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks()
    with FvvReader(tmp_path / "a.fvv") as reader:
        assert list(means(reader)) == [0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an .fvv file"),
        (b"ply\nformat ascii 1.0\n", "not an .fvv file"),
        (b"\x89FVV\r\n\x1a\n\x02\0\0\0\0\0\0\0" + b"x" * 90, r"version 2\.0"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes, words: str):
    with pytest.raises(FvvError, match=words) as caught:
        FvvReader(_put(tmp_path, content))
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        FvvReader(tmp_path / "nothing.fvv")


def test_a_newer_minor_version_is_read(path: Path, tmp_path: Path):
    data = bytearray(path.read_bytes())
    data[10] = 9
    with FvvReader(_put(tmp_path, bytes(data))) as reader:
        assert len(means(reader)) == 12


def _put(folder: Path, data: bytes) -> Path:
    path = folder / "case.fvv"
    path.write_bytes(data)
    return path


def test_files_of_version_1_0_play_as_they_did():
    # Written by version 1.0: ten frames of SH degree 2, key frames every four, intra every eight.
    sums = {"means": 183.497, "log_scales": 489.826, "quats": 108.704, "opacity_logits": 110.571,
            "sh": 569.097}  # fmt: skip
    with FvvReader(Path(__file__).parent / "data" / "version_1_0.fvv") as reader:
        frames = list(reader.frames())
        assert reader.header.refine == 1
        assert reader.damage == []
    assert [len(f.gaussians) for f in frames] == [60] * 4 + [62] * 4 + [64] * 2
    for name, tensor in frames[-1].gaussians.tensors().items():
        assert float(tensor.double().abs().sum()) == pytest.approx(sums[name], abs=2e-3), name
