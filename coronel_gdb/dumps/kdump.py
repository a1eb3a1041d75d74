"""kdump-compressed dumps (makedumpfile: IMPLEMENTATION, diskdump_mod.h), as QEMU and makedumpfile write them.

Block 0 is the header, block 1 the sub-header; then two bitmaps, one bit a page: the first has the pages that
are RAM, the second those that were dumped. For each dumped page follows a descriptor of 24 bytes, in order of
address: offset, size, flags. So a page is found by counting bits; bitmaps and a running count are kept.
"""

import struct
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from coronel_gdb.dumps.compression import NAMES, Decompress, decompressor
from coronel_gdb.dumps.cpu_state import cpu_states
from coronel_gdb.dumps.dump import EXCLUDED, OUTSIDE, Dump
from coronel_gdb.dumps.source import Source
from coronel_gdb.errors import DumpError, ReadFault
from model.types import PAGE_BYTES, PhysicalAddress

MAGIC = b"KDUMP   "
_HEADER_BYTES = 464
_VERSION_AT, _MACHINE_AT, _STATUS_AT = 8, 12 + 4 * 65, 424
_DESCRIPTOR = struct.Struct("<QIIQ")
_DESCRIPTORS = 512  # read at once
_KEPT_PAGES, _KEPT_DESCRIPTORS = 1024, 64
_COUNTED_BYTES = 256  # of a bitmap, from one running count to the next
_MOST_NOTE_BYTES = 1 << 20
_MOST_BITMAP_BYTES = 256 << 20  # 8 TiB of RAM in each bitmap
_ANY_CODE = sum(NAMES)


