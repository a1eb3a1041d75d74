"""Free of the kernel heap (docs/spec.md §7.5)."""

import pytest

from model.errors import ErrorKind
from model.machine import Machine
from tests.model.heap_view import (
    FREE,
    U64,
    USED,
    B,
    blocks,
    counts,
    errors,
    expect_refusal,
    fill,
    poke,
    read,
    totals,
    whole_heap,
)


def test_free_by_hand(machine: Machine, row: list[int]) -> None:
    assert machine.heap.free(row[1])
    assert blocks(machine)[:3] == [(0, 112, "used"), (160, 112, "free"), (320, 112, "used")]
    assert counts(machine) == (6, 1, 1)
    assert totals(machine) == (5 * 112, 112 + 65536 - 960 - 48)


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        pytest.param([], 2, [(320, 112)], id="no neighbour is free"),
        pytest.param([3], 2, [(320, 272)], id="the next one"),
        pytest.param([1], 2, [(160, 272)], id="the one before"),
        pytest.param([1, 3], 2, [(160, 432)], id="both"),
        pytest.param([], 5, [(800, 65536 - 848)], id="the rest"),
    ],
)
def test_free_coalesces(
    machine: Machine, row: list[int], first: list[int], then: int, expected: list[tuple[int, int]]
) -> None:
    for index in first:
        machine.heap.free(row[index])
    machine.heap.free(row[then])
    free = [(at, size) for at, size, state in blocks(machine) if state == "free"]
    assert free[: len(expected)] == expected
    assert machine.heap.validate_heap()


def test_absorbed_headers_keep_their_bytes(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[2])
    header = read(machine, B + 320, 48)
    machine.heap.free(row[1])
    assert read(machine, B + 320, 48) == header
    # So a second free of the absorbed block is told as what it is.
    assert not machine.heap.free(row[2])
    assert errors(machine) == [0, 0, 0, 1, 0]


def test_everything_freed_is_one_block_again(machine: Machine, row: list[int]) -> None:
    for index in (4, 0, 2, 5, 1, 3):
        machine.heap.free(row[index])
    assert blocks(machine) == [(0, 65488, "free")]
    assert counts(machine) == (6, 6, 1)


def test_blocks_of_regions_that_do_not_touch_are_not_joined(machine: Machine) -> None:
    machine.heap.malloc(65488)
    machine.regions.alloc(0x1000)
    machine.heap.malloc(65488)
    machine.heap.free(B + 48)
    machine.heap.free(B + 0x11000 + 48)
    assert blocks(machine) == [(0, 65488, "free"), (0x11000, 65488, "free")]
    assert machine.heap.validate_heap()


def test_blocks_of_regions_that_touch_are_joined(machine: Machine) -> None:
    first, second = machine.heap.malloc(65488), machine.heap.malloc(65488)
    machine.heap.free(second)
    machine.heap.free(first)
    assert blocks(machine) == [(0, 0x20000 - 48, "free")]


def test_free_of_null_is_no_error(machine: Machine, row: list[int]) -> None:
    del row
    before = whole_heap(machine)
    assert not machine.heap.free(0)
    assert errors(machine) == [0, 0, 0, 0, 0]
    assert whole_heap(machine) == before


@pytest.mark.parametrize(
    "pointer",
    [
        1,
        8,
        16,
        48,
        B,
        B + 32,
        B + 49,
        B + 56,
        B + 0x10000 - 32,
        B + 0x10000 + 48,
        B + 0x10008,
        U64 - 16,
        U64 - 1,
        -1,
        0x41,
    ],
)
def test_free_of_what_is_not_in_the_heap(machine: Machine, row: list[int], pointer: int) -> None:
    del row
    before = whole_heap(machine)
    assert not machine.heap.free(pointer)
    expect_refusal(machine, before, ErrorKind.INVALID_POINTER)


@pytest.mark.parametrize(
    ("magic", "kind"), [(FREE, ErrorKind.DOUBLE_FREE), (USED, ErrorKind.CORRUPTION_DETECTED)]
)
def test_the_last_place_for_a_header_is_looked_at(machine: Machine, magic: int, kind: ErrorKind) -> None:
    machine.heap.malloc(65488)
    poke(machine, 0x10000 - 48, 32, magic)
    before = whole_heap(machine)
    assert not machine.heap.free(B + 0x10000)
    expect_refusal(machine, before, kind)


