"""Coronel's own small dumps: the pages that the checks read, the registers, and the kernel's file.

All integers are little-endian. The header: magic, version, then offset and size of four parts: the
description (JSON, xz), the runs (first page, pages: ascending, disjoint), the chunks (offset, packed bytes:
256 pages each, xz) and the kernel's ELF file (xz; size 0 when it is not there).
"""

import json
import lzma
import os
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

from coronel_gdb.dumps.cpu_state import CpuState
from coronel_gdb.dumps.dump import Dump
from coronel_gdb.dumps.source import Source
from coronel_gdb.errors import DumpError, ReadFault
from coronel_gdb.own_file import check_replaceable, replaced
from model.types import PAGE_BYTES, PhysicalAddress

MAGIC = b"CORONELDUMP\r\n\x1a\n"
VERSION = 1
MOST_KERNEL_BYTES = 64 << 20
NOT_SAVED = "not in this small dump: no check read it when it was saved"
_HEADER = struct.Struct("<15sBQQQQQQQQ")
_RUN, _CHUNK = struct.Struct("<QQ"), struct.Struct("<QQ")
_CHUNK_PAGES = 256
_KEPT_CHUNKS = 8
_MOST_DESCRIPTION_BYTES = 4 << 20
_PIECE_BYTES = 1 << 20
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 2, "dict_size": 1 << 20}]
_MEMORY_BYTES = 16 << 20  # a decompressor needs its dictionary and little more


@dataclass(frozen=True, slots=True)
class Description:
    """What a small dump says besides memory; `faults` are (first page, pages, why they cannot be read)."""

    registers: Mapping[str, int]
    efer_from: str
    provenance: Sequence[tuple[str, str]] = ()
    faults: Sequence[tuple[int, int, str]] = ()
    physical_bits: int | None = None
    kernel_name: str = ""
    kernel_bytes: int = field(default=0)


def write(
    path: Path, description: Description, pages: Iterable[tuple[int, bytes]], kernel: Path | None
) -> int:
    """Write the file whole or not at all, and return its size.

    `pages` are (first page, bytes of whole pages), ascending. `UsageError` when it cannot be written, or when
    something that is no small dump has that name.
    """
    check_path(path)
    with replaced(path) as (file, _):
        _write(file, description, pages, kernel)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def check_path(path: Path) -> None:
    """`UsageError` unless the name is free, or that of a small dump in a folder that is there."""
    check_replaceable(path, MAGIC, "small dump")


def _write(
    file: BinaryIO, description: Description, pages: Iterable[tuple[int, bytes]], kernel: Path | None
) -> None:
    file.write(bytes(_HEADER.size))
    runs: list[list[int]] = []
    chunks: list[tuple[int, int]] = []
    for chunk in _chunks(pages, runs):
        packed = lzma.compress(chunk, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_FILTERS)
        chunks.append((file.tell(), len(packed)))
        file.write(packed)
    kernel_at = file.tell()
    if kernel is not None:
        packer = lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_FILTERS)
        with kernel.open("rb") as source:
            while piece := source.read(_PIECE_BYTES):
                file.write(packer.compress(piece))
        file.write(packer.flush())
    parts = [(kernel_at, file.tell() - kernel_at)]
    tables = (
        lzma.compress(_description(description), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_FILTERS),
        b"".join(_RUN.pack(*run) for run in runs),
        b"".join(_CHUNK.pack(*chunk) for chunk in chunks),
    )
    for table in tables:
        parts.append((file.tell(), len(table)))
        file.write(table)
    end = file.tell()
    file.seek(0)
    file.write(_HEADER.pack(MAGIC, VERSION, *(number for part in (*parts[1:], parts[0]) for number in part)))
    file.seek(end)


