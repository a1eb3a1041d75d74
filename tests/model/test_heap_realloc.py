"""Realloc of the kernel heap (docs/spec.md §7.6)."""

import pytest

from model.errors import ErrorKind
from model.machine import Machine
from tests.model.heap_view import (
    U64,
    B,
    blocks,
    counts,
    drain,
    errors,
    expect_refusal,
    fill,
    poke,
    read,
    whole_heap,
)


def test_realloc_of_null_is_malloc(machine: Machine) -> None:
    assert machine.heap.realloc(0, 100) == B + 48
    assert machine.heap.realloc(0, 0) == 0
    assert counts(machine) == (1, 0, 1)


def test_realloc_to_0_is_free(machine: Machine, row: list[int]) -> None:
    assert machine.heap.realloc(row[1], 0) == 0
    assert counts(machine) == (6, 1, 1)
    assert machine.heap.realloc(row[1], 0) == 0
    assert errors(machine) == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(112, [(160, 112, "used"), (320, 112, "used")], id="equal"),
        pytest.param(97, [(160, 112, "used"), (320, 112, "used")], id="rounded it is equal"),
        pytest.param(49, [(160, 112, "used"), (320, 112, "used")], id="48 less: too little for a block"),
        pytest.param(48, [(160, 48, "used"), (256, 16, "free"), (320, 112, "used")], id="64 less"),
        pytest.param(1, [(160, 16, "used"), (224, 48, "free"), (320, 112, "used")], id="smallest"),
    ],
)
def test_realloc_shrinks_in_place(
    machine: Machine, row: list[int], size: int, expected: list[tuple[int, int, str]]
) -> None:
    fill(machine, row[1], 16, 0x77)
    assert machine.heap.realloc(row[1], size) == row[1]
    assert blocks(machine)[1 : 1 + len(expected)] == expected
    assert read(machine, row[1], 16) == b"\x77" * 16
    assert counts(machine) == (6, 0, 1)


def test_what_a_shrink_frees_joins_the_next_block(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[2])
    machine.heap.realloc(row[1], 16)
    assert blocks(machine)[1:4] == [(160, 16, "used"), (224, 48 + 48 + 112, "free"), (480, 112, "used")]
    assert machine.heap.validate_heap()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(113, [(160, 128, "used"), (336, 96, "free"), (480, 112, "used")], id="a little"),
        pytest.param(208, [(160, 208, "used"), (416, 16, "free"), (480, 112, "used")], id="64 are left"),
        pytest.param(209, [(160, 272, "used"), (480, 112, "used")], id="48 are left"),
        pytest.param(272, [(160, 272, "used"), (480, 112, "used")], id="112 + 48 + 112"),
    ],
)
def test_realloc_grows_in_place(
    machine: Machine, row: list[int], size: int, expected: list[tuple[int, int, str]]
) -> None:
    machine.heap.free(row[2])
    fill(machine, row[1], 112, 0x77)
    assert machine.heap.realloc(row[1], size) == row[1]
    assert blocks(machine)[1 : 1 + len(expected)] == expected
    assert read(machine, row[1], 112) == b"\x77" * 112
    assert counts(machine) == (6, 1, 1)


def test_realloc_moves_when_the_next_block_is_too_small(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[2])
    fill(machine, row[1], 112, 0x77)
    moved = machine.heap.realloc(row[1], 273)
    assert moved == B + 960 + 48
    assert read(machine, moved, 112) == b"\x77" * 112
    # The old block is free and joined the one behind it.
    assert blocks(machine)[:3] == [(0, 112, "used"), (160, 272, "free"), (480, 112, "used")]
    assert counts(machine) == (7, 2, 1)


def test_realloc_moves_when_the_next_block_is_used(machine: Machine, row: list[int]) -> None:
    assert machine.heap.realloc(row[1], 128) == B + 960 + 48
    assert machine.heap.realloc(row[5], 128) == B + 960 + 48 + 176
    assert counts(machine) == (8, 2, 1)


def test_realloc_of_the_last_block(machine: Machine) -> None:
    last = machine.heap.malloc(65488)
    assert machine.heap.realloc(last, 65489) == B + 0x10000 + 48
    assert machine.heap.validate_heap()


def test_realloc_does_not_grow_across_a_gap(machine: Machine) -> None:
    first = machine.heap.malloc(65488)
    machine.regions.alloc(0x1000)
    machine.heap.free(machine.heap.malloc(65488))
    assert machine.heap.realloc(first, 65504) != first
    assert machine.heap.validate_heap()


@pytest.mark.parametrize(
    ("pointer", "kind"),
    [
        (B + 56, ErrorKind.INVALID_POINTER),
        (16, ErrorKind.INVALID_POINTER),
        (B + 160 + 48, ErrorKind.DOUBLE_FREE),
        (B + 320 + 48, ErrorKind.CORRUPTION_DETECTED),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 200, U64 - 1])
def test_realloc_checks_its_pointer_first(
    machine: Machine, row: list[int], pointer: int, kind: ErrorKind, size: int
) -> None:
    machine.heap.free(row[1])
    poke(machine, 320, 32, 0)
    before = whole_heap(machine)
    assert machine.heap.realloc(pointer, size) == 0
    expect_refusal(machine, before, kind)


@pytest.mark.parametrize("size", [U64 - 1, (1 << 40) + 1, -16])
def test_realloc_to_too_much_leaves_the_block(machine: Machine, row: list[int], size: int) -> None:
    before = whole_heap(machine)
    assert machine.heap.realloc(row[1], size) == 0
    expect_refusal(machine, before, ErrorKind.OUT_OF_MEMORY)


def test_realloc_without_memory_leaves_the_block(machine: Machine, row: list[int]) -> None:
    drain(machine, 0)
    before = whole_heap(machine)
    assert machine.heap.realloc(row[1], 0x10000) == 0
    expect_refusal(machine, before, ErrorKind.OUT_OF_MEMORY)
