"""The vocabulary of payloads: integers, bits, order along the curve, colour, prediction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from igs.fvv.chunks import CODECS, FRAME, Chunk, ChunkHeader, make_chunk
from igs.fvv.errors import FvvError, Limits
from igs.fvv.fit import fit_blocks
from igs.fvv.intra import from_ycc, morton_order, read_base, to_ycc, write_base
from igs.fvv.morton import decode_morton, encode_morton
from igs.fvv.motion import Blocks, carry_positions, carry_quats
from igs.fvv.planes import PlaneReader, PlaneWriter
from igs.fvv.rows import Rows

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


@settings(deadline=None)  # busy machines are no fault
@given(hnp.arrays(np.int64, st.integers(0, 40), elements=INT32))
def test_integers_come_back(values: np.ndarray):
    writer = PlaneWriter()
    writer.ints(values)
    reader = PlaneReader(writer.finish())
    np.testing.assert_array_equal(reader.ints(len(values)), values)
    reader.finish()


def test_slow_changes_are_stored_as_differences():
    writer = PlaneWriter()
    writer.ints(np.arange(5000) * 3 + 10_000)
    data = writer.finish()
    # One number again and again, which compresses to nothing.
    assert len(make_chunk(data, kind=FRAME, codec=CODECS["zstd"])) < 200
    np.testing.assert_array_equal(PlaneReader(data).ints(5000)[-3:], [24991, 24994, 24997])


@settings(deadline=None)  # busy machines are no fault
@given(hnp.arrays(bool, st.integers(0, 70)))
def test_bits_come_back(mask: np.ndarray):
    writer = PlaneWriter()
    writer.bits(mask)
    np.testing.assert_array_equal(PlaneReader(writer.finish()).bits(len(mask)), mask)


def test_a_payload_that_is_too_short_or_too_long_is_refused():
    writer = PlaneWriter()
    writer.ints(np.array([1, 300, -5]))
    data = writer.finish()
    with pytest.raises(FvvError, match="too early"):
        PlaneReader(data[:-1]).ints(3)
    reader = PlaneReader(data + b"x")
    reader.ints(3)
    with pytest.raises(FvvError, match="left over"):
        reader.finish()


@settings(deadline=None)  # busy machines are no fault
@given(hnp.arrays(np.int64, (3, 9), elements=st.integers(0, 2**21 - 1)))
def test_morton_codes_come_back(cells: np.ndarray):
    np.testing.assert_array_equal(decode_morton(encode_morton(cells)), cells)


def test_morton_code_of_one_point_by_hand():
    # x = 1 -> bit 0, y = 2 -> bit 4, z = 3 -> bits 2 and 5.
    assert encode_morton(np.array([[1], [2], [3]]))[0] == 0b110101


@settings(deadline=None)  # busy machines are no fault
@given(hnp.arrays(np.int16, (3, 9), elements=st.integers(-8000, 8000)))
def test_colour_differences_come_back(color: np.ndarray):
    np.testing.assert_array_equal(from_ycc(to_ycc(color)), color)


def random_rows(count: int, seed: int, reach: int = 5000) -> Rows:
    rng = np.random.default_rng(seed)

    def draw(rows: int, limit: int, kind: type = np.int16) -> np.ndarray:
        return rng.integers(-limit, limit + 1, (rows, count)).astype(kind)

    return Rows(draw(3, reach, np.int32), draw(4, 60), draw(3, 200), abs(draw(1, 48)), draw(3, 300))


@pytest.mark.parametrize("reach", [5000, 2**30 - 1])
@pytest.mark.parametrize("ordered", [True, False])
def test_rows_by_themselves_come_back(reach: int, ordered: bool):
    rows = random_rows(200, 3, reach)
    if ordered:
        rows = rows.select(morton_order(rows.position))
    writer = PlaneWriter()
    write_base(writer, rows, 56)
    reader = PlaneReader(writer.finish())
    assert read_base(reader, 200, 56).equals(rows)
    reader.finish()


def test_blocks_find_a_rigid_motion_and_leave_nothing_over():
    rng = np.random.default_rng(0)
    place = rng.integers(-3000, 3000, (3, 700)).astype(np.int32)
    angle, axis_shift = 0.2, np.array([[40.0], [-12.5], [7.25]])
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    quat = rng.normal(0, 1, (4, 700))
    quat = np.rint(quat / np.linalg.norm(quat, axis=0) * 1000).astype(np.int16)
    w, z = np.cos(angle / 2), np.sin(angle / 2)
    q = quat.astype(float)
    turned = np.stack(
        [w * q[0] - z * q[3], w * q[1] - z * q[2], w * q[2] + z * q[1], w * q[3] + z * q[0]]
    )
    goal = rotation @ place + axis_shift
    blocks = fit_blocks(place, quat, goal, turned, np.ones(700), np.ones(700))
    assert blocks.lengths.sum() == 700
    # One map carries all: the leftover is rounding of the map itself.
    assert len(blocks.lengths) == 1
    assert np.abs(carry_positions(place, blocks) - goal).max() < 1.0
    assert np.abs(carry_quats(quat, blocks, 1000) - turned).max() < 1.5


def test_two_motions_are_told_apart():
    place = np.arange(3 * 512).reshape(3, 512).astype(np.int32)
    goal = place.astype(float)
    goal[0, :256] += 50
    goal[1, 256:] -= 80
    quat = np.tile(np.array([[50], [0], [0], [0]], np.int16), (1, 512))
    blocks = fit_blocks(place, quat, goal, quat.astype(float), *np.full((2, 512), 0.6))
    np.testing.assert_array_equal(carry_positions(place, blocks), goal)
    assert not blocks.rotation.any()


def test_prediction_is_the_documented_integer_formula():
    blocks = Blocks(
        np.array([3]), np.array([[6], [-1], [0]]), np.zeros((9, 1), np.int64), np.zeros((3, 1))
    )
    blocks.matrix[1] = 1 << 13  # x gains half of y
    place = np.array([[0, 10, 20], [0, 3, 7], [1, 1, 1]], np.int32)
    # Mean of y is floor(10 / 3) = 3; 6 quarter steps are 1.5; halves round up.
    pairs = ((0, 0), (10, 3), (20, 7))
    expected_x = [int(np.floor(x + 1.5 + (y - 3) / 2 + 0.5)) for x, y in pairs]
    moved = carry_positions(place, blocks)
    np.testing.assert_array_equal(moved[0], expected_x)
    np.testing.assert_array_equal(moved[1], place[1])  # -1/4 rounds to 0


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_chunks_come_back(codec: str):
    data = bytes(range(256)) * 20
    chunk = make_chunk(data, kind=FRAME, codec=CODECS[codec], frame=7, ticks=-3)
    packed = chunk.pack()
    header = ChunkHeader.unpack(packed)
    assert (header.frame, header.ticks, header.size) == (7, -3, len(data))
    assert Chunk(header, packed[40:]).open() == data


@pytest.mark.parametrize("codec", ["deflate", "zstd"])
def test_a_bomb_is_refused_without_unpacking_it(codec: str):
    from dataclasses import replace

    bomb = make_chunk(bytes(50_000_000), kind=FRAME, codec=CODECS[codec], level=1)
    with pytest.raises(FvvError, match="limit"):
        ChunkHeader.unpack(bomb.pack(), Limits(chunk_bytes=1_000_000))
    lying = Chunk(replace(bomb.header, size=1000), bomb.payload)
    with pytest.raises(FvvError):
        lying.open()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 39), st.integers(0, 7))
def test_every_flipped_bit_of_a_chunk_header_is_noticed(at: int, bit: int):
    packed = bytearray(make_chunk(b"data", kind=FRAME).pack())
    packed[at] ^= 1 << bit
    with pytest.raises(FvvError):
        ChunkHeader.unpack(bytes(packed))
