"""Programs made by hand: ELF files of one page of code and, if wanted, data (docs/spec.md §14.1)."""

import struct

from model.program import Program, parse

CODE_START, DATA_START = 0x40_0000, 0x40_1000
_SEGMENTS_AT = 64


def elf(code: bytes = b"\xf4", data: bytes | None = b"data", data_bytes: int = 4096) -> bytes:
    """The bytes of a file; its contents lie behind the headers."""
    segments = [(5, CODE_START, code, len(code))]
    if data is not None:
        segments.append((6, DATA_START, data, data_bytes))
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 2, 62, 1, CODE_START, _SEGMENTS_AT, 0, 0, 64, 56, len(segments), 0, 0, 0),
    )
    table, contents = b"", b""
    start = _SEGMENTS_AT + 56 * len(segments)
    for flags, address, data_of, size in segments:
        where = start + len(contents)
        table += struct.pack("<IIQQQQQQ", 1, flags, where, address, address, len(data_of), size, 4096)
        contents += data_of
    return header + table + contents


def program(data_bytes: int = 4096) -> Program:
    """A program with that much data and bss."""
    parsed = parse(elf(data_bytes=data_bytes))
    assert isinstance(parsed, Program)
    return parsed
