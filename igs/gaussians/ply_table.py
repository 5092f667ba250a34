"""PLY as a table: the vertex element of a file as one NumPy array per property.

Knows the file format and nothing of what the numbers mean. Reads ASCII and binary files of either
byte order; writes binary little endian.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from igs.scene.files import atomic_path

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_NAMES = {"u1": "uchar", "i4": "int", "f4": "float", "f8": "double"}
_BYTE_ORDER = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_MAX_HEADER_LINES = 10_000
_MAX_LINE_BYTES = 10_000


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]]
    has_list: bool = False


@dataclass
class _Header:
    format: str
    elements: list[_Element]


def read_vertices(path: str | Path) -> np.ndarray:
    """Read the `vertex` element of a PLY file.

    Elements behind it (such as faces) are ignored, scalar elements before it skipped.

    Returns:
        Structured array of length N in native byte order, one field per property.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a PLY file, a header that cannot be used, or fewer vertices than the
            header promises; one line that names the file.
    """
    path = Path(path)
    with path.open("rb") as file:
        header = _read_header(file, path)
        vertex = _skip_to_vertex(file, header, path)
        dtype = np.dtype([(n, _BYTE_ORDER[header.format] + t) for n, t in vertex.properties])
        if header.format == "ascii":
            return _read_ascii(file, vertex, dtype, path)
        return _read_binary(file, vertex, dtype, path)


def write_vertices(path: str | Path, table: np.ndarray) -> None:
    """Write a structured array as the `vertex` element, binary little endian.

    The file appears under its name only when it is complete.

    Args:
        path: where to write.
        table: (N,) structured array of uint8, int32, float32 or float64 fields.

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    assert table.dtype.names is not None
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    fields = []
    for name in table.dtype.names:
        kind = table.dtype[name].str[1:]
        lines.append(f"property {_NAMES[kind]} {name}")
        fields.append((name, "<" + kind))
    header = "\n".join([*lines, "end_header", ""]).encode("ascii")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        file.write(np.ascontiguousarray(table, np.dtype(fields)).view(np.uint8).data)


def _read_header(file: BinaryIO, path: Path) -> _Header:
    if file.readline(_MAX_LINE_BYTES).strip() != b"ply":
        raise ValueError(f"{path}: not a PLY file, its first line is not 'ply'")
    header = _Header("", [])
    for _ in range(_MAX_HEADER_LINES):
        raw = file.readline(_MAX_LINE_BYTES)
        if not raw:
            break
        words = raw.decode("ascii", errors="replace").split()
        if words == ["end_header"]:
            if not header.format:
                raise ValueError(f"{path}: the header names no format")
            return header
        if words and words[0] not in ("comment", "obj_info"):
            _take_header_line(header, words, path)
    raise ValueError(f"{path}: the header has no end_header line")


def _take_header_line(header: _Header, words: list[str], path: Path) -> None:
    known_format = len(words) == 3 and words[1] in _BYTE_ORDER
    if words[0] == "format" and known_format:
        header.format = words[1]
    elif words[0] == "element" and len(words) == 3 and words[2].isdigit():
        header.elements.append(_Element(words[1], int(words[2]), []))
    elif words[0] == "property" and header.elements and len(words) == 5 and words[1] == "list":
        header.elements[-1].has_list = True
    elif words[0] == "property" and header.elements and len(words) == 3 and words[1] in _TYPES:
        names = [name for name, _ in header.elements[-1].properties]
        if words[2] in names:
            raise ValueError(f"{path}: property {words[2]!r} is declared twice")
        header.elements[-1].properties.append((words[2], _TYPES[words[1]]))
    else:
        raise ValueError(f"{path}: cannot use the header line {' '.join(words)!r}")


def _skip_to_vertex(file: BinaryIO, header: _Header, path: Path) -> _Element:
    for element in header.elements:
        if element.has_list and element.name == "vertex":
            raise ValueError(f"{path}: the vertex element has a list property; only scalars fit")
        if element.name == "vertex":
            return element
        if header.format == "ascii":
            for _ in range(element.count):
                file.readline()
        elif element.has_list:
            raise ValueError(
                f"{path}: element {element.name!r} before 'vertex' has a list property; "
                "write the vertices first"
            )
        else:
            width = sum(np.dtype(kind).itemsize for _, kind in element.properties)
            file.seek(width * element.count, 1)
    raise ValueError(f"{path}: the header has no element 'vertex'")


def _read_binary(file: BinaryIO, vertex: _Element, dtype: np.dtype, path: Path) -> np.ndarray:
    start = file.tell()
    found = max(file.seek(0, 2) - start, 0) // max(dtype.itemsize, 1)
    # Looked at before anything is allocated: a damaged header may promise any number.
    if found < vertex.count:
        raise _truncated(path, vertex.count, found)
    file.seek(start)
    table = np.fromfile(file, dtype=dtype, count=vertex.count)
    return table.astype(dtype.newbyteorder("="), copy=False)


def _read_ascii(file: BinaryIO, vertex: _Element, dtype: np.dtype, path: Path) -> np.ndarray:
    rows = (line for line in file if not line.isspace())
    lines = list(itertools.islice(rows, vertex.count))
    width = len(vertex.properties)
    # A line cut short can only be the last one of a truncated file; elsewhere it is damage.
    whole = len(lines) - bool(lines and len(lines[-1].split()) < width)
    if whole < vertex.count:
        raise _truncated(path, vertex.count, whole)
    if vertex.count == 0 or width == 0:
        return np.zeros(vertex.count, dtype)
    try:
        values = np.loadtxt(lines, dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise ValueError(f"{path}: bad vertex data: {error}") from error
    if values.shape[1] != width:
        raise ValueError(
            f"{path}: {values.shape[1]} numbers per vertex, the header declares {width} properties"
        )
    table = np.empty(vertex.count, dtype)
    for column, (name, _) in enumerate(vertex.properties):
        table[name] = values[:, column]
    return table


def _truncated(path: Path, expected: int, found: int) -> ValueError:
    return ValueError(f"{path}: truncated, {expected} vertices expected, {found} found")
