"""Chunks: the one unit of a file and of a live stream; docs/fvv.md, sections 2 and 3.

A chunk is a header of 40 bytes and a payload. Both have a checksum, and the header begins with a
marker, so that a reader finds the next whole chunk behind damage.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import zstandard

from igs.fvv.errors import DEFAULT_LIMITS, FvvError, Limits

MAGIC = b"\x89FVV\r\n\x1a\n"
VERSION = (1, 1)
MARKER = b"FVVc"

HEAD, FRAME, INDEX = b"H"[0], b"F"[0], b"I"[0]
RAW, DEFLATE, ZSTD = 0, 1, 2
CODECS = {"raw": RAW, "deflate": DEFLATE, "zstd": ZSTD}

REFINEMENT = 4  # layer; 0 is the base, 1 to 3 are SH degrees, whether a stream has them or not

INTRA = 1  # decodable without any other frame
REFERENCE = 2  # later frames may refer to it; a server may drop a frame without this flag

_PREFIX = struct.Struct("<8sHHI")
_HEADER = struct.Struct("<4sBBBBIIIIqI")
_CHECK = struct.Struct("<I")
PREFIX_BYTES = _PREFIX.size
HEADER_BYTES = _HEADER.size + _CHECK.size


@dataclass(frozen=True)
class ChunkHeader:
    """What stands before a payload.

    Attributes:
        kind: `HEAD`, `FRAME` or `INDEX`; readers skip kinds they do not know.
        layer: layer of a frame's chunk: 0 the base, 1 to 3 SH degrees, 4 the refinement; 0
            elsewhere.
        codec: `RAW`, `DEFLATE` or `ZSTD`.
        flags: `INTRA`, `REFERENCE`; other bits 0.
        frame: index of the time step.
        refers_to: frame this one is predicted from; its own index for an intra frame.
        stored: bytes of the payload as stored.
        size: bytes of the payload once decompressed.
        ticks: time of the frame in the header's time base.
        checksum: CRC-32 of the stored payload.
    """

    kind: int
    layer: int
    codec: int
    flags: int
    frame: int
    refers_to: int
    stored: int
    size: int
    ticks: int
    checksum: int

    def pack(self) -> bytes:
        """The 40 bytes."""
        head = _HEADER.pack(
            MARKER,
            self.kind,
            self.layer,
            self.codec,
            self.flags,
            self.frame,
            self.refers_to,
            self.stored,
            self.size,
            self.ticks,
            self.checksum,
        )
        return head + _CHECK.pack(zlib.crc32(head))

    @classmethod
    def unpack(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ChunkHeader:
        """Read and check 40 bytes.

        Raises:
            FvvError: too few bytes, no marker, a wrong checksum, or sizes beyond the limits.
        """
        if len(data) < HEADER_BYTES:
            raise FvvError(f"chunk header: {len(data)} bytes, {HEADER_BYTES} are needed")
        marker, *values = _HEADER.unpack_from(data)
        if marker != MARKER:
            raise FvvError("chunk header: no chunk begins here")
        if _CHECK.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
            raise FvvError("chunk header: wrong checksum")
        header = cls(*values)
        largest = limits.header_bytes if header.kind == HEAD else limits.chunk_bytes
        if max(header.stored, header.size) > largest:
            raise FvvError(
                f"chunk of {header.stored} bytes, {header.size} decompressed: "
                f"more than the limit of {largest}"
            )
        return header


@dataclass(frozen=True)
class Chunk:
    """A chunk as stored or sent: header and compressed payload."""

    header: ChunkHeader
    payload: bytes

    def __len__(self) -> int:
        return HEADER_BYTES + len(self.payload)

    def pack(self) -> bytes:
        """Bytes for a file or a wire."""
        return self.header.pack() + self.payload

    def check(self) -> None:
        """Compare the payload with its checksum.

        Raises:
            FvvError: it is not what was written.
        """
        if zlib.crc32(self.payload) != self.header.checksum:
            raise FvvError("chunk payload: wrong checksum")

    def open(self) -> bytes:
        """The payload, checked and decompressed.

        Raises:
            FvvError: a wrong checksum, an unknown codec, or a payload that does not decompress to
                exactly the size that the header states.
        """
        self.check()
        data = _decompress(self.payload, self.header.codec, self.header.size)
        if len(data) != self.header.size:
            raise FvvError(
                f"chunk payload: {len(data)} bytes decompressed, header says {self.header.size}"
            )
        return data


def make_chunk(
    data: bytes,
    *,
    kind: int,
    codec: int = RAW,
    level: int = 19,
    layer: int = 0,
    flags: int = 0,
    frame: int = 0,
    refers_to: int = 0,
    ticks: int = 0,
) -> Chunk:
    """Compress a payload and put the header before it.

    Raises:
        ValueError: an unknown codec.
    """
    payload = _compress(data, codec, level)
    if len(payload) >= len(data):
        payload, codec = data, RAW
    header = ChunkHeader(
        kind=kind,
        layer=layer,
        codec=codec,
        flags=flags,
        frame=frame,
        refers_to=refers_to,
        stored=len(payload),
        size=len(data),
        ticks=ticks,
        checksum=zlib.crc32(payload),
    )
    return Chunk(header, payload)


def pack_prefix() -> bytes:
    """The 16 bytes that a file or stream begins with."""
    return _PREFIX.pack(MAGIC, *VERSION, 0)


def check_prefix(data: bytes) -> tuple[int, int]:
    """The version of a file or stream from its first 16 bytes.

    Raises:
        FvvError: another kind of file, or a major version that this reader does not know.
    """
    if len(data) < PREFIX_BYTES or not data.startswith(MAGIC):
        raise FvvError("not an .fvv file: its first bytes are not the format's")
    _, major, minor, _ = _PREFIX.unpack_from(data)
    if major != VERSION[0]:
        raise FvvError(f".fvv version {major}.{minor}: this reader knows version {VERSION[0]}.x")
    return major, minor


def _compress(data: bytes, codec: int, level: int) -> bytes:
    if codec == RAW:
        return data
    if codec == DEFLATE:
        return zlib.compress(data, min(level, 9))
    if codec == ZSTD:
        return zstandard.ZstdCompressor(level=level, write_checksum=False).compress(data)
    raise ValueError(f"codec {codec}: must be one of {sorted(CODECS.values())}")


def _decompress(payload: bytes, codec: int, size: int) -> bytes:
    """Never makes more than `size` bytes, which the caller has held against the limits."""
    if codec == RAW:
        return payload
    try:
        if codec == DEFLATE:
            return _inflate(payload, size)
        if codec == ZSTD:
            return _unzstd(payload, size)
    except (zlib.error, zstandard.ZstdError, MemoryError) as error:
        raise FvvError(f"chunk payload: {error}") from error
    raise FvvError(f"chunk payload: codec {codec} is not known")


def _inflate(payload: bytes, size: int) -> bytes:
    if size == 0:  # zlib would take 0 for "no limit"
        return b""
    stream = zlib.decompressobj()
    data = stream.decompress(payload, size)
    if stream.decompress(stream.unconsumed_tail, 1):
        raise FvvError(f"chunk payload: decompresses to more than the {size} bytes stated")
    return data


def _unzstd(payload: bytes, size: int) -> bytes:
    # A frame that states its size makes the library allocate that much: it must be ours.
    stated = zstandard.frame_content_size(payload)
    if stated != size:
        raise FvvError(f"chunk payload: its frame states {stated} bytes, the header {size}")
    return zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)
