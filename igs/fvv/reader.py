"""Files of chunks: finding frames, playing, seeking, and what to do about damage."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from igs.fvv.chunks import (
    FRAME,
    HEAD,
    HEADER_BYTES,
    INDEX,
    INTRA,
    MARKER,
    PREFIX_BYTES,
    REFERENCE,
    Chunk,
    ChunkHeader,
    check_prefix,
)
from igs.fvv.decoder import DecodedFrame, Decoder
from igs.fvv.errors import DEFAULT_LIMITS, FvvError, Limits
from igs.fvv.header import StreamHeader
from igs.fvv.writer import ENTRY, TRAILER, TRAILER_MAGIC

logger = logging.getLogger(__name__)

_SEARCH_BYTES = 1 << 16


@dataclass(frozen=True)
class Damage:
    """Something in a file that could not be used.

    Attributes:
        offset: byte in the file.
        frame: the frame it belongs to or broke, None if unknown.
        reason: one line.
    """

    offset: int
    frame: int | None
    reason: str

    def __str__(self) -> str:
        frame = "" if self.frame is None else f", frame {self.frame}"
        return f"byte {self.offset}{frame}: {self.reason}"


@dataclass
class FrameEntry:
    """Where a frame lies.

    Attributes:
        frame: index of the time step.
        flags: `chunks.INTRA`, `chunks.REFERENCE`.
        refers_to: the frame it is predicted from.
        layers: layer to (offset, bytes) of its chunk, headers included.
    """

    frame: int
    flags: int
    refers_to: int
    layers: dict[int, tuple[int, int]]

    @property
    def num_bytes(self) -> int:
        """Of all layers."""
        return sum(length for _, length in self.layers.values())


class FvvReader:
    """Reads a file, whole, growing, cut off or damaged.

    Args:
        source: the file; or one that is open for reading bytes and can seek, which is then closed
            by `close`.
        limits: what is accepted at most.

    Attributes:
        header: of the stream.
        damage: what could not be used so far; grows while frames are read.
        indexed: whether the file's own index was used (a finished, undamaged file).

    Raises:
        FileNotFoundError: no such file.
        FvvError: not an .fvv file, an unknown major version, or a header that is damaged or not
            there yet.
    """

    def __init__(self, source: str | Path | BinaryIO, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        if isinstance(source, str | Path):
            self.path = Path(source)
            self._file: BinaryIO = self.path.open("rb")
        else:
            self.path, self._file = Path(getattr(source, "name", "stream")), source
        self.damage: list[Damage] = []
        self._entries: dict[int, FrameEntry] = {}
        try:
            self._size = self._file.seek(0, 2)
            check_prefix(self._read(0, PREFIX_BYTES))
            chunk = self._chunk(PREFIX_BYTES)
            self.header = StreamHeader.from_chunk(chunk)
        except FvvError as error:
            self._file.close()
            raise FvvError(f"{self.path}: {error}") from error
        self._next = PREFIX_BYTES + len(chunk)
        self.indexed = self._use_index()
        if not self.indexed:
            self.refresh()

    def __enter__(self) -> FvvReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def entries(self) -> list[FrameEntry]:
        """All frames found, ascending."""
        return [self._entries[frame] for frame in sorted(self._entries)]

    def refresh(self) -> int:
        """Look for frames that were appended since; returns how many chunks were found.

        What is not a whole chunk at the end of the file is looked at again next time; elsewhere it
        is damage, and the search goes on behind it.
        """
        self._size = self._file.seek(0, 2)
        found, lost_at, end = 0, None, False
        while self._next + HEADER_BYTES <= self._size and not end:
            header = self._header_at(self._next)
            if header is None:
                if self._is_trailer(self._next):
                    break
                if lost_at is None:
                    lost_at = self._next
                end = not self._seek_chunk()
                continue
            if self._next + HEADER_BYTES + header.stored > self._size:
                break
            if lost_at is not None:
                self._note(lost_at, None, f"{self._next - lost_at} bytes are no chunk")
                lost_at = None
            self._add(self._next, header)
            self._next += HEADER_BYTES + header.stored
            found += 1
        if lost_at is not None:
            self._next = lost_at
        return found

    @property
    def end(self) -> int:
        """Byte behind the last whole chunk: there a file breaks off that was cut off."""
        return self._next

    @property
    def unread(self) -> int:
        """Bytes at the end that hold no whole chunk (yet); 0 for a finished file."""
        rest = self._size - self._next
        return 0 if self.indexed or self._is_trailer(self._next) else rest

    def chunks(self, entry: FrameEntry, layers: int | None = None) -> list[Chunk]:
        """A frame's chunks, unopened, base first; damaged layers above the base are left out.

        Args:
            entry: the frame.
            layers: how many layers at most; None for all.

        Raises:
            FvvError: the base layer is missing or damaged.
        """
        found = []
        for layer in sorted(entry.layers)[:layers]:
            offset, _ = entry.layers[layer]
            try:
                found.append(self._chunk(offset))
                found[-1].check()
            except FvvError as error:
                if layer == 0:
                    raise
                self._note(offset, entry.frame, f"layer {layer}: {error}")
                return [chunk for chunk in found if chunk.header.layer < layer]
        if not found or found[0].header.layer != 0:
            raise FvvError(f"frame {entry.frame}: its base layer is missing")
        return found

    def frames(
        self, start: int | None = None, stop: int | None = None, layers: int | None = None
    ) -> Iterator[DecodedFrame]:
        """Decode frames `start` to before `stop`, in order.

        Frames that damage makes undecodable are left out and noted in `damage`; playing goes on at
        the next frame that can be decoded.
        """
        entries = [e for e in self.entries if stop is None or e.frame < stop]
        decoder = Decoder(self.header, self.limits)
        for entry in self._needed(entries, start):
            if not entry.flags & INTRA and entry.refers_to != decoder.reference:
                offset = min(o for o, _ in entry.layers.values())
                self._note(offset, entry.frame, f"needs frame {entry.refers_to}, which is lost")
                continue
            try:
                decoded = decoder.decode(self.chunks(entry, layers))
            except FvvError as error:
                offset = min(o for o, _ in entry.layers.values())
                self._note(offset, entry.frame, str(error))
                continue
            if start is None or entry.frame >= start:
                yield decoded

    def frame(self, index: int, layers: int | None = None) -> DecodedFrame:
        """Decode one frame, from the nearest intra frame on.

        Raises:
            FvvError: there is no such frame, or it cannot be decoded.
        """
        if index not in self._entries:
            raise FvvError(f"{self.path}: no frame {index}")
        before = len(self.damage)
        for decoded in self.frames(index, index + 1, layers):
            return decoded
        why = "; ".join(map(str, self.damage[before:])) or "it cannot be decoded"
        raise FvvError(f"{self.path}: frame {index}: {why}")

    @staticmethod
    def _needed(entries: list[FrameEntry], start: int | None) -> list[FrameEntry]:
        """Frames from `start` on, and before them the references that lead there."""
        if start is None:
            return entries
        before = [e for e in entries if e.frame < start]
        wanted = entries[len(before) :]
        if wanted and wanted[0].flags & INTRA:
            return wanted
        intra = max((i for i, e in enumerate(before) if e.flags & INTRA), default=0)
        return [e for e in before[intra:] if e.flags & REFERENCE] + wanted

    def _use_index(self) -> bool:
        """Take the frames from the index at the end; False if there is no sound one."""
        data = self._read(max(self._size - TRAILER.size, 0), TRAILER.size)
        if len(data) < TRAILER.size:
            return False
        magic, offset, check = TRAILER.unpack(data)
        if magic != TRAILER_MAGIC or check != zlib.crc32(data[:-4]):
            return False
        try:
            chunk = self._chunk(offset)
            data = chunk.open()
        except FvvError:
            return False
        count, rest = divmod(len(data), ENTRY.size)
        if chunk.header.kind != INDEX or rest or count > self.limits.index_entries:
            return False
        entries: dict[int, FrameEntry] = {}
        for at, length, frame, refers_to, layer, flags, _ in ENTRY.iter_unpack(data):
            if at < PREFIX_BYTES or at + length > self._size:
                return False
            entry = entries.setdefault(frame, FrameEntry(frame, flags, refers_to, {}))
            entry.layers.setdefault(layer, (at, length))
        self._entries, self._next = entries, offset + len(chunk)
        return True

    def _add(self, offset: int, header: ChunkHeader) -> None:
        if header.kind == FRAME:
            made = FrameEntry(header.frame, header.flags, header.refers_to, {})
            entry = self._entries.setdefault(header.frame, made)
            entry.layers.setdefault(header.layer, (offset, HEADER_BYTES + header.stored))
        elif header.kind not in (HEAD, INDEX):
            logger.debug("%s: chunk of kind %d at byte %d skipped", self.path, header.kind, offset)

    def _chunk(self, offset: int) -> Chunk:
        header = ChunkHeader.unpack(self._read(offset, HEADER_BYTES), self.limits)
        payload = self._read(offset + HEADER_BYTES, header.stored)
        if len(payload) != header.stored:
            raise FvvError(f"chunk payload: {len(payload)} of {header.stored} bytes are there")
        return Chunk(header, payload)

    def _header_at(self, offset: int) -> ChunkHeader | None:
        return _header_of(self._read(offset, HEADER_BYTES), self.limits)

    def _is_trailer(self, offset: int) -> bool:
        return self._size - offset == TRAILER.size and (
            self._read(offset, len(TRAILER_MAGIC)) == TRAILER_MAGIC
        )

    def _seek_chunk(self) -> bool:
        """Move to the next sound chunk header behind here; False if there is none."""
        start = self._next + 1
        while start + HEADER_BYTES <= self._size:
            data = self._read(start, _SEARCH_BYTES + HEADER_BYTES)
            at = data.find(MARKER)
            while 0 <= at < _SEARCH_BYTES:
                if _header_of(data[at : at + HEADER_BYTES], self.limits) is not None:
                    self._next = start + at
                    return True
                at = data.find(MARKER, at + 1)
            start += _SEARCH_BYTES
        return False

    def _note(self, offset: int, frame: int | None, reason: str) -> None:
        damage = Damage(offset, frame, reason)
        if damage not in self.damage:
            logger.warning("%s: %s", self.path, damage)
            self.damage.append(damage)

    def _read(self, offset: int, count: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(min(count, max(self._size - offset, 0)))
        except (OSError, OverflowError, struct.error) as error:
            raise FvvError(f"byte {offset}: cannot be read ({error})") from error


def _header_of(data: bytes, limits: Limits) -> ChunkHeader | None:
    try:
        return ChunkHeader.unpack(data, limits)
    except FvvError:
        return None
