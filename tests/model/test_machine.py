"""Boot in the order of docs/spec.md §9, routing of §8.3, scenarios of §11."""

from collections.abc import Callable

import pytest

from model.address_space import KERNEL_BASE, PLAIN_IMAGE, ImageSymbols
from model.errors import BootStopped, ErrorKind
from model.events import Event
from model.machine import Machine
from model.memory import PhysicalRange
from model.multiboot import MapEntry
from model.scenarios import SplitMix64, boot, mixed
from model.types import PhysicalAddress, VirtualAddress

MIB = 1 << 20


def word(machine: Machine, physical: int) -> int:
    return machine.physical.read_u64(PhysicalAddress(physical))


# §9


def test_the_objects_of_the_boot_by_hand(machine: Machine) -> None:
    # 608 bytes, then 104, then 120 in steps of 16; pool page; 8192 nodes of 16 bytes.
    assert word(machine, 0x119060) == KERNEL_BASE + 0x336000  # g_physical_manager
    assert word(machine, 0x119068) == KERNEL_BASE + 0x336260  # g_kernel_virtual_manager
    assert word(machine, 0x119070) == KERNEL_BASE + 0x3362D0  # g_kernel_heap
    assert word(machine, 0x119000) == 0x358000  # __placement
    assert machine.placement.sealed
    # physical: physical_end_, free_list_, nodes_, node_count_, free_count_, one range
    head = 0x338000 + 16 * 0x35D
    expected = [0x2000000, KERNEL_BASE + head, KERNEL_BASE + 0x338000, 8192, 7331, 0x358000, 0x2000000, 0]
    assert [word(machine, 0x336000 + 8 * n) for n in range(8)] == expected
    assert word(machine, 0x336000 + 552) == 1
    # virt: first_, last_, count_, spare_, spare_count_, start_, end_
    pool = KERNEL_BASE + 0x337000
    space = [0xFFFF_FFFF_8040_0000, 0xFFFF_FFFF_BFE0_0000]
    assert [word(machine, 0x336260 + 8 * n) for n in range(7)] == [pool, pool, 1, pool + 32, 127, *space]
    # the heap has no region yet, no errors, no lock held
    assert machine.physical.read(PhysicalAddress(0x3362D0), 120) == bytes(120)


def test_the_first_frames_are_the_tables_then_the_lowest_come(machine: Machine) -> None:
    assert machine.frames.alloc() == 0x35D000


def test_nothing_is_reported_refused_by_a_boot(machine: Machine, events: list[Event]) -> None:
    assert machine.cr3 == 0x358000
    assert [event for event in events if event.refusal] == []


def test_what_the_boot_loader_left_is_never_given_out() -> None:
    reserved = [
        PhysicalRange(PhysicalAddress(0x337100), PhysicalAddress(0x337200)),  # where the pool page would go
        PhysicalRange(PhysicalAddress(0x1000000), PhysicalAddress(0x1000001)),
        PhysicalRange(PhysicalAddress(0x9500), PhysicalAddress(0x9558)),
    ]
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(MIB, 31 * MIB)], reserved)
    assert machine.regions.nodes.read(VirtualAddress(KERNEL_BASE + 0x338000)).size_bytes > 0  # the pool page
    assert machine.placement.end == 0x359000
    ranges = [word(machine, 0x336000 + 40 + 8 * n) for n in range(5)]
    assert ranges == [0x1001000, 0x2000000, 0x359000, 0x1000000, 0]  # descending, none below 1 MiB
    frames = set(iter(machine.frames.alloc, 0))
    assert 0x1000000 not in frames
    assert min(frames) >= 0x359000


