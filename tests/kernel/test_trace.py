"""The trace ring, read by GDB: every operation of `mixed` in its order, told by a simulation of its own."""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.functions import function_at
from lab.gdbmi import Gdb
from lab.stopped import Stopped, at_checkpoint

SEED, OPS = 7, 400
MIXED = f"scenario=mixed seed={SEED} ops={OPS}"
SLOTS = 256
MASK = (1 << 64) - 1
LARGEST_RING = 1 << 20


@dataclass(frozen=True)
class Record:
    """docs/spec.md §12.1."""

    sequence: int
    operation: str
    cpu: int
    depth: int
    arguments: tuple[int, int, int]
    result: int
    caller: int
    space: int


def read_ring(gdb: Gdb) -> list[Record]:
    """Every record in the ring, the oldest first."""
    base, capacity, count = (gdb.evaluate(f"g_trace.{name}") for name in ("ring_", "capacity_", "next_"))
    (block,) = gdb.mi(f"-data-read-memory-bytes {base:#x} {64 * capacity}", 60)["memory"]
    ring = bytes.fromhex(block["contents"])
    names = {gdb.evaluate(f"coronel::operation::{name}"): name for name in OPERATIONS}
    records = []
    for number in range(max(0, count - capacity), count):
        words = struct.unpack_from("<QIHH6Q", ring, 64 * (number % capacity))
        sequence, operation, cpu, depth, *rest = words
        records.append(Record(sequence, names[operation], cpu, depth, tuple(rest[:3]), *rest[3:]))
    return records


OPERATIONS = (
    "physical_alloc",
    "physical_free",
    "virt_alloc",
    "virt_alloc_at",
    "virt_free",
    "paging_map",
    "paging_unmap",
    "heap_malloc",
    "heap_free",
    "heap_realloc",
    "heap_calloc",
    "heap_aligned_alloc",
    "placement_kalloc",
)


@pytest.fixture(scope="module")
def traced() -> Iterator[Stopped]:
    with at_checkpoint(1, MIXED) as stopped:
        yield stopped


@pytest.fixture(scope="module")
def records(traced: Stopped) -> list[Record]:
    return read_ring(traced.gdb)


