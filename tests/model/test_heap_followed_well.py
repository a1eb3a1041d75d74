"""No link is written through a pointer that nothing vouches for (docs/spec.md §7.3, §7.3a)."""

import pytest

from model.errors import ErrorKind
from model.machine import Machine
from model.types import VirtualAddress
from tests.model.heap_view import B, blocks, expect_refusal, poke, whole_heap

NEXT, PREV = 16, 24
WILD = [0x4141414141414141, 0xFFFF_FFFF_8041_0000, B + 8, 0x10, (1 << 64) - 16]
"""Not canonical; where no page is mapped any more; not aligned; far below; at the very end."""


@pytest.mark.parametrize("wild", WILD)
def test_malloc_takes_no_block_with_a_smashed_next(machine: Machine, row: list[int], wild: int) -> None:
    machine.heap.free(row[1])
    poke(machine, 160, NEXT, wild)
    before = whole_heap(machine)
    assert machine.heap.malloc(48) == 0
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


@pytest.mark.parametrize("wild", WILD)
def test_free_absorbs_no_block_with_a_smashed_next(machine: Machine, row: list[int], wild: int) -> None:
    machine.heap.free(row[2])
    poke(machine, 320, NEXT, wild)
    before = whole_heap(machine)
    assert not machine.heap.free(row[1])
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


@pytest.mark.parametrize("size", [16, 240, 2000])  # shrinks, grows, moves
def test_realloc_joins_no_block_with_a_smashed_next(machine: Machine, row: list[int], size: int) -> None:
    machine.heap.free(row[2])
    poke(machine, 320, NEXT, WILD[0])
    before = whole_heap(machine)
    assert machine.heap.realloc(row[1], size) == 0
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


def test_a_next_block_that_does_not_point_back_is_as_bad(machine: Machine, row: list[int]) -> None:
    machine.heap.free(row[1])
    poke(machine, 320, PREV, B)
    before = whole_heap(machine)
    assert machine.heap.malloc(48) == 0
    expect_refusal(machine, before, ErrorKind.CORRUPTION_DETECTED)


def test_a_pointer_into_a_hole_of_the_heap_is_refused_unread(machine: Machine, row: list[int]) -> None:
    """Two regions with another user's pages between them, given back: the hole is inside the heap's span."""
    between = machine.regions.alloc(4096)
    assert between == B + 0x10000
    machine.heap.malloc(70000)
    machine.regions.free(between, 4096)
    hole = between + 1024
    assert machine.memory.read_u64(VirtualAddress(machine.heap.fields.address + 8)) > hole
    before = whole_heap(machine)
    assert not machine.heap.free(hole)
    expect_refusal(machine, before, ErrorKind.INVALID_POINTER)
    assert len(blocks(machine)) == 9
