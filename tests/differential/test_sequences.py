"""Random sequences of operations on the real kernel and on the model: results, serial lines, memory."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.comparison import differences
from lab.errors import LabError
from lab.executor import Executor, KernelStopped
from lab.modelled import Modelled, ModelStopped
from lab.orders import PROCESS_CODES, Code, Order, Result, text
from lab.pair import PROGRAMS, Pair
from lab.sequences import CHOICES, KINDS, Draw, sequence
from model.address_space import KERNEL_BASE
from model.layouts import PHYSICAL

CHOICE = st.integers(0, CHOICES - 1)
DRAWS = st.lists(st.tuples(st.integers(0, KINDS - 1), CHOICE, CHOICE, CHOICE), min_size=1, max_size=80)
FIRST_REGION = 0xFFFF_FFFF_8040_0000
DEVICES = 0xFFFF_FFFF_C000_0000
LAST = 2**64 - 1


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Executor(programs=PROGRAMS) as executor:
        yield Pair(executor, Modelled(executor))


def order(code: Code, *arguments: int | Result) -> Order:
    return Order(code, arguments)


def test_after_boot_they_agree(pair: Pair) -> None:
    pair.executor.reset()
    pair.modelled.reset()
    assert differences(pair.executor, pair.modelled) == []


@settings(
    max_examples=600,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(draws=DRAWS)
def test_after_any_sequence_they_agree(pair: Pair, draws: list[Draw]) -> None:
    pair.modelled.reset()
    orders = sequence(pair.modelled.machine, draws)
    found = pair.compare(orders)
    assert not found, text(orders) + "\n" + "\n".join(found)


def test_sequences_do_what_they_are_for(pair: Pair) -> None:
    """Every order occurs and succeeds; every reason of a refusal occurs."""
    generator = random.Random(1)
    succeeded: dict[Code, int] = {}
    reasons: set[str] = set()
    for _ in range(60):
        draws = [(generator.randrange(KINDS), *generator.choices(range(CHOICES), k=3)) for _ in range(80)]
        pair.modelled.reset()
        orders = sequence(pair.modelled.machine, [(k, x, y, z) for k, x, y, z in draws])
        results = pair.modelled.run(orders)
        for one, result in zip(orders, results, strict=False):
            succeeded[one.code] = succeeded.get(one.code, 0) + (0 < result < LAST)
        reasons |= {line.split(": ")[2] for line in pair.modelled.lines if line.count(": ") == 3}
    void = {Code.PHYSICAL_FREE, Code.VIRT_FREE, Code.HEAP_FREE, Code.KFREE, Code.SYS_FREE, Code.SYS_MUNMAP}
    # After boot the placement allocator gives nothing any more.
    nothing = void | {Code.PLACEMENT_KALLOC}
    assert set(succeeded) == set(Code)
    assert {code for code, times in succeeded.items() if times < 3} == nothing
    assert reasons == {
        "out of memory", "virtual space exhausted", "corruption detected", "double free", "invalid pointer"
    }  # fmt: skip


# What such sequences have found, made short: docs/divergences.md tells each.
def found_before(directory: int, nodes: int, free_list: int) -> dict[str, list[Order]]:
    """The sequences by the names that docs/divergences.md gives them."""
    malloc = order(Code.KALLOC, 100)
    process = order(Code.PROCESS_CREATE, 0)
    return {
        "D1": [order(Code.PAGING_MAP, directory, 0xFFFF_FFFF_A000_0000, 1 << 63, 1)],
        "D2": [
            order(Code.PAGING_MAP, 0, 0, 1 << 40, 2),
            order(Code.PAGING_MAP, 1 << 46, 0x400000, 0x400000, 2),
            order(Code.PAGING_UNMAP, LAST - 4095, 0x400000),
        ],
        "D3": [
            order(Code.PAGING_MAP, LAST - 4095, 0x8000_0000_0000, LAST, 7),
            order(Code.PAGING_UNMAP, LAST - 4095, 0x8000_0000_0000),
        ],
        "D4": [order(Code.MAPIO, 1 << 52, 1), order(Code.MAPIO, LAST - 4095, 4096), malloc],
        "D5": [
            malloc,
            order(Code.VIRT_ALLOC, 0x1660),
            order(Code.HEAP_MALLOC, 0x288A00),
            order(Code.HEAP_FREE, FIRST_REGION + 0x10030),
            order(Code.HEAP_REALLOC, FIRST_REGION + 0x10030, 8),
            order(Code.STORE, Result(0, -0x20), FIRST_REGION + 0x10000, 8),
            malloc,
            order(Code.VALIDATE_HEAP),
        ],
        "D6": [
            order(Code.STORE, nodes, 0, 8),
            order(Code.STORE, free_list, nodes, 8),
            order(Code.PHYSICAL_ALLOC),
            malloc,
        ],
        "D7": [process, order(Code.PROCESS_CREATE, 9), order(Code.PROCESS_DESTROY, Result(1))],
        "D8": [malloc, order(Code.STORE, Result(0, -16), 7, 8), process],
        "D9": [
            process,
            order(Code.SYS_MMAP, Result(0), 0x40033000, 0x2244, 3),
            order(Code.PROCESS_DESTROY, Result(0)),
        ],
        "D10": [process, malloc, order(Code.STORE, Result(1, -16), 7, 8), process, process],
        "D11": [
            process,
            order(Code.SYS_CALLOC, Result(0), 9, 0x32),
            order(Code.SYS_MALLOC, Result(0), 0x77),
            order(Code.SYS_REALLOC, Result(0), Result(1), 0x112),
            order(Code.USER_STORE, Result(0), Result(2, -0x28), 0xA0, 1),
            order(Code.SYS_REALLOC, Result(0), Result(1), 0x21B),
        ],
        "D13": [
            order(Code.KALLOC, 0x72),
            order(Code.HEAP_ALIGNED_ALLOC, 0x800, 0x10A),
            order(Code.KALLOC, 0x87),
            order(Code.STORE, Result(0, -0x30), 0xFFD0, 8),
            order(Code.KALLOC, 0xD6),
            order(Code.KFREE, Result(0)),
            order(Code.HEAP_REALLOC, Result(2), 0x65D),
        ],
        "D14": [
            order(Code.KALLOC, 0x26),
            order(Code.STORE, Result(0, -0x30), 0xD0, 1),
            order(Code.KALLOC, 0x400),
            order(Code.HEAP_ALIGNED_ALLOC, 0x40, 0x16),
            order(Code.KFREE, Result(1)),
            order(Code.KFREE, Result(2)),
            order(Code.HEAP_REALLOC, Result(0), 0x3C0),
        ],
    }


NAMES = tuple(found_before(0, 0, 0))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_before_is_no_more(pair: Pair, name: str) -> None:
    pair.modelled.reset()
    machine = pair.modelled.machine
    frames = machine.frames.fields
    free_list = frames.address + PHYSICAL.member("free_list_").offset_bytes
    orders = found_before(machine.cr3, frames.get("nodes_"), free_list)[name]
    assert pair.compare(orders) == []


def test_a_list_of_regions_that_comes_back_to_itself_is_refused(pair: Pair) -> None:
    """The walk's bound (docs/spec.md §6.1) is far away: once is enough."""
    pair.modelled.reset()
    manager = pair.modelled.machine.regions.fields
    first = manager.get("free_mem_list_.first_")
    orders = [order(Code.STORE, first + 16, first, 8), order(Code.VIRT_ALLOC, 1 << 40)]
    assert pair.compare(orders) == []
    assert pair.modelled.lines == [f"coronel: virt: corruption detected: {first:#x}"]