def test_a_region_above_4_gib_counts_for_the_nodes() -> None:
    # §4.4: a node for every frame below the end of the highest region, holes included.
    machine = Machine.boot([MapEntry(MIB, 127 * MIB), MapEntry(4 << 30, 16 * MIB)])
    assert word(machine, 0x336000 + 24) == 0x101000
    assert machine.placement.end == 0x338000 + 0x1010000
    last = VirtualAddress(KERNEL_BASE + 0x338000 + 16 * 0x100FFF)
    assert machine.memory.read_u64(last) == (4 << 30) + 16 * MIB - 4096


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        # 608 bytes are the first thing asked for. RAM that ends before `_end` does not hold the image, whose
        # 0x236000 bytes begin at 1 MiB.
        ([MapEntry(MIB, 0x236000)], "coronel: out of memory at boot: 608 bytes needed, 0 available"),
        ([MapEntry(MIB, MIB)], "coronel: out of memory at boot: 2318336 bytes needed, 1048576 available"),
        ([], "coronel: out of memory at boot: 2318336 bytes needed, 0 available"),
        ([MapEntry(2 * MIB, 30 * MIB)], "coronel: out of memory at boot: 2318336 bytes needed, 0 available"),
        # The pool page at 0x337000 needs [0x337000, 0x338000); left are 0x337000 - 0x336348.
        ([MapEntry(MIB, 0x237000)], "coronel: out of memory at boot: 4096 bytes needed, 3256 available"),
        # 0x800 nodes of 16 bytes do not fit when RAM is split: a second region at 16 MiB.
        (
            [MapEntry(MIB, 0x238000), MapEntry(16 * MIB, MIB)],
            "coronel: out of memory at boot: 69632 bytes needed, 0 available",
        ),
    ],
)
def test_a_boot_without_memory_stops_with_a_line(entries: list[MapEntry], line: str) -> None:
    with pytest.raises(BootStopped) as caught:
        Machine.boot(entries)
    assert caught.value.line == line


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4])
def test_a_boot_without_frames_for_its_tables_stops(frames: int) -> None:
    # 0x33c … 0x340 nodes fill four pages from 0x338000 on: what is managed begins at 0x33c000.
    with pytest.raises(BootStopped) as caught:
        Machine.boot([MapEntry(MIB, 0x33C000 + frames * 4096 - MIB)])
    assert caught.value.line == "coronel: out of memory at boot: 4096 bytes needed, 0 available"


def test_five_frames_are_enough() -> None:
    machine = Machine.boot([MapEntry(MIB, 0x33C000 + 5 * 4096 - MIB)])
    assert machine.frames.free_count == 0
    assert machine.kalloc(1) == 0


def test_too_many_reserved_ranges_stop_the_boot() -> None:
    reserved = [
        PhysicalRange(PhysicalAddress(0x2000 * n), PhysicalAddress(0x2000 * n + 1)) for n in range(1, 34)
    ]
    with pytest.raises(BootStopped):
        Machine.boot([MapEntry(MIB, 31 * MIB)], reserved)


def test_another_image_has_its_symbols_elsewhere() -> None:
    names = {name: int(address) for name, address in PLAIN_IMAGE.by_name().items()}
    assert ImageSymbols.from_names(names) == PLAIN_IMAGE
    assert names["_end"] == KERNEL_BASE + 0x336000
    moved = names | {"g_kernel_heap": KERNEL_BASE + 0x11A128}
    machine = Machine.boot([MapEntry(MIB, 31 * MIB)], (), ImageSymbols.from_names(moved))
    assert machine.symbols["g_kernel_heap"] == KERNEL_BASE + 0x11A128
    assert word(machine, 0x11A128) == KERNEL_BASE + 0x3362D0
    del names["__placement"]
    with pytest.raises(KeyError):
        ImageSymbols.from_names(names)


# §8.3


def test_kalloc_goes_to_the_heap(machine: Machine) -> None:
    assert machine.kalloc(100) == 0xFFFF_FFFF_8040_0030
    assert machine.kfree(0xFFFF_FFFF_8040_0030)
    assert machine.kalloc(0) == 0
    assert not machine.kfree(0)


def placement_errors(machine: Machine) -> list[int]:
    return [word(machine, 0x119008 + 8 * kind) for kind in ErrorKind]


@pytest.mark.parametrize("offset", [0x336000, 0x336008, 0x338000, 0x357FFF])
def test_kfree_refuses_placement_memory(machine: Machine, events: list[Event], offset: int) -> None:
    assert not machine.kfree(KERNEL_BASE + offset)
    assert placement_errors(machine) == [0, 0, 0, 0, 1]
    assert events[-1].line == f"coronel: placement: invalid pointer: {KERNEL_BASE + offset:#x}"
    assert machine.heap.fields.get("errors_", ErrorKind.INVALID_POINTER) == 0


