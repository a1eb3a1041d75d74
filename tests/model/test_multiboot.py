"""From the boot loader's bytes to the managed ranges (docs/spec.md §4.1 to §4.3)."""

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import BootStopped
from model.memory import PhysicalRange
from model.multiboot import MapEntry, managed_ranges, merge, parse, ram_regions, reserved_ranges, subtract
from model.types import PhysicalAddress

MIB = 1 << 20
U64 = 1 << 64


def span(start: int, end: int) -> PhysicalRange:
    return PhysicalRange(PhysicalAddress(start), PhysicalAddress(end))


def pairs(ranges: tuple[PhysicalRange, ...]) -> list[tuple[int, int]]:
    return [(piece.start, piece.end) for piece in ranges]


# §4.1 RAM regions


def test_the_map_that_qemu_gives_for_128_mib() -> None:
    entries = [
        MapEntry(0, 0x9FC00),
        MapEntry(0x9FC00, 0x400, 2),
        MapEntry(0xF0000, 0x10000, 2),
        MapEntry(0x100000, 0x7EE0000),
        MapEntry(0x7FE0000, 0x20000, 2),
        MapEntry(0xFFFC0000, 0x40000, 2),
    ]
    assert pairs(ram_regions(entries)) == [(0, 0x9F000), (0x100000, 0x7FE0000)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([(0x1800, 0x2000, 1)], [(0x2000, 0x3000)], id="rounded inward"),
        pytest.param([(0x1800, 0x800, 1)], [], id="less than a page"),
        pytest.param([(0x1800, 0x1000, 1)], [], id="a page's worth, but no page"),
        pytest.param(
            [(0x5000, 0x1000, 1), (0x1000, 0x1000, 1)], [(0x1000, 0x2000), (0x5000, 0x6000)], id="sorted"
        ),
        pytest.param([(0x1000, 0x1000, 1), (0x2000, 0x1000, 1)], [(0x1000, 0x3000)], id="touching"),
        pytest.param(
            [(0x1000, 0x3000, 1), (0x2000, 0x1000, 1)], [(0x1000, 0x4000)], id="one inside the other"
        ),
        pytest.param(
            [(0x1000, 0x800, 1), (0x1800, 0x1800, 1)], [(0x2000, 0x3000)], id="rounded before they are merged"
        ),
        pytest.param([(0, 0x8000, 1), (0x2000, 0x1000, 2)], [(0, 0x2000), (0x3000, 0x8000)], id="a hole"),
        pytest.param(
            [(0x2000, 0x1000, 2), (0, 0x8000, 1)], [(0, 0x2000), (0x3000, 0x8000)], id="a hole that is first"
        ),
        pytest.param(
            [(0, 0x8000, 1), (0x2FFF, 2, 2)], [(0, 0x2000), (0x4000, 0x8000)], id="a hole of two bytes"
        ),
        pytest.param([(0, 0x4000, 1), (0x3000, 0x9000, 3)], [(0, 0x3000)], id="any other type"),
        pytest.param([(0, 0x4000, 1), (0x3000, 0x9000, 0)], [(0, 0x3000)], id="type 0 too"),
        pytest.param([(0, 0x4000, 1), (0, 0x4000, 2)], [], id="nothing is left"),
        pytest.param([(0x1000, 0, 1), (0x5000, 0, 2)], [], id="length 0"),
        pytest.param([(0, 0x4000, 1), (0x1000, 0, 2)], [(0, 0x4000)], id="a hole of length 0"),
        pytest.param([(0x1000, U64 - 0x1000, 1)], [], id="its end is 2^64"),
        pytest.param([(0x1000, U64 - 1, 1)], [], id="its end wraps"),
        pytest.param(
            [(0, 0x4000, 1), (0x1000, U64 - 1, 2)], [(0, 0x4000)], id="a hole that wraps is ignored"
        ),
        pytest.param([(U64 - 0x1800, 0x17FF, 1)], [], id="the last page has no end below 2^64"),
        pytest.param([], [], id="empty"),
    ],
)
def test_ram_regions(entries: list[tuple[int, int, int]], expected: list[tuple[int, int]]) -> None:
    assert pairs(ram_regions([MapEntry(*entry) for entry in entries])) == expected


def test_no_more_than_64_entries_are_looked_at() -> None:
    entries = [MapEntry(0x2000 * n, 0x1000) for n in range(64)] + [MapEntry(0, MIB, 2), MapEntry(MIB, MIB)]
    regions = ram_regions(entries)
    assert len(regions) == 64
    assert regions[-1] == span(0x2000 * 63, 0x2000 * 63 + 0x1000)