def test_free_inside_a_block_is_invalid(machine: Machine, row: list[int]) -> None:
    fill(machine, row[1], 112, 0x41)
    before = whole_heap(machine)
    assert not machine.heap.free(row[1] + 48)  # no magic there, and the list does not lead there
    expect_refusal(machine, before, ErrorKind.INVALID_POINTER)


def test_double_free(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[1])
    before = whole_heap(machine)
    assert not machine.heap.free(row[1])
    expect_refusal(machine, before, ErrorKind.DOUBLE_FREE)


def test_a_lost_magic_in_the_list_is_corruption(machine: Machine, row: list[int]) -> None:
    poke(machine, 160, 32, 0)
    before = whole_heap(machine)
    assert not machine.heap.free(row[1])
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


def test_a_lost_magic_behind_a_broken_list_is_an_invalid_pointer(machine: Machine, row: list[int]) -> None:
    poke(machine, 320, 32, 0)
    poke(machine, 160, 16, 0x4141414141414141)
    before = whole_heap(machine)
    assert not machine.heap.free(row[2])
    expect_refusal(machine, before, ErrorKind.INVALID_POINTER)


def test_the_search_for_a_block_ends_in_a_cycle(machine: Machine, row: list[int]) -> None:
    poke(machine, 320, 32, 0)
    poke(machine, 160, 16, B)
    before = whole_heap(machine)
    assert not machine.heap.free(row[2])
    expect_refusal(machine, before, ErrorKind.INVALID_POINTER)


@pytest.mark.parametrize(
    ("at", "offset", "value"),
    [
        pytest.param(320, 0, 113, id="its size"),
        pytest.param(320, 0, U64 - 16, id="its size wraps"),
        pytest.param(320, 8, 1, id="its is_free"),
        pytest.param(320, 24, 0, id="its prev is null"),
        pytest.param(320, 24, B, id="its prev is another"),
        pytest.param(320, 24, 0x4141414141414141, id="its prev is garbage"),
        pytest.param(320, 24, B + 8, id="its prev is not aligned"),
        pytest.param(320, 16, B + 640, id="its next is another"),
        pytest.param(320, 16, 0x4141414141414141, id="its next is garbage"),
        pytest.param(320, 16, B + 0x10000 - 32, id="its next is too near the end"),
        pytest.param(160, 32, 0, id="the magic before"),
        pytest.param(160, 16, 0, id="the next of the one before"),
        pytest.param(160, 0, 8, id="the size of the one before"),
        pytest.param(480, 32, 0, id="the magic of the next"),
        pytest.param(480, 24, 0, id="the prev of the next"),
        pytest.param(480, 8, 1, id="the is_free of the next"),
    ],
)
def test_free_of_a_block_that_is_not_linked(
    machine: Machine, row: list[int], at: int, offset: int, value: int
) -> None:
    poke(machine, at, offset, value)
    before = whole_heap(machine)
    assert not machine.heap.free(row[2])
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)
    assert not machine.heap.validate_heap()


def test_prev_is_null_for_the_first_block_alone(machine: Machine, row: list[int]) -> None:
    poke(machine, 0, 24, B + 160)
    before = whole_heap(machine)
    assert not machine.heap.free(row[0])
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


def test_damage_two_blocks_away_is_not_seen(machine: Machine, row: list[int]) -> None:
    poke(machine, 0, 32, 0)
    assert machine.heap.free(row[2])


def test_a_pointer_into_the_gap_between_regions_is_refused(machine: Machine) -> None:
    machine.heap.malloc(65488)
    machine.regions.alloc(0x1000)  # taken, but nothing is mapped there
    machine.heap.malloc(65488)
    assert not machine.heap.free(B + 0x10000 + 0x100)
    assert errors(machine) == [0, 0, 0, 0, 1]


def test_a_link_into_the_gap_between_regions_is_corruption(machine: Machine) -> None:
    first = machine.heap.malloc(65488)
    machine.regions.alloc(0x1000)
    machine.heap.malloc(65488)
    poke(machine, 0, 16, B + 0x10000 + 0xD0)
    assert not machine.heap.free(first)
    assert errors(machine) == [0, 0, 1, 0, 0]