def random_numbers(state: int) -> Iterator[int]:
    """docs/spec.md §11.2."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        yield z ^ z >> 31


def check_against_mixed(outer: list[Record]) -> int:
    """Play docs/spec.md §11.3 with the results of the records; the number of operations played."""
    draws = random_numbers(SEED)
    slots = [0] * SLOTS
    for played, record in zip(range(OPS), outer, strict=True):
        draw = next(draws)
        index, kind = draw % SLOTS, (draw >> 32) % 8
        if not slots[index]:
            size = 1 + next(draws) % (16384 if kind == 0 else 1024)
            assert (record.operation, record.arguments) == ("heap_malloc", (size, 0, 0)), played
            assert record.result % 16 == 0
            slots[index] = record.result
        elif kind == 0:
            size = 1 + next(draws) % 2048
            assert (record.operation, record.arguments) == ("heap_realloc", (slots[index], size, 0)), played
            slots[index] = record.result
        else:
            assert (record.operation, record.arguments) == ("heap_free", (slots[index], 0, 0)), played
            assert record.result == 0
            slots[index] = 0
        live = [slot for slot in slots if slot]
        assert len(live) == len(set(live))
    return len(outer)


def test_every_operation_is_there_once_and_in_order(traced: Stopped, records: list[Record]) -> None:
    assert [record.sequence for record in records] == list(range(traced.gdb.evaluate("g_trace.next_")))
    assert len(records) < 4096 == traced.gdb.evaluate("g_trace.capacity_")
    assert check_against_mixed([record for record in records if record.depth == 0]) == OPS
    assert traced.gdb.evaluate("g_trace.lock_.locked_") == 0


def test_what_an_operation_does_lies_before_it_and_deeper(records: list[Record]) -> None:
    assert {record.depth for record in records} == {0, 1, 2}
    for before, after in itertools.pairwise(records):
        # The next operation to end is around this one, beside it, or the first of a chain going down.
        assert after.depth >= before.depth - 1
    expansions = [record for record in records if record.operation == "virt_alloc"]
    assert expansions
    for record in expansions:
        size, manager, _ = record.arguments
        assert record.depth == 1
        mapped = [other for other in records if other.operation == "paging_map" and other.depth == 1]
        pages = [other for other in mapped if 0 <= other.arguments[1] - record.result < size]
        assert [other.arguments[1] for other in pages] == list(
            range(record.result, record.result + size, 4096)
        )
        given = {other.result for other in records if other.operation == "physical_alloc"}
        assert all(other.arguments[2] in given and other.result == 1 for other in pages)
        assert manager != 0


def test_the_caller_is_outside_the_allocators_interface(traced: Stopped, records: list[Record]) -> None:
    callers: dict[tuple[str, int], set[str]] = {}
    for record in records:
        callers.setdefault((record.operation, record.depth), set()).add(
            function_at(traced.gdb, record.caller).name.partition("(")[0]
        )
    assert callers == {
        ("heap_malloc", 0): {"coronel::run_mixed"},
        ("heap_realloc", 0): {"coronel::run_mixed"},
        ("heap_free", 0): {"coronel::run_mixed"},
        ("virt_alloc", 1): {"memory::heap::expand"},
        ("physical_alloc", 1): {"memory::heap::map_region"},
        ("physical_alloc", 2): {"paging::make_table"},
        ("paging_map", 1): {"memory::heap::map_region"},
    }


def test_cpu_and_address_space(traced: Stopped, records: list[Record]) -> None:
    assert {record.cpu for record in records} == {0}
    assert {record.space for record in records} == {traced.gdb.evaluate("paging::kernel_directory_")}


@pytest.mark.parametrize("capacity", [100, 64])
def test_the_ring_keeps_the_last_ones(records: list[Record], capacity: int) -> None:
    with at_checkpoint(1, f"{MIXED} trace={capacity}") as stopped:
        kept = read_ring(stopped.gdb)
        assert stopped.gdb.evaluate("g_trace.next_") == len(records)
    assert len(kept) == capacity
    for ours, theirs in zip(kept, records[-capacity:], strict=True):
        # A smaller ring moves the frames, nothing else.
        assert (ours.sequence, ours.operation, ours.depth) == (
            theirs.sequence,
            theirs.operation,
            theirs.depth,
        )


def test_the_ring_lies_between_the_heap_object_and_the_pool() -> None:
    with at_checkpoint(1, "scenario=boot trace=0") as stopped:
        gdb = stopped.gdb
        assert [gdb.evaluate(f"g_trace.{name}") for name in ("ring_", "capacity_", "next_")] == [0, 0, 0]
        without = gdb.evaluate("(unsigned long)__placement")
    with at_checkpoint(1, "scenario=boot trace=65") as stopped:
        gdb = stopped.gdb
        ring = gdb.evaluate("g_trace.ring_")
        heap_end = gdb.evaluate("g_kernel_heap + 1")
        assert ring % 4096 == 0
        assert 0 <= ring - heap_end < 4096
        assert gdb.evaluate("g_trace.next_") == 0
        (block,) = gdb.mi(f"-data-read-memory-bytes {ring:#x} {64 * 65}")["memory"]
        assert not any(bytes.fromhex(block["contents"]))
        # 65 records are 1.02 pages; the pool begins at the next one.
        assert gdb.evaluate("(unsigned long)__placement") - without == 2 * 4096


def test_a_ring_has_its_limit() -> None:
    with at_checkpoint(1, f"scenario=boot trace={LARGEST_RING * 3}") as stopped:
        assert stopped.gdb.evaluate("g_trace.capacity_") == LARGEST_RING


def test_a_refused_operation_is_recorded_too() -> None:
    with at_checkpoint(1, "scenario=double_free") as stopped:
        *_, first, second = read_ring(stopped.gdb)
        assert first.operation == second.operation == "heap_free"
        assert first.arguments == second.arguments
        assert first.caller == second.caller
        assert function_at(stopped.gdb, second.caller).name.startswith(
            "coronel::(anonymous namespace)::close("
        )


def test_two_cpus_share_the_ring_and_have_their_own_depth() -> None:
    with at_checkpoint(1, "scenario=smp seed=3 ops=1000 trace=65536", cpus=2) as stopped:
        records = read_ring(stopped.gdb)
        heap = [record for record in records if record.operation in ("heap_malloc", "heap_free")]
        assert [record.sequence for record in records] == list(range(len(records)))
        assert {record.depth for record in heap} == {0}
        for cpu in (0, 1):
            assert len([record for record in heap if record.cpu == cpu]) > 1000
        # No block is given twice before it is taken back, whoever does it.
        live: set[int] = set()
        for record in heap:
            if record.operation == "heap_malloc":
                assert record.result not in live
                live.add(record.result)
            elif record.arguments[0]:
                live.remove(record.arguments[0])
        assert not live