ranges = st.builds(lambda a, n: span(a, a + n), st.integers(0, 60), st.integers(0, 12))


@given(st.lists(ranges), st.lists(ranges))
def test_merge_and_subtract_are_operations_on_sets(
    some: list[PhysicalRange], others: list[PhysicalRange]
) -> None:
    def addresses(of: list[PhysicalRange] | tuple[PhysicalRange, ...]) -> set[int]:
        return {address for piece in of for address in range(piece.start, piece.end)}

    merged = merge(some)
    assert addresses(merged) == addresses(some)
    assert all(a.end < b.start for a, b in pairwise(merged))
    assert all(piece.start < piece.end for piece in merged)
    assert addresses(tuple(subtract(some, merge(others)))) == addresses(some) - addresses(others)


# §4.2, §4.3


def test_reserved_ranges_are_whole_pages_merged() -> None:
    given_ranges = [span(0x9500, 0x9558), span(0x9000, 0x9010), span(0xA000, 0xA001), span(0x20FFF, 0x21001)]
    assert pairs(reserved_ranges(given_ranges)) == [(0x9000, 0xB000), (0x20000, 0x22000)]
    assert reserved_ranges([span(0x5000, 0x5000), span(0x6000, 0x5000)]) == ()


def test_more_than_32_reserved_ranges_stop_the_boot() -> None:
    apart = [span(0x2000 * n, 0x2000 * n + 1) for n in range(33)]
    assert len(reserved_ranges(apart[:32])) == 32
    with pytest.raises(BootStopped):
        reserved_ranges(apart)
    assert len(reserved_ranges([span(0x1000 * n, 0x1000 * n + 1) for n in range(500)])) == 1


def test_reserved_ranges_are_counted_at_every_addition() -> None:
    # The last one would join them all, but it comes too late.
    apart = [span(0x2000 * n, 0x2000 * n + 1) for n in range(33)]
    with pytest.raises(BootStopped):
        reserved_ranges([*apart, span(0, 0x100000)])
    assert len(reserved_ranges([*apart[:32], span(0, 0x100000)])) == 1


def test_managed_ranges_by_hand() -> None:
    ram = (span(0, 0x9F000), span(MIB, 0x800000), span(0x900000, 0xA00000))
    reserved = (span(0x5000, 0x6000), span(0x400000, 0x402000), span(0x7FF000, 0x901000))
    # Below the placement end nothing; then the RAM around the reserved pages.
    assert pairs(managed_ranges(ram, reserved, PhysicalAddress(0x358000))) == [
        (0x358000, 0x400000),
        (0x402000, 0x7FF000),
        (0x901000, 0xA00000),
    ]


# The bytes of the boot loader


def reader(image: dict[int, bytes]) -> Callable[[PhysicalAddress, int], bytes | None]:
    """Memory that is readable in [0, 0x20000), zero but for `image`."""
    memory = bytearray(0x20000)
    for at, data in image.items():
        memory[at : at + len(data)] = data
    return lambda address, size: (
        bytes(memory[address : address + size]) if address + size <= 0x20000 else None
    )


def information(**fields: int) -> bytes:
    """The structure of the Multiboot specification: 22 words, those that matter by name."""
    words = [0] * 22
    places = {"flags": 0, "mem_upper": 2, "cmdline": 4, "mods_count": 5, "mods_addr": 6}
    places |= {"mmap_length": 11, "mmap_addr": 12}
    for name, value in fields.items():
        words[places[name]] = value
    return struct.pack("<22I", *words)


def map_entry(start: int, length: int, kind: int, size: int = 20) -> bytes:
    return struct.pack("<IQQI", size, start, length, kind) + bytes(max(0, size - 20))


def test_everything_a_boot_loader_may_leave() -> None:
    entries = map_entry(0, 0x9FC00, 1) + map_entry(MIB, 63 * MIB, 1, size=24) + map_entry(0xF0000, 0x10000, 2)
    image = {
        0x9500: information(
            flags=1 << 6 | 1 << 3 | 1 << 2 | 1,
            mem_upper=1,
            cmdline=0x8000,
            mods_count=2,
            mods_addr=0x7000,
            mmap_length=len(entries),
            mmap_addr=0x9000,
        ),
        0x9000: entries,
        0x8000: b"coronel scenario=mixed\0",
        0x7000: struct.pack("<8I", 0x200000, 0x201234, 0x7100, 0, 0x300000, 0x300001, 0, 0),
        0x7100: b"\0",
    }
    found = parse(reader(image), PhysicalAddress(0x9500))
    assert found.memory_map == (
        MapEntry(0, 0x9FC00, 1),
        MapEntry(MIB, 63 * MIB, 1),
        MapEntry(0xF0000, 0x10000, 2),
    )
    # 24 + 28 + 24 bytes of map; the text with its zero has 23 bytes; two modules of 16 bytes each.
    assert pairs(tuple(piece for piece in found.reserved if piece.start < piece.end)) == [
        (0x9500, 0x9558),
        (0x8000, 0x8017),
        (0x9000, 0x904C),
        (0x7000, 0x7020),
        (0x200000, 0x201234),
        (0x7100, 0x7101),
        (0x300000, 0x300001),
    ]