def _chunks(pages: Iterable[tuple[int, bytes]], runs: list[list[int]]) -> Iterator[bytes]:
    """The pages cut into chunks; `runs` is filled on the way."""
    pending = b""
    for first, data in pages:
        if runs and sum(runs[-1]) == first:
            runs[-1][1] += len(data) // PAGE_BYTES
        else:
            runs.append([first, len(data) // PAGE_BYTES])
        pending += data
        while len(pending) >= _CHUNK_PAGES * PAGE_BYTES:
            yield pending[: _CHUNK_PAGES * PAGE_BYTES]
            pending = pending[_CHUNK_PAGES * PAGE_BYTES :]
    if pending:
        yield pending


def _description(description: Description) -> bytes:
    rows = {name: getattr(description, name) for name in Description.__slots__}
    return json.dumps({**rows, "registers": dict(description.registers)}).encode()


class SmallMemory:
    """The pages of a small dump, decompressed a chunk at a time."""

    def __init__(
        self,
        source: Source,
        runs: Sequence[tuple[int, int]],
        chunks: Sequence[tuple[int, int]],
        faults: Sequence[tuple[int, int, str]],
    ) -> None:
        self._source = source
        self._runs = runs
        self._firsts = [first for first, _ in runs]
        self._before = [0, *accumulate(count for _, count in runs)]
        self._chunks = chunks
        self._faults = sorted(faults)
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` with the reason that held when the dump was saved."""
        at, end = int(address), address + size_bytes
        parts: list[bytes] = []
        for page in range(at // PAGE_BYTES, -(-end // PAGE_BYTES)):
            data = self._page(page)
            if isinstance(data, str):
                start = max(at, page * PAGE_BYTES)
                raise ReadFault("physical", start, end - start, data)
            parts.append(data)
        whole = b"".join(parts)
        return whole[at % PAGE_BYTES : at % PAGE_BYTES + size_bytes]

    def ranges(self) -> Sequence[tuple[int, int]]:
        """The saved memory."""
        return [(first * PAGE_BYTES, (first + count) * PAGE_BYTES) for first, count in self._runs]

    def _page(self, page: int) -> bytes | str:
        """A page's bytes, or why it is not there."""
        index = bisect_right(self._firsts, page) - 1
        if index < 0 or page >= sum(self._runs[index]):
            after = bisect_right(self._faults, (page, 1 << 64, "")) - 1
            if after >= 0 and page < self._faults[after][0] + self._faults[after][1]:
                return self._faults[after][2]
            return NOT_SAVED
        number, place = divmod(self._before[index] + page - self._firsts[index], _CHUNK_PAGES)
        try:
            chunk = self._chunk(number)
        except DumpError as error:
            return str(error)
        return chunk[place * PAGE_BYTES : (place + 1) * PAGE_BYTES]

    def _chunk(self, number: int) -> bytes:
        data = self._kept.get(number)
        if data is None:
            size = min(_CHUNK_PAGES, self._before[-1] - number * _CHUNK_PAGES) * PAGE_BYTES
            offset, packed = self._chunks[number]
            data = self._kept[number] = _unpacked(self._source.read(offset, packed), size, "page")
            if len(self._kept) > _KEPT_CHUNKS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return data


class SmallKernel:
    """The kernel's ELF file in a small dump."""

    def __init__(self, source: Source, offset: int, packed_bytes: int, name: str, size_bytes: int) -> None:
        self.name = name
        self._source, self._offset, self._packed, self._size = source, offset, packed_bytes, size_bytes

    def extract(self, folder: Path) -> Path:
        """Write it into a folder; `DumpError` when it is damaged or the folder is full."""
        path = folder / self.name
        unpacker, left = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES), self._size
        at, end = self._offset, self._offset + self._packed
        try:
            with path.open("xb") as file:
                while not unpacker.eof and left >= 0:
                    fresh = b""
                    if unpacker.needs_input:
                        fresh = self._source.read(at, min(_PIECE_BYTES, end - at))
                        at += len(fresh)
                        if not fresh:
                            break
                    piece = unpacker.decompress(fresh, _PIECE_BYTES)
                    left -= len(piece)
                    file.write(piece)
        except lzma.LZMAError as error:
            raise DumpError("the kernel in the small dump is damaged: name yours with --kernel") from error
        except OSError as error:
            raise DumpError(f"cannot unpack the kernel to {path}: {error.strerror}") from error
        if left or not unpacker.eof:
            raise DumpError("the kernel in the small dump is damaged: name yours with --kernel")
        return path


def open_small(source: Source) -> Dump:
    """The dump in `source`; `DumpError` when it is damaged or of a newer version."""
    if source.size_bytes < _HEADER.size:
        raise DumpError(f"{source.name} is truncated: a small dump's header has {_HEADER.size} bytes")
    _, version, *parts = _HEADER.unpack(source.read(0, _HEADER.size))
    if version != VERSION:
        raise DumpError(f"{source.name} is a small dump of version {version}; this is read: {VERSION}")
    described, runs_at, chunks_at, kernel_at = zip(parts[::2], parts[1::2], strict=True)
    said = _parsed(_unpacked(source.read(*described), None, "description"), source.name)
    runs = list(_RUN.iter_unpack(_whole(source, *runs_at, _RUN)))
    chunks = list(_CHUNK.iter_unpack(_whole(source, *chunks_at, _CHUNK)))
    total = sum(count for _, count in runs)
    ascending = all(first + count <= after for (first, count), (after, _) in pairwise(runs))
    possible = all(count > 0 and first + count <= 1 << 40 for first, count in runs)
    if not ascending or not possible or -(-total // _CHUNK_PAGES) != len(chunks):
        raise DumpError(f"{source.name} is damaged: {total:,} pages in {len(chunks):,} chunks")
    facts = tuple((f"saved {name}", value) for name, value in said.provenance)
    kernel = None
    if kernel_at[1]:
        kernel = SmallKernel(source, *kernel_at, said.kernel_name, said.kernel_bytes)
    states = (CpuState(said.registers, said.efer_from),)
    memory = SmallMemory(source, runs, chunks, said.faults)
    return Dump(
        f"small dump, version {version}",
        memory,
        states,
        facts,
        kernel=kernel,
        physical_bits=said.physical_bits,
    )


def _whole(source: Source, offset: int, size_bytes: int, row: struct.Struct) -> bytes:
    if size_bytes % row.size:
        raise DumpError(f"{source.name} is damaged: a table of {size_bytes:,} bytes")
    return source.read(offset, size_bytes)


def _unpacked(packed: bytes, size_bytes: int | None, what: str) -> bytes:
    """What comes out, of exactly that size; a description of at most what is allowed."""
    most = _MOST_DESCRIPTION_BYTES if size_bytes is None else size_bytes
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES)
    try:
        data = unpacker.decompress(packed, most)
        if not unpacker.eof:  # the check at its end may be what is left to read
            data += unpacker.decompress(b"", 1)
    except (lzma.LZMAError, EOFError) as error:
        raise DumpError(f"the {what}'s xz data is damaged") from error
    if len(data) > most or not unpacker.eof or (size_bytes is not None and len(data) != size_bytes):
        raise DumpError(f"the {what}'s xz data is damaged: {len(data):,} bytes come out")
    return data


def _parsed(text: bytes, name: str) -> Description:
    """The description, every value judged before it is believed."""
    try:
        said = json.loads(text)
        registers = {str(key): int(value) for key, value in said["registers"].items()}
        faults = [(int(first), int(count), str(why)[:200]) for first, count, why in said["faults"]]
        provenance = [(str(key)[:40], str(value)[:400]) for key, value in said["provenance"]]
        bits, kernel, size = said["physical_bits"], str(said["kernel_name"]), int(said["kernel_bytes"])
        efer_from = str(said["efer_from"])[:200]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DumpError(f"{name} is damaged: its description is none") from error
    plain = kernel == "" or (Path(kernel).name == kernel and kernel.isprintable() and len(kernel) < 200)
    sound = (
        plain
        and kernel not in (".", "..")
        and 0 <= size <= MOST_KERNEL_BYTES
        and all(0 <= value < 1 << 64 for value in registers.values())
        and all(first >= 0 and 0 < count <= 1 << 40 for first, count, _ in faults)
        and (bits is None or (isinstance(bits, int) and 32 <= bits <= 52))
    )
    if not sound:
        raise DumpError(f"{name} is damaged: its description cannot be")
    return Description(registers, efer_from, provenance, faults, bits, kernel, size)