class KdumpMemory:
    """The pages of a kdump, found by counting and decompressed when they are read."""

    def __init__(self, source: Source, present: bytes, dumped: bytes, descriptors_at: int) -> None:
        self._source = source
        self._present = present
        self._dumped = dumped
        self._descriptors_at = descriptors_at
        self._counts = array("Q", [0])
        for at in range(0, len(dumped), _COUNTED_BYTES):
            part = dumped[at : at + _COUNTED_BYTES]
            self._counts.append(self._counts[-1] + int.from_bytes(part, "little").bit_count())
        self._pages: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
        self._descriptors: OrderedDict[int, bytes] = OrderedDict()
        self._decompressors: dict[int, Decompress] = {}

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes; `ReadFault` says which of the three ways they are not there."""
        at, end = int(address), address + size_bytes
        first = at & -PAGE_BYTES
        # Judged before anything is decompressed: a large read that must fail fails at once.
        for page in range(first, end, PAGE_BYTES):
            number = page // PAGE_BYTES
            if not _bit(self._dumped, number):
                why = EXCLUDED if _bit(self._present, number) else OUTSIDE
                raise ReadFault("physical", max(page, at), end - max(page, at), why)
        data = b"".join(self._page(page // PAGE_BYTES) for page in range(first, end, PAGE_BYTES))
        return data[at - first : end - first]

    def ranges(self) -> Sequence[tuple[int, int]]:
        """What the first bitmap calls RAM."""
        found: list[tuple[int, int]] = []
        for at in range(0, len(self._present), _COUNTED_BYTES):
            part = self._present[at : at + _COUNTED_BYTES]
            whole = len(part) * 8
            if not any(part):
                continue
            full = part == b"\xff" * len(part)
            numbers = [(0, whole)] if full else [(bit, bit + 1) for bit in range(whole) if _bit(part, bit)]
            for low, high in numbers:
                start, end = (8 * at + low) * PAGE_BYTES, (8 * at + high) * PAGE_BYTES
                if found and found[-1][1] == start:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((start, end))
        return found

    def _page(self, number: int) -> bytes:
        try:
            offset, size, flags, _ = self._descriptor(self._rank(number))
            key = (offset, size, flags)
            page = self._pages.get(key)
            if page is None:
                page = self._pages[key] = self._unpack(offset, size, flags)
                if len(self._pages) > _KEPT_PAGES:
                    self._pages.popitem(last=False)
            else:
                self._pages.move_to_end(key)
            return page
        except DumpError as error:
            raise ReadFault("physical", number * PAGE_BYTES, PAGE_BYTES, str(error)) from error

    def _unpack(self, offset: int, size_bytes: int, flags: int) -> bytes:
        kind = flags & _ANY_CODE
        if size_bytes > 2 * PAGE_BYTES or (kind and kind not in NAMES):
            raise DumpError(f"the page's descriptor is damaged: {size_bytes:,} bytes, flags {flags:#x}")
        data = self._source.read(offset, size_bytes)
        if kind:
            if kind not in self._decompressors:
                self._decompressors[kind] = decompressor(kind)
            try:
                data = self._decompressors[kind](data, PAGE_BYTES)
            except Exception as error:  # each library has its own, and one line of them all is enough
                raise DumpError(f"the page's {NAMES[kind]} data is damaged") from error
        if len(data) != PAGE_BYTES:
            raise DumpError(f"the page's data is damaged: {len(data):,} bytes come out")
        return data

    def _descriptor(self, rank: int) -> tuple[int, int, int, int]:
        block, index = divmod(rank, _DESCRIPTORS)
        data = self._descriptors.get(block)
        if data is None:
            count = min(_DESCRIPTORS, self._counts[-1] - block * _DESCRIPTORS)
            at = self._descriptors_at + block * _DESCRIPTORS * _DESCRIPTOR.size
            data = self._descriptors[block] = self._source.read(at, count * _DESCRIPTOR.size)
            if len(self._descriptors) > _KEPT_DESCRIPTORS:
                self._descriptors.popitem(last=False)
        offset, size, flags, page_flags = _DESCRIPTOR.unpack_from(data, index * _DESCRIPTOR.size)
        return offset, size, flags, page_flags

    def _rank(self, number: int) -> int:
        """How many dumped pages come before this one."""
        chunk, rest = divmod(number, 8 * _COUNTED_BYTES)
        part = self._dumped[chunk * _COUNTED_BYTES : chunk * _COUNTED_BYTES + _COUNTED_BYTES]
        return self._counts[chunk] + (int.from_bytes(part, "little") & ((1 << rest) - 1)).bit_count()


def _bit(bitmap: bytes, number: int) -> bool:
    return number >> 3 < len(bitmap) and bool(bitmap[number >> 3] >> (number & 7) & 1)


def open_kdump(source: Source, flattened: str = "") -> Dump:
    """The dump in `source`; `DumpError` when its headers are damaged or of a kind that no x86-64 has."""
    head = source.read(0, _HEADER_BYTES)
    (version,) = struct.unpack_from("<I", head, _VERSION_AT)
    block, sub_blocks, bitmap_blocks, most_pages = struct.unpack_from("<IIII", head, _STATUS_AT + 4)
    machine = head[_MACHINE_AT : _MACHINE_AT + 65].split(b"\0")[0]
    if block != PAGE_BYTES:
        raise DumpError(f"{source.name} is damaged, or not from x86: its blocks have {block:,} bytes")
    sub = source.read(block, 104)
    note_at, note_bytes = struct.unpack_from("<QQ", sub, 48) if version >= 4 else (0, 0)
    if version >= 6:
        (most_pages,) = struct.unpack_from("<Q", sub, 96)
    if not 0 < sub_blocks < 1 << 20 or note_bytes > _MOST_NOTE_BYTES:
        raise DumpError(f"{source.name} is damaged: {sub_blocks:,} blocks of sub-header")
    half = bitmap_blocks * block // 2
    used = (most_pages + 7) // 8
    if not 0 < used <= half or used > _MOST_BITMAP_BYTES:
        raise DumpError(f"{source.name} is damaged: {most_pages:,} pages, bitmaps of {half:,} bytes")
    bitmap_at = block * (1 + sub_blocks)
    present, dumped = source.read(bitmap_at, used), source.read(bitmap_at + half, used)
    remarks = source.read(note_at, note_bytes) if note_bytes else b""
    memory = KdumpMemory(source, present, dumped, block * (1 + sub_blocks + bitmap_blocks))
    states = cpu_states(remarks, long_mode=machine == b"x86_64")
    return Dump(f"kdump-compressed{flattened}", memory, states)
