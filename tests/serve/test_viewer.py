"""The rules for slow viewers, with the decoder as judge of what is still watchable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_rig import Stream

from igs.config.serve import ViewerPolicy
from igs.fvv import Chunk, ChunkHeader, Decoder, StreamHeader
from igs.fvv.chunks import HEADER_BYTES, PREFIX_BYTES, check_prefix
from igs.serve.publisher import PublishedFrame
from igs.serve.viewer import ViewerQueue

POLICY = ViewerPolicy(queue_frames=8, calm_frames=4)
LAYERS = 3  # base, SH degree 1, finer steps: what the live preset makes


def chunks_of(message: bytes) -> Iterator[Chunk]:
    """Split a message; every checksum is looked at."""
    at = 0
    while at < len(message):
        header = ChunkHeader.unpack(message[at : at + HEADER_BYTES])
        chunk = Chunk(header, message[at + HEADER_BYTES : at + HEADER_BYTES + header.stored])
        chunk.check()
        yield chunk
        at += len(chunk)
    assert at == len(message)


def decoder_for(start: bytes) -> Decoder:
    check_prefix(start[:PREFIX_BYTES])
    [head] = chunks_of(start[PREFIX_BYTES:])
    return Decoder(StreamHeader.from_chunk(head))


@pytest.fixture(scope="module")
def frames() -> list[PublishedFrame]:
    stream = Stream(interval=2, intra=12)
    return [stream.next() for _ in range(200)]


@pytest.fixture(scope="module")
def start() -> bytes:
    return Stream().start


def balanced(queue: ViewerQueue) -> bool:
    counts = queue.counts
    return counts.offered == counts.sent + counts.dropped + len(queue)


def test_a_fast_viewer_gets_everything(frames: list[PublishedFrame], start: bytes):
    queue, decoder = ViewerQueue(POLICY, LAYERS), decoder_for(start)
    for frame in frames[:60]:
        queue.push(frame)
        message = queue.pop()
        assert message is not None
        assert message == frame.message(LAYERS)
        assert decoder.decode(chunks_of(message)).layers == LAYERS
    assert queue.counts.dropped == 0
    assert queue.counts.fewer_layers == 0
    assert balanced(queue)


@pytest.mark.parametrize("pace", [1.3, 2.0, 4.0, 9.0, 40.0])
def test_a_slow_viewer_gets_less_and_never_anything_broken(
    frames: list[PublishedFrame], start: bytes, pace: float
):
    """The viewer takes one message for every `pace` frames published."""
    queue, decoder = ViewerQueue(POLICY, LAYERS), decoder_for(start)
    shown, due = [], 0.0
    for number, frame in enumerate(frames):
        queue.push(frame)
        assert len(queue) < POLICY.queue_frames
        if number >= due:
            message = queue.pop()
            due += pace
            if message is not None:
                shown.append(decoder.decode(chunks_of(message)).index)
    assert shown == sorted(set(shown))
    assert len(shown) >= 0.5 * len(frames) / pace if pace < 9 else len(shown) >= 3
    assert queue.counts.dropped > 0
    assert queue.counts.fewer_layers > 0
    assert balanced(queue)


def test_layers_go_before_frames_and_come_back_last(frames: list[PublishedFrame]):
    queue, seen = ViewerQueue(POLICY, LAYERS), []
    for frame in frames[:5]:
        queue.push(frame)
        seen.append(queue.quality)
    assert [quality["layers"] for quality in seen] == [3, 3, 3, 2, 1]
    assert seen[-1]["frames"] == "all"
    assert queue.counts.dropped == 0
    for frame in frames[5:7]:
        queue.push(frame)
    assert queue.quality == {"layers": 1, "of": LAYERS, "frames": "references"}
    for frame in frames[7:60]:
        while queue.pop():
            pass
        queue.push(frame)
        seen.append(queue.quality)
    assert queue.quality == {"layers": LAYERS, "of": LAYERS, "frames": "all"}
    back = seen.index({"layers": 1, "of": LAYERS, "frames": "all"}, 5)
    assert seen.index({"layers": LAYERS, "of": LAYERS, "frames": "all"}, 5) > back


def test_a_viewer_that_takes_nothing_costs_nothing(frames: list[PublishedFrame]):
    queue = ViewerQueue(POLICY, LAYERS)
    for frame in frames:
        queue.push(frame)
        assert len(queue) < POLICY.queue_frames
    assert queue.quality["frames"] == "waiting" or len(queue) > 0
    assert queue.counts.sent == 0
    assert balanced(queue)


def test_bytes_are_bounded_too(frames: list[PublishedFrame]):
    limit = 2 * frames[0].num_bytes(LAYERS)
    queue = ViewerQueue(ViewerPolicy(queue_frames=1000, queue_bytes=limit), LAYERS)
    for frame in frames:
        queue.push(frame)
        waiting = sum(f.num_bytes(layers) for f, layers in queue._queue)
        assert waiting == queue._bytes <= limit
    assert balanced(queue)


def test_who_joins_late_begins_at_the_newest_key_frame(frames: list[PublishedFrame], start: bytes):
    newest = frames[:31]
    last_intra = max(i for i, frame in enumerate(newest) if frame.intra)
    beginning = [f for f in newest[last_intra:] if f.reference]
    queue, decoder = ViewerQueue(POLICY, LAYERS, beginning), decoder_for(start)
    shown = []
    for frame in frames[31:40]:
        queue.push(frame)
        while message := queue.pop():
            shown.append(decoder.decode(chunks_of(message)).index)
    assert shown[: len(beginning)] == [f.index for f in beginning]
    assert shown[len(beginning) :] == list(range(31, 40))
    assert queue.counts.dropped == 0


def test_wishes_of_the_viewer(frames: list[PublishedFrame], start: bytes):
    queue, decoder = ViewerQueue(POLICY, LAYERS), decoder_for(start)
    queue.ask(layers=1, keys_only=True)
    for frame in frames[:20]:
        queue.push(frame)
        while message := queue.pop():
            decoded = decoder.decode(chunks_of(message))
            assert decoded.is_key
            assert decoded.layers == 1
    assert queue.counts.dropped_candidates == 10
    queue.ask(layers=LAYERS, keys_only=False)
    layers = []
    for frame in frames[20:60]:
        queue.push(frame)
        while message := queue.pop():
            layers.append(decoder.decode(chunks_of(message)).layers)
    assert layers[0] == 1
    assert layers[-1] == LAYERS
