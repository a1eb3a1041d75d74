"""Snapshots in files: versioned, compressed, checked whole before a byte of one is believed.

16 bytes magic, version (u32), CRC-32 of the rest (u32), length of what the rest unpacks to (u64), then a
zlib stream: the length of a JSON object (u32), the object, and the bytes of its runs one after the other.
"""

import json
import struct
import zlib
from pathlib import Path

from coronel_gdb.errors import UsageError
from coronel_gdb.lift.stop import REGISTERS, Stop
from coronel_gdb.own_file import check_replaceable, contents, replaced

MAGIC = b"coronel snapshot"
VERSION = 1
_HEAD = struct.Struct("<16sIIQ")
_LENGTH = struct.Struct("<I")
_MOST_BYTES = 512 << 20
_MOST_SYMBOLS = 1000
_PHYSICAL_END = 1 << 52
_U64 = (1 << 64) - 1
_KEYS = {"kernel", "physical_bits", "registers", "symbols", "runs", "blank"}


def save(path: Path, stop: Stop) -> int:
    """Write a snapshot, whole or not at all; how long the file is. `UsageError` when it cannot be written.

    An existing file is replaced only when it is a snapshot.
    """
    index = {
        "kernel": stop.kernel,
        "physical_bits": stop.physical_bits,
        "registers": stop.registers,
        "symbols": stop.symbols,
        "runs": [[start, len(data)] for start, data in stop.runs],
        "blank": [list(pair) for pair in stop.blank],
    }
    text = json.dumps(index).encode()
    raw = b"".join([_LENGTH.pack(len(text)), text, *(data for _, data in stop.runs)])
    if len(raw) > _MOST_BYTES:
        raise UsageError(
            f"snapshot: {len(raw) >> 20} MiB of structures, at most {_MOST_BYTES >> 20} can be kept"
        )
    packed = zlib.compress(raw, 1)
    head = _HEAD.pack(MAGIC, VERSION, zlib.crc32(packed), len(raw))
    check_replaceable(path, MAGIC, "snapshot")
    with replaced(path) as (file, _):
        file.write(head + packed)
    return len(head) + len(packed)


def load(path: Path) -> Stop:
    """Read a snapshot; `UsageError` says what is wrong with the file."""
    data = contents(path, _MOST_BYTES, "snapshot")
    try:
        return _checked(data)
    except (ValueError, RecursionError, zlib.error) as error:
        raise UsageError(f"snapshot: {path} is no snapshot that can be used: {error}") from error


def _checked(data: bytes) -> Stop:
    """The stop; `ValueError` for anything that `save` would not have written."""
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin like one")
    if len(data) < _HEAD.size:
        raise ValueError("it is truncated")
    _, version, crc, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"version {version}, this tool reads version {VERSION}")
    if not _LENGTH.size <= length <= _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES >> 20} MiB, or empty")
    packed = memoryview(data)[_HEAD.size :]
    if zlib.crc32(packed) != crc:
        raise ValueError("its checksum is wrong: damaged or truncated")
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(packed, length)
    if len(raw) != length or unpacker.decompress(unpacker.unconsumed_tail, 1) or not unpacker.eof:
        raise ValueError("it unpacks to another length than it says")
    (size,) = _LENGTH.unpack_from(raw)
    return _stop(json.loads(raw[_LENGTH.size : _LENGTH.size + size]), memoryview(raw)[_LENGTH.size + size :])


def _stop(index: object, data: memoryview) -> Stop:
    if not isinstance(index, dict) or set(index) != _KEYS:
        raise ValueError("its index is another one")
    kernel, bits = index["kernel"], index["physical_bits"]
    registers, symbols = index["registers"], index["symbols"]
    if not isinstance(kernel, str) or type(bits) is not int or not 32 <= bits <= 52:
        raise ValueError("kernel or physical_bits")
    if (
        not isinstance(registers, dict)
        or set(registers) != set(REGISTERS)
        or not all(map(_is_u64, registers.values()))
    ):
        raise ValueError("its registers")
    numbers = symbols.values() if isinstance(symbols, dict) and len(symbols) <= _MOST_SYMBOLS else [-1]
    if not all(value is None or _is_u64(value) for value in numbers):
        raise ValueError("its symbols")
    stop = Stop(kernel, bits, registers, symbols)
    used = 0
    for start, size in _pairs(index["runs"], "runs"):
        stop.runs.append((start, bytes(data[used : used + size])))
        used += size
        if used > len(data):
            raise ValueError("its runs are longer than its bytes")
    if used != len(data):
        raise ValueError("bytes that belong to no run")
    _ascending([(start, start + len(held)) for start, held in stop.runs], "runs")
    stop.blank = _pairs(index["blank"], "blank")
    _ascending(stop.blank, "blank")
    return stop


def _is_u64(value: object) -> bool:
    return type(value) is int and 0 <= value <= _U64


def _pairs(value: object, name: str) -> list[tuple[int, int]]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    pairs = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_u64, pair)):
            raise ValueError(f"{name} are no pairs of addresses")
        pairs.append((pair[0], pair[1]))
    return pairs


def _ascending(ranges: list[tuple[int, int]], name: str) -> None:
    at = 0
    for start, end in ranges:
        if start < at or end <= start or end > _PHYSICAL_END:
            raise ValueError(f"{name} overlap, are empty, or do not ascend")
        at = end