@pytest.mark.parametrize("offset", [0x335FF0, 0x358000])
def test_kfree_beside_the_placement_area_is_the_heaps_affair(machine: Machine, offset: int) -> None:
    assert not machine.kfree(KERNEL_BASE + offset)
    assert placement_errors(machine) == [0, 0, 0, 0, 0]
    assert machine.heap.fields.get("errors_", ErrorKind.INVALID_POINTER) == 1


def test_before_there_is_a_heap_kalloc_goes_to_placement(machine: Machine) -> None:
    machine.memory.write_u64(machine.image.kernel_heap, 0)
    machine.placement.sealed = False
    machine.memory.cr3 = None  # the early map again
    assert machine.kalloc(24) == KERNEL_BASE + 0x358000
    assert machine.kalloc(8) == KERNEL_BASE + 0x358020
    assert not machine.kfree(KERNEL_BASE + 0x358000)
    assert not machine.kfree(0x1234)
    assert not machine.kfree(0)
    assert placement_errors(machine) == [0, 0, 0, 0, 2]


def test_after_the_boot_placement_is_sealed(machine: Machine) -> None:
    assert machine.placement_kalloc(16) == 0
    assert machine.placement_kalloc(4096, align=True) == 0
    assert placement_errors(machine) == [0, 0, 0, 0, 0]


# §11.2, §11.3


def test_splitmix64_gives_the_published_numbers() -> None:
    # The first outputs for seed 1234567, known from other implementations of splitmix64.
    random = SplitMix64(1234567)
    assert [random.next() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert SplitMix64(0).next() == 0xE220A8397B1DCDAF


def test_mixed_is_the_same_every_time(boot: Callable[[int], Machine]) -> None:
    first, second = boot(32 * MIB), boot(32 * MIB)
    assert mixed(first, 42, 300) == mixed(second, 42, 300)
    pages = first.physical.touched_pages()
    assert pages == second.physical.touched_pages()
    assert all(first.physical.read(page, 4096) == second.physical.read(page, 4096) for page in pages)
    assert mixed(boot(32 * MIB), 43, 300) != mixed(boot(32 * MIB), 42, 300)


def test_mixed_leaves_a_sound_heap_and_its_numbers_in_it(machine: Machine) -> None:
    slots = mixed(machine, 7, 1500)
    live = [pointer for pointer in slots if pointer]
    heap = machine.heap.fields
    assert len(slots) == 256
    assert heap.get("num_allocations_") - heap.get("num_frees_") == len(live) > 50
    assert machine.heap.validate_heap()
    assert all(heap.get("errors_", kind) == 0 for kind in ErrorKind)
    for index, pointer in enumerate(slots):
        if pointer:
            assert machine.memory.read(pointer, 1) == bytes([index])


def test_mixed_asks_for_what_the_specification_says(machine: Machine, events: list[Event]) -> None:
    events.clear()
    mixed(machine, 99, 800)
    calls = [event for event in events if event.part == "heap"]
    state, slots = 99, dict.fromkeys(range(256), 0)

    def draw() -> int:  # §11.2, word by word
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = ((z ^ (z // 2**30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z // 2**27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z // 2**31)

    for call in calls:
        number = draw()
        i, k = number % 256, number // 2**32 % 8
        if slots[i] == 0:
            assert (call.operation, call.arguments) == ("malloc", (1 + draw() % (16384 if k == 0 else 1024),))
            slots[i] = call.result
        elif k == 0:
            assert (call.operation, call.arguments) == ("realloc", (slots[i], 1 + draw() % 2048))
            slots[i] = call.result
        else:
            assert (call.operation, call.arguments) == ("free", (slots[i],))
            slots[i] = 0
    assert len(calls) == 800
    assert {call.operation for call in calls} == {"malloc", "realloc", "free"}


def test_mixed_first_steps_by_hand(machine: Machine) -> None:
    # seed 42: the first number picks slot and choice, the second the size.
    random = SplitMix64(42)
    number, size = random.next(), random.next()
    slots = mixed(machine, 42, 1)
    assert [index for index, pointer in enumerate(slots) if pointer] == [number % 256]
    limit = 16384 if (number >> 32) % 8 == 0 else 1024
    assert machine.heap.fields.get("total_allocated_") == (1 + size % limit + 15) // 16 * 16


def test_boot_does_nothing(machine: Machine, events: list[Event]) -> None:
    events.clear()
    boot(machine, 1, 1000)
    assert events == []