# Who judges must be able to condemn.


@pytest.mark.parametrize("manager", ["heap", "regions", "frames"])
def test_one_byte_of_a_manager_is_a_difference(pair: Pair, manager: str) -> None:
    assert pair.compare([order(Code.KALLOC, 100)]) == []
    at = getattr(pair.modelled.machine, manager).fields.address - KERNEL_BASE + 16
    pair.executor.ram.write(at, bytes([pair.executor.ram.read(at, 1)[0] ^ 1]))
    assert len(differences(pair.executor, pair.modelled)) == 1


def test_a_byte_in_memory_that_the_model_never_touched_is_a_difference(pair: Pair) -> None:
    assert pair.compare([order(Code.KALLOC, 100)]) == []
    pair.executor.ram.write(0x700000, b"\x01")
    assert differences(pair.executor, pair.modelled) == ["0x700000: model 0x0, kernel 0x1"]


def test_another_result_or_line_is_a_difference(pair: Pair) -> None:
    orders = [order(Code.KALLOC, 100), order(Code.KFREE, 8)]
    assert pair.compare(orders) == []
    pair.executor.reset()
    pair.modelled.reset()
    other = Pair(pair.executor, pair.modelled)
    other.modelled.run([order(Code.KALLOC, 64)])  # the model has a past that the kernel has not
    other.executor.serial_lines()
    assert other.executor.run(orders) != other.modelled.run(orders)
    assert other.executor.serial_lines() == other.modelled.lines == ["coronel: heap: invalid pointer: 0x8"]
    assert differences(other.executor, other.modelled)


def test_a_kernel_that_stops_is_told_and_booted_again(pair: Pair) -> None:
    """A process object that was written over: its list leads nowhere, in both."""
    wild = 0x4141_4141_4141_4141
    orders = [
        order(Code.PROCESS_CREATE, 9),
        order(Code.STORE, Result(0, 16), wild, 8),
        order(Code.PROCESS_DESTROY, wild),
    ]
    pair.executor.reset()
    pair.modelled.reset()
    with pytest.raises(KernelStopped, match="exception 13") as stopped:
        pair.executor.run(orders)
    assert stopped.value.done == 2
    assert len(pair.modelled.run(orders)) == 2  # the model ends where an object was written over
    assert pair.compare([order(Code.KALLOC, 100)]) == []


def test_orders_that_cannot_be_done_are_told(pair: Pair) -> None:
    pair.executor.reset()
    with pytest.raises(LabError, match="does not understand order 0"):
        pair.executor.run([order(Code.KFREE, Result(0))])


def test_where_a_smashed_object_stops_both_they_agree(pair: Pair) -> None:
    pair.modelled.reset()
    manager = pair.modelled.machine.regions.fields.address
    wild = [order(Code.STORE, manager, 0x4141_4141_4141_4141, 8), order(Code.VIRT_ALLOC, 1)]
    before = pair.both_stopped
    assert pair.compare(wild) == []
    assert pair.both_stopped == before + 1
    pair.modelled.reset()
    with pytest.raises(ModelStopped, match="order 1"):
        pair.modelled.run(wild)


def test_every_order_of_a_process_is_known_as_such() -> None:
    assert {code for code in Code if "SYS" in code.name or "PROCESS" in code.name} <= PROCESS_CODES
