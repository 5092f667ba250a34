"""Files of chunks that are readable at every moment of their making; docs/fvv.md, section 3."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from igs.fvv.chunks import HEADER_BYTES, INDEX, Chunk, ChunkHeader, make_chunk, pack_prefix
from igs.fvv.header import StreamHeader

ENTRY = struct.Struct("<QIIIBBH")  # offset, length, frame, refers to, layer, flags, 0
TRAILER_MAGIC = b"FVVe"
TRAILER = struct.Struct("<4sQI")


class FvvWriter:
    """Writes a file as it grows.

    Frames are appended under the final name: who kills the writer leaves a file that opens, with
    all frames that were finished; only the index is missing, which readers then make themselves.

    Args:
        path: where to; missing folders are made, a file of that name is replaced.
        header: of the stream.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str | Path, header: StreamHeader) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb")
        self._entries: list[bytes] = []
        self._at = 0
        self._write(pack_prefix() + header.to_chunk().pack())

    def __enter__(self) -> FvvWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was written before an error is worth an index too, unless the disk is full.
        if error is None:
            self.close()
        else:
            self._file.close()

    @property
    def num_bytes(self) -> int:
        """Written so far."""
        return self._at

    def write(self, chunks: Iterable[Chunk]) -> int:
        """Append the chunks of one frame in one go; returns their bytes.

        Raises:
            OSError: the disk is full; what was there before stays readable.
        """
        chunks = list(chunks)
        at = self._at
        for chunk in chunks:
            self._entries.append(index_entry(at, chunk.header))
            at += len(chunk)
        return self._write(b"".join(chunk.pack() for chunk in chunks))

    def close(self) -> None:
        """Write the index and close; harmless the second time.

        Raises:
            OSError: the disk is full.
        """
        if self._file.closed:
            return
        try:
            index = make_chunk(b"".join(self._entries), kind=INDEX)
            body = TRAILER.pack(TRAILER_MAGIC, self._at, 0)[:-4]
            self._write(index.pack() + body + struct.pack("<I", zlib.crc32(body)))
        finally:
            self._file.close()

    def _write(self, data: bytes) -> int:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self.path)) from error
        self._at += len(data)
        return len(data)


def index_entry(offset: int, header: ChunkHeader) -> bytes:
    """One entry of the index: a frame's chunk and where it begins."""
    length = HEADER_BYTES + header.stored
    return ENTRY.pack(offset, length, header.frame, header.refers_to, header.layer, header.flags, 0)
