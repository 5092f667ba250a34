"""Viewers that check every byte they are sent."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field

import websockets

from igs.fvv import Chunk, ChunkHeader, FvvError, StreamHeader
from igs.fvv.chunks import FRAME, HEADER_BYTES, INTRA, MAGIC, PREFIX_BYTES, REFERENCE


@dataclass
class Watched:
    """What one viewer has seen; a frame is broken if a checksum or its reference is wrong."""

    frames: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    notices: list[dict] = field(default_factory=list)
    broken: int = 0
    started: bool = False
    end: str = ""
    reference: int = -1
    live_from: int = 0
    stream_layers: tuple[int, ...] = ()

    def take(self, message: bytes | str) -> None:
        """Look at one message."""
        if isinstance(message, str):
            notice = json.loads(message)
            self.notices.append(notice)
            if notice["type"] == "hello":
                self.live_from = notice["live_from"] or 0
            if notice["type"] == "end":
                self.end = notice["reason"]
        elif not self.started:
            self.started = message.startswith(MAGIC)
            self.broken += not self.started
            head = message[PREFIX_BYTES:]
            chunk = Chunk(ChunkHeader.unpack(head[:HEADER_BYTES]), head[HEADER_BYTES:])
            self.stream_layers = StreamHeader.from_chunk(chunk).layers
        else:
            try:
                self._frame(message)
            except FvvError:
                self.broken += 1

    def _frame(self, message: bytes) -> None:
        at, chunks = 0, []
        while at < len(message):
            header = ChunkHeader.unpack(message[at : at + HEADER_BYTES])
            chunk = Chunk(header, message[at + HEADER_BYTES : at + HEADER_BYTES + header.stored])
            chunk.check()
            chunks.append(chunk.header)
            at += len(chunk)
        head = chunks[0]
        layers = tuple(c.layer for c in chunks)
        whole = at == len(message) and layers == self.stream_layers[: len(layers)]
        known = head.flags & INTRA or head.refers_to == self.reference
        ascending = not self.frames or head.frame > self.frames[-1]
        one = all(c.kind == FRAME and c.frame == head.frame for c in chunks)
        self.broken += not (whole and known and ascending and one)
        self.frames.append(head.frame)
        self.layers.append(len(chunks))
        if head.flags & REFERENCE:
            self.reference = head.frame


async def watch(
    url: str, count: int, then: threading.Thread | None = None, *, sleeper: bool = False
) -> list[Watched]:
    """Watch with so many viewers until the server ends it; `then` starts when all are there."""
    opened = await asyncio.gather(*(websockets.connect(url, max_size=None) for _ in range(count)))
    asleep = await websockets.connect(url, max_size=None, max_queue=1) if sleeper else None
    if then is not None:
        then.start()
    watched = await asyncio.gather(*(_watch(socket) for socket in opened))
    if asleep is not None:
        await asleep.close()
    return watched


async def _watch(socket: websockets.ClientConnection) -> Watched:
    seen = Watched()
    try:
        async for message in socket:
            seen.take(message)
    finally:
        await socket.close()
    return seen


async def watch_for(url: str, count: int, seconds: float) -> list[Watched]:
    """Watch with so many viewers for so long, counted from when all are there."""
    opened = await asyncio.gather(*(websockets.connect(url, max_size=None) for _ in range(count)))
    watched = [Watched() for _ in opened]
    tasks = [
        asyncio.create_task(_take_all(socket, seen))
        for socket, seen in zip(opened, watched, strict=True)
    ]
    await asyncio.sleep(seconds + 1)
    await asyncio.gather(*(socket.close() for socket in opened))
    await asyncio.gather(*tasks)
    return watched


async def _take_all(socket: websockets.ClientConnection, seen: Watched) -> None:
    async for message in socket:
        seen.take(message)
