"""Malloc and expansion of the kernel heap (docs/spec.md §7.2, §7.4, §7.8)."""

import struct

import pytest

from model.errors import ErrorKind
from model.events import Event
from model.machine import Machine
from model.types import VirtualAddress
from tests.model.heap_view import (
    FREE,
    HEAP,
    U64,
    USED,
    B,
    blocks,
    counts,
    drain,
    errors,
    expect_refusal,
    field,
    fill,
    poke,
    read,
    whole_heap,
)

# §7.2, §7.8: before and after the first expansion


def test_before_the_first_malloc_all_fields_are_0(machine: Machine) -> None:
    assert read(machine, HEAP, 120) == bytes(120)
    assert machine.heap.validate_heap()
    assert not machine.heap.free(B + 48)
    assert not machine.heap.free(48)
    assert not machine.heap.free(U64 - 16)
    assert errors(machine) == [0, 0, 0, 0, 3]


def test_the_first_malloc_by_hand(machine: Machine, events: list[Event]) -> None:
    events.clear()
    assert machine.heap.malloc(100) == B + 48
    # 112 of 65488 bytes are taken; the rest has a header of its own at 48 + 112 = 160.
    assert blocks(machine) == [(0, 112, "used"), (160, 65328, "free")]
    assert [field(machine, offset) for offset in (0, 8, 16, 24)] == [B, B + 0x10000, 0x10000, B]
    assert counts(machine) == (1, 0, 1)
    assert read(machine, B, 48) == struct.pack("<QQQQQQ", 112, 0, B + 160, 0, USED, 0)
    assert read(machine, B + 160, 48) == struct.pack("<QQQQQQ", 65328, 1, 0, B, FREE, 0)
    # The frames of the pages ascend; the second frame became the page table.
    frames = [machine.memory.translate(VirtualAddress(B + 4096 * n)) for n in range(16)]
    assert frames == [0x35D000, *(0x35F000 + 4096 * n for n in range(15))]
    assert machine.frames.free_count == 7331 - 17
    parts = [(e.part, e.operation) for e in events]
    assert parts[:4] == [("virt", "alloc"), ("physical", "alloc"), ("physical", "alloc"), ("paging", "map")]
    assert parts[-1] == ("heap", "malloc")
    assert len(parts) == 1 + 17 + 16 + 1


@pytest.mark.parametrize(
    ("size", "region", "sizes"),
    [
        pytest.param(1, 0x10000, [16, 65488 - 16 - 48], id="16 at least"),
        pytest.param(65488 - 64, 0x10000, [65424, 16], id="exactly 64 are left: split"),
        pytest.param(65488 - 63, 0x10000, [65488], id="rounded up, 48 are left: no split"),
        pytest.param(65488, 0x10000, [65488], id="the largest of 64 KiB"),
        pytest.param(65489, 0x11000, [65504, 0x11000 - 48 - 65504 - 48], id="up(65504 + 48, 4096)"),
        pytest.param(0x20000, 0x21000, [0x20000, 0x1000 - 48 - 48], id="up(0x20030, 4096)"),
    ],
)
def test_expansion_sizes_and_splits(machine: Machine, size: int, region: int, sizes: list[int]) -> None:
    assert machine.heap.malloc(size) == B + 48
    assert field(machine, 16) == region
    assert [block[1] for block in blocks(machine)] == sizes


def test_an_expansion_grows_a_free_last_block_it_touches(machine: Machine) -> None:
    machine.heap.malloc(100)
    stale = read(machine, B + 0x10000 - 48, 48)
    # 65328 are free; 70000 need up(70048, 4096) = 0x12000 more, at B + 0x10000.
    assert machine.heap.malloc(70000) == B + 160 + 48
    assert counts(machine) == (2, 0, 2)
    assert field(machine, 16) == 0x22000
    assert blocks(machine) == [
        (0, 112, "used"),
        (160, 70000, "used"),
        (160 + 48 + 70000, 0x22000 - 160 - 48 - 70000 - 48, "free"),
    ]
    assert read(machine, B + 0x10000 - 48, 48) == stale  # no header was written at the old end


def test_an_expansion_behind_a_used_block_is_a_block_of_its_own(machine: Machine) -> None:
    machine.heap.malloc(65488)
    assert machine.heap.malloc(16) == B + 0x10000 + 48
    assert blocks(machine)[:2] == [(0, 65488, "used"), (0x10000, 16, "used")]


def test_a_region_that_touches_nothing(machine: Machine) -> None:
    machine.heap.malloc(100)
    taken = machine.regions.alloc(0x1000)  # B + 0x10000: between the regions
    assert taken == B + 0x10000
    assert machine.heap.malloc(0x10000) == B + 0x11000 + 48
    assert blocks(machine)[1:3] == [(160, 65328, "free"), (0x11000, 0x10000, "used")]
    assert (field(machine, 0), field(machine, 8), field(machine, 16)) == (B, B + 0x22000, 0x21000)
    assert machine.heap.validate_heap()


def test_a_region_below_the_first_widens_the_start(machine: Machine) -> None:
    machine.regions.alloc(0x20000)
    machine.heap.malloc(100)
    assert field(machine, 0) == B + 0x20000
    machine.regions.free(B, 0x20000)
    assert machine.heap.malloc(0x12000) == B + 48
    assert (field(machine, 0), field(machine, 8)) == (B, B + 0x30000)
    assert field(machine, 24) == B + 0x20000  # the list's order is that of the expansions
    assert machine.heap.validate_heap()


