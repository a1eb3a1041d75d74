"""Calloc, aligned_alloc and validate_heap of the kernel heap (docs/spec.md §7.7, §7.9)."""

import struct

import pytest

from model.errors import ErrorKind
from model.events import Event
from model.machine import Machine
from model.types import PhysicalAddress, VirtualAddress
from tests.model.heap_view import (
    FREE,
    HEAP,
    U64,
    B,
    blocks,
    counts,
    errors,
    expect_refusal,
    field,
    fill,
    poke,
    read,
    whole_heap,
)

# §7.7


def test_calloc_zeroes_the_bytes_and_their_rounding(machine: Machine, row: list[int]) -> None:
    fill(machine, row[1], 112, 0x77)
    machine.heap.free(row[1])
    assert machine.heap.calloc(7, 13) == row[1]  # 91, rounded 96; the block has 112
    assert read(machine, row[1], 112) == bytes(96) + b"\x77" * 16


@pytest.mark.parametrize(("count", "size"), [(0, 8), (8, 0), (0, 0), (0, U64 - 1)])
def test_calloc_of_nothing(machine: Machine, count: int, size: int) -> None:
    assert machine.heap.calloc(count, size) == 0
    assert errors(machine) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(("count", "size"), [(1 << 32, 1 << 32), (U64 - 1, 2), (2, -1), (1 << 63, 3)])
def test_a_product_that_wraps(machine: Machine, count: int, size: int) -> None:
    assert machine.heap.calloc(count, size) == 0
    assert errors(machine) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("alignment", "size", "at", "expected"),
    [
        pytest.param(8, 32, 0, [(0, 32, "used")], id="8: as malloc"),
        pytest.param(16, 32, 0, [(0, 32, "used")], id="16: as malloc"),
        # d = 48: 64 is nearer than 64 bytes, 96 and 112 too; 128 − 48 = 80 leaves a front of 32.
        pytest.param(32, 32, 80, [(0, 32, "free"), (80, 32, "used")], id="32: not 64, not 96, 128"),
        pytest.param(64, 32, 80, [(0, 32, "free"), (80, 32, "used")], id="64"),
        pytest.param(256, 100, 208, [(0, 160, "free"), (208, 112, "used")], id="256"),
        pytest.param(4096, 4096, 4048, [(0, 4000, "free"), (4048, 4096, "used")], id="4096"),
    ],
)
def test_aligned_alloc_by_hand(
    machine: Machine, alignment: int, size: int, at: int, expected: list[tuple[int, int, str]]
) -> None:
    pointer = machine.heap.aligned_alloc(alignment, size)
    assert pointer == B + at + 48
    assert pointer % alignment == 0
    assert blocks(machine)[:-1] == expected
    assert counts(machine) == (1, 0, 1)
    assert machine.heap.validate_heap()


def test_data_that_is_aligned_already_has_no_front(machine: Machine) -> None:
    machine.heap.malloc(16)  # the next data is at 48 + 16 + 48 = 112
    machine.heap.malloc(96)  # and then at 256
    assert machine.heap.aligned_alloc(256, 32) == B + 256
    assert [at for at, _, _ in blocks(machine)] == [0, 64, 208, 288]


def test_an_exact_fit(machine: Machine) -> None:
    machine.heap.malloc(160)  # data at 48, then at 256
    exact = machine.heap.malloc(112)
    machine.heap.malloc(16)
    machine.heap.free(exact)
    assert machine.heap.aligned_alloc(256, 112) == exact == B + 256


def test_a_front_of_exactly_64_bytes(machine: Machine) -> None:
    machine.heap.malloc(96)  # data at 192: 256 − 192 = 64
    assert machine.heap.aligned_alloc(256, 32) == B + 256
    assert blocks(machine)[:3] == [(0, 96, "used"), (144, 16, "free"), (208, 32, "used")]


def test_aligned_alloc_steps_over_blocks_that_do_not_fit(machine: Machine, row: list[int]) -> None:
    # row[1] has data [208, 320): 256 − 208 is 48, too little for a front; 512 does not fit.
    machine.heap.free(row[1])
    # row[2] + row[3] … data [368, 640): 512 − 368 = 144, 144 + 112 ≤ 272.
    machine.heap.free(row[3])
    machine.heap.free(row[2])
    assert machine.heap.aligned_alloc(256, 112) == B + 512
    assert machine.heap.validate_heap()


