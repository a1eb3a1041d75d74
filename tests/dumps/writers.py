"""Dump files in forms that not every QEMU writes, made of one it wrote; nothing of the tool is used.

The layouts are those of makedumpfile's diskdump_mod.h, makedumpfile.h and of the ELF specification.
"""

import struct
import zlib
from collections.abc import Callable, Collection, Mapping

import cramjam
from lzallright import LZOCompressor

PAGE = 4096
CODECS: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "zlib": (0x01, lambda page: zlib.compress(page, 1)),
    "lzo": (0x02, lambda page: bytes(LZOCompressor().compress(page))),
    "snappy": (0x04, lambda page: bytes(cramjam.snappy.compress_raw(page))),
    "zstd": (0x20, lambda page: bytes(cramjam.zstd.compress(page))),
    "none": (0, bytes),
}
_DESCRIPTOR = struct.Struct("<QIIQ")


def pages_of_kdump(plain: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Everything before the bitmaps, and the pages, of a kdump compressed with zlib."""
    sub_blocks, bitmap_blocks = struct.unpack_from("<II", plain, 432)
    bitmap_at = PAGE * (1 + sub_blocks)
    half = bitmap_blocks * PAGE // 2
    at = bitmap_at + 2 * half
    pages: dict[int, bytes] = {}
    unpacked: dict[int, bytes] = {}
    for number in range(8 * half):
        if plain[bitmap_at + half + number // 8] >> number % 8 & 1:
            offset, size, flags, _ = _DESCRIPTOR.unpack_from(plain, at)
            at += _DESCRIPTOR.size
            if offset not in unpacked:
                data = plain[offset : offset + size]
                unpacked[offset] = zlib.decompress(data) if flags & 1 else data
            pages[number] = unpacked[offset]
    return plain[:bitmap_at], pages


def kdump(head: bytes, pages: Mapping[int, bytes], codec: str, *, excluded: Collection[int] = ()) -> bytes:
    """A kdump of those pages; `excluded` ones are RAM that was left out."""
    flag, compress = CODECS[codec]
    blocks = (max(pages) // 8 + 1 + PAGE - 1) // PAGE
    present, dumped = bytearray(blocks * PAGE), bytearray(blocks * PAGE)
    for number in pages:
        present[number // 8] |= 1 << number % 8
        if number not in excluded:
            dumped[number // 8] |= 1 << number % 8
    kept = [number for number in sorted(pages) if number not in excluded]
    first = len(head) + 2 * blocks * PAGE
    at = first + len(kept) * _DESCRIPTOR.size
    written: dict[bytes, tuple[int, int, int]] = {}
    descriptors, data = bytearray(), bytearray()
    for number in kept:
        page = pages[number]
        if page not in written:
            packed = compress(page)
            if len(packed) >= PAGE:
                written[page] = (at + len(data), PAGE, 0)
                packed = page
            else:
                written[page] = (at + len(data), len(packed), flag)
            data += packed
        descriptors += _DESCRIPTOR.pack(*written[page], 0)
    head = head[:436] + struct.pack("<I", 2 * blocks) + head[440:]
    head = head[: PAGE + 96] + struct.pack("<Q", 8 * blocks * PAGE) + head[PAGE + 104 :]
    return bytes(head + present + dumped + descriptors + data)


def kdump_head(machine: bytes = b"x86_64", remarks: bytes = b"") -> bytes:
    """Header and sub-header of version 6; `remarks` are the ELF notes."""
    head = bytearray(2 * PAGE)
    head[:8] = b"KDUMP   "
    struct.pack_into("<I", head, 8, 6)
    head[272 : 272 + len(machine)] = machine
    struct.pack_into("<III", head, 428, PAGE, 1, 0)
    struct.pack_into("<QQ", head, PAGE + 48, PAGE + 512, len(remarks))
    head[PAGE + 512 : PAGE + 512 + len(remarks)] = remarks
    return bytes(head)


def flattened(plain: bytes, piece_bytes: int = 4 * PAGE, *, ends: bool = True) -> bytes:
    """The pieces of a file; its beginning comes first as zeros, and last as it is."""
    parts = [b"makedumpfile\0\0\0\0" + struct.pack(">QQ", 1, 1) + bytes(PAGE - 32)]
    order = [(0, bytes(min(512, len(plain))))]
    order += [(at, plain[at : at + piece_bytes]) for at in range(512, len(plain), piece_bytes)]
    for place, data in [*order, (0, plain[:512])]:
        if any(data) or place == 0:
            parts += [struct.pack(">QQ", place, len(data)), data]
    parts.append(struct.pack(">qq", -1, -1) if ends else b"")
    return b"".join(parts)


def qemu_note(registers: Mapping[str, int], *, long_mode: bool = True) -> bytes:
    """A note with the state of a CPU, as QEMU's arch_dump.c lays it out."""
    names = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"]
    names += [*(f"r{number}" for number in range(8, 16)), "rip", "eflags"]
    state = bytearray(440)
    struct.pack_into("<II18Q", state, 0, 1, 440, *(registers.get(name, 0) for name in names))
    struct.pack_into("<III", state, 152, 8, 0xFFFFFFFF, 0xAF9B00 if long_mode else 0xCF9B00)
    struct.pack_into("<5Q", state, 392, *(registers.get(f"cr{number}", 0) for number in range(5)))
    return struct.pack("<III8s", 5, len(state), 0, b"QEMU") + bytes(state)


def elf_core(
    segments: Collection[tuple[int, int, bytes, int]],
    remarks: bytes = b"",
    *,
    bits: int = 64,
    machine: int = 62,
    many: bool = False,
) -> bytes:
    """A core of (virtual, physical, bytes, size in memory) segments; `many`: their number in a section."""
    wide = bits == 64
    header, row, section = (64, 56, 64) if wide else (52, 32, 40)
    count = len(segments) + 1
    table = header + (section if many else 0)
    at = table + count * row
    shown = 0xFFFF if many else count
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    form = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    sections = header if many else 0
    head = ident + struct.pack(form, 4, machine, 1, 0, table, sections, 0, header, row, shown, section, 1, 0)
    if many:
        extra = bytearray(section)
        struct.pack_into("<I", extra, 44 if wide else 28, count)
        head += extra
    rows, body = bytearray(), bytearray(remarks)

    def add(kind: int, offset: int, virtual: int, physical: int, sizes: tuple[int, int]) -> None:
        nonlocal rows
        if wide:
            rows += struct.pack("<IIQQQQQQ", kind, 0, offset, virtual, physical, *sizes, 0)
        else:
            rows += struct.pack("<IIIIIIII", kind, offset, virtual, physical, *sizes, 0, 0)

    add(4, at, 0, 0, (len(remarks), len(remarks)))
    for virtual, physical, data, memory_bytes in segments:
        add(1, at + len(body), virtual, physical, (len(data), memory_bytes))
        body += data
    return bytes(head + rows + body)