def test_padding_keeps_what_it_held(machine: Machine) -> None:
    pointer = machine.heap.malloc(400)
    fill(machine, pointer, 400, 0xEE)
    machine.heap.realloc(pointer, 16)  # a header is written over the data, at 64
    raw = read(machine, B + 64, 48)
    assert raw[9:16] == b"\xee" * 7
    assert raw[40:] == b"\xee" * 8


# §7.8: failures are undone


@pytest.mark.parametrize("left", [0, 1, 2, 9, 16])
def test_an_expansion_without_frames_is_undone_in_reverse(
    machine: Machine, events: list[Event], left: int
) -> None:
    drain(machine, left)
    listed = machine.memory.read(VirtualAddress(0xFFFF_FFFF_8033_6260), 40)
    events.clear()
    assert machine.heap.malloc(16) == 0
    assert read(machine, HEAP, 72) == bytes(72)
    assert errors(machine) == [1, 0, 0, 0, 0]
    assert machine.memory.read(VirtualAddress(0xFFFF_FFFF_8033_6260), 40) == listed
    # With two frames or more the page table of the first page stays.
    assert machine.frames.free_count == (left if left < 2 else left - 1)
    mapped = [e for e in events if e.operation == "map" and e.result]
    unmapped = [e for e in events if e.operation == "unmap"]
    assert [e.arguments[1] for e in unmapped] == [e.arguments[1] for e in reversed(mapped)]
    freed = [e.arguments[0] for e in events if (e.part, e.operation) == ("physical", "free")]
    taken = [e.result for e in events if (e.part, e.operation) == ("physical", "alloc") and e.result]
    if left >= 2:
        taken.remove(taken[1])  # the page table
    assert freed == taken[::-1]


def test_an_expansion_without_addresses(machine: Machine) -> None:
    machine.regions.alloc(0x3FA0_0000 - 0xF000)
    assert machine.heap.malloc(16) == 0
    assert errors(machine) == [0, 1, 0, 0, 0]
    assert read(machine, HEAP, 72) == bytes(72)


# §7.4


@pytest.mark.parametrize("size", [(1 << 40) + 1, 1 << 63, U64 - 1, U64 - 15, -1])
def test_malloc_of_too_much(machine: Machine, size: int) -> None:
    assert machine.heap.malloc(size) == 0
    assert errors(machine) == [1, 0, 0, 0, 0]


def test_2_to_the_40_is_asked_for_and_not_there(machine: Machine) -> None:
    assert machine.heap.malloc(1 << 40) == 0
    assert errors(machine) == [0, 1, 0, 0, 0]


def test_malloc_of_nothing(machine: Machine) -> None:
    assert machine.heap.malloc(0) == 0
    assert errors(machine) == [0, 0, 0, 0, 0]
    assert counts(machine) == (0, 0, 0)


def test_first_fit(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[1])
    machine.heap.free(row[3])
    assert machine.heap.malloc(113) == B + 960 + 48  # neither hole holds 128
    assert machine.heap.malloc(100) == row[1]
    assert machine.heap.malloc(100) == row[3]


@pytest.mark.parametrize(("size", "split"), [(48, True), (49, False), (112, False)])
def test_a_rest_of_64_bytes_is_a_block(machine: Machine, row: list[int], size: int, split: bool) -> None:
    machine.heap.free(row[1])
    assert machine.heap.malloc(size) == row[1]
    expected = [(160, 48, "used"), (256, 16, "free")] if split else [(160, 112, "used")]
    assert blocks(machine)[1 : 1 + len(expected)] == expected
    assert blocks(machine)[1 + len(expected)] == (320, 112, "used")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(0, 113, id="size no multiple of 16"),
        pytest.param(0, 0, id="size 0"),
        pytest.param(0, 0x10000 - 320 - 48 + 16, id="it ends behind the heap"),
        pytest.param(0, U64 - 16, id="it wraps"),
        pytest.param(8, 2, id="is_free 2"),
        pytest.param(8, 1, id="free, but magic USED"),
        pytest.param(24, 0, id="prev null"),
        pytest.param(24, B, id="prev is the block before the one before"),
        pytest.param(32, FREE, id="used, but magic FREE"),
        pytest.param(32, 0x4141414141414141, id="no magic"),
    ],
)
def test_a_damaged_header_stops_the_walk_of_malloc(
    machine: Machine, row: list[int], offset: int, value: int
) -> None:
    poke(machine, 320, offset, value)
    before = whole_heap(machine)
    assert machine.heap.malloc(16) == 0
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)
    assert not machine.heap.validate_heap()
    # What fits before the damage is still given.
    machine.heap.free(row[0])
    assert machine.heap.malloc(16) == row[0]


@pytest.mark.parametrize(
    "following", [B + 320 + 8, B - 160, B + 0x10000 - 32, 0x4141414141414141, 1, U64 - 16, B]
)
def test_a_smashed_next_stops_the_walk_of_malloc(machine: Machine, row: list[int], following: int) -> None:
    del row
    poke(machine, 160, 16, following)
    before = whole_heap(machine)
    assert machine.heap.malloc(16) == 0
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)
    assert not machine.heap.validate_heap()


def test_a_size_that_just_ends_with_the_heap_is_valid(machine: Machine, row: list[int]) -> None:
    # §7.3 judges each header by itself; the neighbours are the business of validate_heap.
    poke(machine, 320, 0, 0x10000 - 320 - 48)
    assert machine.heap.malloc(16) == B + 960 + 48
    assert not machine.heap.validate_heap()
    del row