def test_aligned_alloc_expands_for_size_alignment_and_64(machine: Machine) -> None:
    machine.heap.malloc(65488)
    # 0x1000 + 0x10000 + 64 + 48 needs 0x12000 bytes: data from 0x10030 on, aligned 0x20000.
    assert machine.heap.aligned_alloc(0x10000, 0x1000) == B + 0x20000
    assert field(machine, 16) == 0x10000 + 0x12000
    assert blocks(machine)[1:] == [
        (0x10000, 0x20000 - 0x10030 - 48, "free"),
        (0x20000 - 48, 0x1000, "used"),
        (0x21000, 0x22000 - 0x21000 - 48, "free"),
    ]


@pytest.mark.parametrize("alignment", [0, 3, 24, 4097, U64 - 1, -16])
def test_alignments_that_are_none(machine: Machine, alignment: int) -> None:
    assert machine.heap.aligned_alloc(alignment, 16) == 0
    assert errors(machine) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("alignment", "size", "kind"),
    [
        (64, U64 - 1, ErrorKind.OUT_OF_MEMORY),
        (64, (1 << 40) + 1, ErrorKind.OUT_OF_MEMORY),
        (1 << 63, 16, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
        (1 << 40, 1 << 40, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
    ],
)
def test_aligned_alloc_refuses(machine: Machine, alignment: int, size: int, kind: ErrorKind) -> None:
    machine.heap.malloc(16)
    before = whole_heap(machine)
    assert machine.heap.aligned_alloc(alignment, size) == 0
    expect_refusal(machine, before, kind)


def test_aligned_alloc_of_nothing(machine: Machine) -> None:
    assert machine.heap.aligned_alloc(64, 0) == 0
    assert machine.heap.aligned_alloc(8, 0) == 0
    assert errors(machine) == [0, 0, 0, 0, 0]


# §7.9


@pytest.mark.parametrize("offset", [32, 40])
def test_totals_must_be_sums(machine: Machine, row: list[int], offset: int) -> None:
    del row
    assert machine.heap.validate_heap()
    at = VirtualAddress(HEAP + offset)
    machine.memory.write_u64(at, machine.memory.read_u64(at) + 16)
    assert not machine.heap.validate_heap()
    assert errors(machine) == [0, 0, 0, 0, 0]


def test_two_free_neighbours_that_touch_are_unsound(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[1])
    poke(machine, 320, 32, FREE)
    poke(machine, 320, 8, 1)
    machine.memory.write_u64(VirtualAddress(HEAP + 32), 4 * 112)
    machine.memory.write_u64(VirtualAddress(HEAP + 40), field(machine, 40) + 112)
    assert not machine.heap.validate_heap()
    blocks(machine)  # all else is right


def test_a_hole_between_blocks_is_unsound(machine: Machine, row: list[int]) -> None:
    del row
    poke(machine, 160, 0, 96)
    machine.memory.write_u64(VirtualAddress(HEAP + 32), 6 * 112 - 16)
    assert not machine.heap.validate_heap()
    blocks(machine)


def test_a_list_that_is_a_cycle_ends_the_check(machine: Machine, row: list[int]) -> None:
    del row
    poke(machine, 800, 16, B)
    assert not machine.heap.validate_heap()


# §8.1, §10


def test_every_refusal_is_reported_once(machine: Machine, events: list[Event], row: list[int]) -> None:
    machine.heap.free(row[0])
    events.clear()
    machine.heap.free(row[0])
    machine.heap.free(8)
    machine.heap.malloc(-1)
    assert [event.line for event in events] == [
        f"coronel: heap: double free: {row[0]:#x}",
        "coronel: heap: invalid pointer: 0x8",
        "coronel: heap: out of memory: 0xffffffffffffffff",
    ]


def test_the_heap_is_where_the_kernel_has_it(machine: Machine) -> None:
    machine.heap.malloc(100)
    raw = machine.physical.read(PhysicalAddress(0x3362D0), 120)
    assert struct.unpack_from("<QQQQQQQQQ", raw) == (B, B + 0x10000, 0x10000, B, 112, 65328, 1, 0, 1)