def test_without_a_map_mem_upper_counts() -> None:
    found = parse(reader({0x9000: information(flags=1, mem_upper=31 * 1024 + 3)}), PhysicalAddress(0x9000))
    assert found.memory_map == (MapEntry(MIB, 31 * MIB + 3072, 1),)
    assert pairs(ram_regions(found.memory_map)) == [(MIB, 32 * MIB)]
    assert pairs(found.reserved) == [(0x9000, 0x9058)]


@pytest.mark.parametrize("flags", [0, 1 << 2, 1 << 3 | 1 << 9])
def test_no_memory_information_stops_the_boot(flags: int) -> None:
    with pytest.raises(BootStopped) as caught:
        parse(reader({0x9000: information(flags=flags)}), PhysicalAddress(0x9000))
    assert caught.value.line == "coronel: no memory information from the boot loader"
    with pytest.raises(BootStopped):
        parse(reader({}), PhysicalAddress(0xFFFF_0000))


@pytest.mark.parametrize(
    ("map_bytes", "length", "count"),
    [
        pytest.param(map_entry(0, MIB, 1) * 2, 47, 1, id="the second is cut short"),
        pytest.param(map_entry(0, MIB, 1, size=16) * 2, 48, 0, id="an entry too short to be one"),
        pytest.param(map_entry(0, MIB, 1, size=0) * 2, 48, 0, id="size 0: would never end"),
        pytest.param(struct.pack("<IQQI", 0xFFFFFFF0, 0, MIB, 1), 48, 0, id="an entry longer than the map"),
        pytest.param(map_entry(0, MIB, 1) * 100, 2400, 64, id="at most 64"),
        pytest.param(b"", 0, 0, id="empty"),
    ],
)
def test_damaged_maps(map_bytes: bytes, length: int, count: int) -> None:
    image = {
        0x9000: information(flags=1 << 6, mmap_addr=0xA000, mmap_length=length),
        0xA000: map_bytes,
    }
    assert len(parse(reader(image), PhysicalAddress(0x9000)).memory_map) == count


def test_what_cannot_be_read_counts_as_absent() -> None:
    flags = 1 << 6 | 1 << 3 | 1 << 2
    data = information(
        flags=flags, cmdline=0x20000, mods_count=9, mods_addr=0x20000, mmap_addr=0x3FFF_0000, mmap_length=48
    )
    found = parse(reader({0x9000: data}), PhysicalAddress(0x9000))
    assert found.memory_map == ()
    assert ram_regions(found.memory_map) == ()
    assert pairs(found.reserved)[3:] == [(0x20000, 0x20000 + 9 * 16)]  # the list itself, no module


GIB = 1 << 30


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": 1 << 6, "mmap_addr": GIB - 24, "mmap_length": 25},
        {"flags": 1 | 1 << 2, "cmdline": GIB},
        {"flags": 1 | 1 << 3, "mods_addr": GIB - 16, "mods_count": 2},
        {"flags": 1 | 1 << 3, "mods_addr": 0x1000, "mods_count": 0xFFFF_FFFF},
    ],
)
def test_boot_information_above_1_gib_stops_the_boot(fields: dict[str, int]) -> None:
    with pytest.raises(BootStopped):
        parse(reader({0x9000: information(**fields)}), PhysicalAddress(0x9000))


def test_an_information_structure_above_1_gib_stops_the_boot() -> None:
    with pytest.raises(BootStopped, match="above 1 GiB"):
        parse(reader({}), PhysicalAddress(GIB - 87))


def test_a_text_without_an_end_ends_with_memory() -> None:
    image = {0x9000: information(flags=1 | 1 << 2, cmdline=0x1E800), 0x1E800: b"x" * 0x1800}
    found = parse(reader(image), PhysicalAddress(0x9000))
    assert pairs(found.reserved)[1] == (0x1E800, 0x20000)
