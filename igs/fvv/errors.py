"""What goes wrong with a container, and the limits that keep a hostile one harmless."""

from __future__ import annotations

from dataclasses import dataclass


class FvvError(ValueError):
    """A file or stream that is not, or no longer, a container of ours; one line."""


@dataclass(frozen=True)
class Limits:
    """What a reader accepts at most; beyond it a chunk counts as damaged.

    With n rows of K spherical harmonics coefficients, a decoder holds at most
    ``2 * chunk_bytes + gaussians * (140 + 40 * K)`` bytes, whatever the input says, and twice the
    second part for a moment while a frame is decoded.

    Attributes:
        gaussians: rows of one frame.
        chunk_bytes: of one chunk, stored and decompressed.
        header_bytes: of the stream's header.
        index_entries: of the index at the end of a file.
    """

    gaussians: int = 4_000_000
    chunk_bytes: int = 1 << 28
    header_bytes: int = 1 << 20
    index_entries: int = 4_000_000


DEFAULT_LIMITS = Limits()
