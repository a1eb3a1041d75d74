"""Building page tables (docs/spec.md §5)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.address_space import KERNEL_BASE
from model.errors import BootStopped, CpuException, ErrorKind
from model.events import Event
from model.machine import Machine
from model.multiboot import MapEntry
from model.page_tables import PageFlags
from model.paging import Mapping, Range, Rights, coalesce, walk_space
from model.types import PhysicalAddress, VirtualAddress

MIB = 1 << 20
P, W, U, PWT, PCD, PS, NX = 1, 2, 4, 8, 16, 1 << 7, 1 << 63
WRITE = PageFlags.WRITE


def word(machine: Machine, physical: int) -> int:
    return machine.physical.read_u64(PhysicalAddress(physical))


def errors(machine: Machine) -> list[int]:
    """`paging::errors_` of the plain image."""
    return [
        machine.memory.read_u64(VirtualAddress(machine.symbols["paging::errors_"] + 8 * n)) for n in ErrorKind
    ]


def drain(machine: Machine, leave: int) -> None:
    """Take frames until only `leave` are free."""
    while machine.frames.free_count > leave:
        machine.frames.alloc()


# §5.6: the kernel directory of the 32 MiB machine. PML4 0x358000, PDPT 0x359000, PD 0x35a000, page
# tables 0x35b000 (from KERNEL_BASE on) and 0x35c000 (from 2 MiB on).


def test_the_kernel_directory_by_hand(machine: Machine) -> None:
    assert machine.cr3 == machine.paging.kernel_directory == 0x358000
    assert word(machine, 0x119058) == 0x358000  # `paging::kernel_directory_`
    assert word(machine, 0x358000 + 8 * 511) == 0x359000 | P | W
    assert machine.physical.read(PhysicalAddress(0x358000), 8 * 511) == bytes(8 * 511)
    assert word(machine, 0x359000 + 8 * 510) == 0x35A000 | P | W
    assert word(machine, 0x359000 + 8 * 511) == 0  # devices: made by the first mapio
    assert word(machine, 0x35A000) == 0x35B000 | P | W
    assert word(machine, 0x35A008) == 0x35C000 | P | W
    assert word(machine, 0x35A010) == 0
    assert word(machine, 0x35A000 + 8 * 511) == 0x118000 | P | W  # the window table
    assert machine.physical.read(PhysicalAddress(0x118000), 4096) == bytes(4096)
    assert word(machine, 0x35B000 + 8 * 0xFF) == 0  # low memory
    assert word(machine, 0x35B000 + 8 * 0x100) == 0x100000 | P  # code
    assert word(machine, 0x35B000 + 8 * 0x10F) == 0x10F000 | P
    assert word(machine, 0x35B000 + 8 * 0x110) == 0x110000 | P | NX  # constants
    assert word(machine, 0x35B000 + 8 * 0x114) == 0x114000 | P | W | NX  # data
    assert word(machine, 0x35B000 + 8 * 0x11F) == 0x11F000 | P | W | NX
    assert word(machine, 0x35B000 + 8 * 0x120) == 0  # the gap
    assert word(machine, 0x35C000 + 8 * 0x125) == 0  # the guard, 0x325000
    assert word(machine, 0x35C000 + 8 * 0x126) == 0x326000 | P | W | NX  # the stack
    assert word(machine, 0x35C000 + 8 * 0x157) == 0x357000 | P | W | NX  # the last node page
    assert word(machine, 0x35C000 + 8 * 0x158) == 0


def test_the_kernel_directory_as_ranges(machine: Machine) -> None:
    mappings = list(walk_space(machine.physical.read_table, machine.cr3, machine.memory.mode))
    assert all(isinstance(part, Mapping) for part in mappings)

    def part(start: int, end: int, writable: bool, executable: bool) -> Range:
        rights = Rights(writable=writable, user=False, executable=executable)
        first, last = VirtualAddress(KERNEL_BASE + start), VirtualAddress(KERNEL_BASE + end)
        return Range(first, last, PhysicalAddress(start), rights, 4096, (end - start) // 4096)

    assert list(coalesce(m for m in mappings if isinstance(m, Mapping))) == [
        part(0x100000, 0x110000, False, True),
        part(0x110000, 0x114000, False, False),
        part(0x114000, 0x120000, True, False),
        part(0x326000, 0x358000, True, False),
    ]


def test_the_placement_area_uses_2_mib_pages_where_they_fit() -> None:
    # 1 GiB: 0x40000 nodes are 4 MiB, from 0x338000 to 0x738000. Aligned there are 0x400000, which fits,
    # and 0x600000, which would end at 0x800000, behind the area.
    machine = Machine.boot([MapEntry(MIB, 1023 * MIB)])
    assert machine.placement.end == 0x738000
    directory = machine.cr3 + 0x2000
    assert word(machine, machine.cr3) == 0
    assert word(machine, directory + 8) & (P | PS) == P
    assert word(machine, directory + 16) == 0x400000 | P | W | PS | NX
    assert word(machine, directory + 24) & (P | PS) == P
    # PML4, PDPT, PD, and page tables for [0, 2), [2, 4) and [6, 8) MiB.
    assert machine.frames.free_count == (1024 * MIB - 0x738000) // 4096 - 6
    assert machine.memory.read(VirtualAddress(KERNEL_BASE + 0x5FF000), 16)


def test_the_placement_area_needs_tables_too() -> None:
    # Nodes for 1 GiB end at 0x738000. Managed are the pages from there on and the last one below 1 GiB:
    # six in all are enough, with five the page table for 6 MiB is missing.
    last = MapEntry((1 << 30) - 4096, 4096)
    machine = Machine.boot([MapEntry(MIB, 0x73D000 - MIB), last])
    assert machine.frames.free_count == 0
    with pytest.raises(BootStopped):
        Machine.boot([MapEntry(MIB, 0x73C000 - MIB), last])


def test_code_and_constants_are_read_only_for_the_kernel_itself(machine: Machine) -> None:
    for offset in (0x100000, 0x110000):
        with pytest.raises(CpuException) as caught:
            machine.memory.write_u64(VirtualAddress(KERNEL_BASE + offset), 1)
        assert caught.value.error_code == 3
    for offset in (0, 0x325FF8, 0x120000, 0x358000):
        with pytest.raises(CpuException) as caught:
            machine.memory.read_u64(VirtualAddress(KERNEL_BASE + offset))
        assert caught.value.error_code == 0


# §5.2, §5.3 map


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (PageFlags.NONE, P | NX),
        (WRITE, P | W | NX),
        (PageFlags.EXECUTE, P),
        (PageFlags.USER | WRITE, P | U | W | NX),
        (PageFlags.DEVICE | WRITE, P | W | PCD | PWT | NX),
        (WRITE | PageFlags.USER | PageFlags.EXECUTE | PageFlags.DEVICE, P | W | U | PCD | PWT),
    ],
)
def test_leaves(machine: Machine, flags: PageFlags, expected: int) -> None:
    # 0xffffffff80358000: entry 0x158 of the page table at 0x35c000, which exists.
    free = machine.frames.free_count
    assert machine.paging.map(machine.cr3, KERNEL_BASE + 0x358000, 0x1234000, flags)
    assert word(machine, 0x35C000 + 8 * 0x158) == 0x1234000 | expected
    assert machine.frames.free_count == free


def test_tables_in_the_upper_half_have_no_user_bit(machine: Machine) -> None:
    assert machine.paging.map(machine.cr3, 0xFFFF_8000_0000_0000, 0x5000, WRITE | PageFlags.USER)
    # Three tables, top down: 0x35d000, 0x35e000, 0x35f000.
    assert word(machine, 0x358000 + 8 * 256) == 0x35D000 | P | W
    assert word(machine, 0x35D000) == 0x35E000 | P | W
    assert word(machine, 0x35E000) == 0x35F000 | P | W
    assert word(machine, 0x35F000) == 0x5000 | P | W | U | NX


def test_tables_in_the_lower_half_have_it(machine: Machine) -> None:
    directory = machine.paging.create_page_directory()
    assert directory == 0x35D000
    # 0x7fffffff_f000: PML4 255, PDPT 511, PD 511, PT 511
    assert machine.paging.map(directory, 0x7FFF_FFFF_F000, 0x5000, PageFlags.NONE)
    assert word(machine, 0x35D000 + 8 * 255) == 0x35E000 | P | W | U
    assert word(machine, 0x35E000 + 8 * 511) == 0x35F000 | P | W | U
    assert word(machine, 0x35F000 + 8 * 511) == 0x360000 | P | W | U
    assert word(machine, 0x360000 + 8 * 511) == 0x5000 | P | NX


def test_a_recycled_table_is_zeroed(machine: Machine) -> None:
    frame = machine.frames.alloc()
    machine.physical.fill(frame, 4096, 0xFF)
    machine.frames.free(frame)
    assert machine.paging.create_page_directory() == frame
    assert machine.physical.read(frame, 4096) == bytes(4096)


@pytest.mark.parametrize(
    ("virtual", "physical"),
    [
        (KERNEL_BASE + 0x358001, 0x5000),
        (KERNEL_BASE + 0x358000, 0x5001),
        (0x0000_8000_0000_0000, 0x5000),
        (0xFFFF_7FFF_FFFF_F000, 0x5000),
        (KERNEL_BASE + 0x358000, 1 << 52),
        (KERNEL_BASE + 0x358000, -4096),
        (KERNEL_BASE + 0x357000, 0x5000),  # a leaf is there
        (KERNEL_BASE + 0x100000, 0x100000),  # the very same one
    ],
)
def test_map_refuses(machine: Machine, virtual: int, physical: int) -> None:
    free = machine.frames.free_count
    tables = machine.physical.read(PhysicalAddress(0x358000), 0x5000)
    assert not machine.paging.map(machine.cr3, virtual, physical, WRITE)
    assert errors(machine) == [0, 0, 0, 0, 1]
    assert machine.frames.free_count == free
    assert machine.physical.read(PhysicalAddress(0x358000), 0x5000) == tables


def test_map_into_a_larger_page_is_refused() -> None:
    machine = Machine.boot([MapEntry(MIB, 1023 * MIB)])
    inside = KERNEL_BASE + 0x40_0000
    assert not machine.paging.map(machine.cr3, inside, 0x5000, WRITE)
    assert machine.paging.unmap(machine.cr3, inside) == 0
    assert errors(machine) == [0, 0, 0, 0, 2]
    assert word(machine, machine.cr3 + 0x2000 + 16) == 0x400000 | P | W | PS | NX


@pytest.mark.parametrize("directory", [0, 1, 0x358001, 0x4000_0000, (1 << 64) - 4096, -1])
def test_what_cannot_be_a_directory(machine: Machine, directory: int) -> None:
    assert not machine.paging.map(directory, 0x1000, 0x1000, WRITE)
    assert machine.paging.unmap(directory, 0x1000) == 0
    assert errors(machine) == [0, 0, 0, 0, 2]


@pytest.mark.parametrize("left", [0, 1, 2])
def test_without_frames_the_tables_made_on_the_way_stay(
    machine: Machine, events: list[Event], left: int
) -> None:
    drain(machine, left)
    events.clear()
    assert not machine.paging.map(machine.cr3, 0xFFFF_8000_0000_0000, 0x5000, WRITE)
    assert machine.frames.free_count == 0
    assert errors(machine) == [1, 0, 0, 0, 0]
    assert [event.line for event in events if event.line] == [
        "coronel: physical: out of memory: 0x1000",
        "coronel: paging: out of memory: 0x1000",
    ]
    assert (word(machine, 0x358000 + 8 * 256) != 0) == (left > 0)


# §5.4 unmap


def test_unmap_gives_the_address_and_leaves_the_tables(machine: Machine) -> None:
    page = VirtualAddress(KERNEL_BASE + 0x40_0000)
    assert machine.paging.map(machine.cr3, page, 0x1234000, WRITE)
    machine.memory.write_u64(page, 7)
    assert machine.paging.unmap(machine.cr3, page) == 0x1234000
    assert word(machine, 0x35A010) == 0x35D000 | P | W
    assert word(machine, 0x35D000) == 0
    with pytest.raises(CpuException):
        machine.memory.read_u64(page)  # the cached translation is gone too
    assert machine.paging.unmap(machine.cr3, page) == 0
    assert errors(machine) == [0, 0, 0, 0, 1]
    free = machine.frames.free_count
    assert machine.paging.map(machine.cr3, page, 0x5000, WRITE)
    assert machine.frames.free_count == free


@pytest.mark.parametrize("virtual", [0, KERNEL_BASE + 0x100001, 0x0000_8000_0000_0000, KERNEL_BASE, -4096])
def test_unmap_of_what_is_not_mapped(machine: Machine, virtual: int) -> None:
    assert machine.paging.unmap(machine.cr3, virtual) == 0
    assert errors(machine) == [0, 0, 0, 0, 1]


# §5.5 directories


def test_a_user_directory_shares_the_kernel_half_and_nothing_else(machine: Machine) -> None:
    directory = machine.paging.create_user_page_directory()
    assert directory == 0x35D000
    assert word(machine, directory + 8 * 511) == 0x359000 | P | W
    assert machine.physical.read(directory, 8 * 511) == bytes(8 * 511)
    empty = machine.paging.create_page_directory()
    assert machine.physical.read(empty, 4096) == bytes(4096)


def test_no_directory_without_a_frame(machine: Machine) -> None:
    drain(machine, 0)
    assert machine.paging.create_page_directory() == 0
    assert machine.paging.create_user_page_directory() == 0
    assert errors(machine) == [2, 0, 0, 0, 0]


# §5.7 mapio


def test_mapio_by_hand(machine: Machine) -> None:
    # [0xfebf0ff0, +0x20) touches two pages; the first byte is at offset 0xff0.
    assert machine.paging.mapio(0xFEBF_0FF0, 0x20) == 0xFFFF_FFFF_C000_0FF0
    leaf = P | W | PCD | PWT | NX
    assert word(machine, 0x359000 + 8 * 511) == 0x35D000 | P | W
    assert word(machine, 0x35D000) == 0x35E000 | P | W
    assert [word(machine, 0x35E000 + 8 * n) for n in range(3)] == [0xFEBF0000 | leaf, 0xFEBF1000 | leaf, 0]
    # Never reused, always upwards; exactly one page.
    assert machine.paging.mapio(0xFEBF_0000, 0x1000) == 0xFFFF_FFFF_C000_2000
    machine.paging.unmap(machine.cr3, 0xFFFF_FFFF_C000_2000)
    assert machine.paging.mapio(0xFEBF_0000, 1) == 0xFFFF_FFFF_C000_3000
    assert errors(machine) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("physical", "size", "kind"),
    [
        (0xFEBF_0000, 0, ErrorKind.INVALID_POINTER),
        ((1 << 64) - 1, 2, ErrorKind.INVALID_POINTER),
        (0x1000, -1, ErrorKind.INVALID_POINTER),
        (1 << 52, 1, ErrorKind.INVALID_POINTER),
        (0, 0x3FFF_F001, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),  # one page more than there is
        (0xFFF, 0x3FFF_E002, ErrorKind.VIRTUAL_SPACE_EXHAUSTED),
    ],
)
def test_mapio_refuses(machine: Machine, physical: int, size: int, kind: ErrorKind) -> None:
    assert machine.paging.mapio(physical, size) == 0
    assert errors(machine) == [int(kind == other) for other in ErrorKind]
    assert machine.paging.mapio(0xFEBF_0000, 1) == 0xFFFF_FFFF_C000_0000


def test_mapio_without_frames_takes_everything_back(machine: Machine) -> None:
    drain(machine, 2)  # a page directory and one page table: 512 pages fit, 513 do not
    assert machine.paging.mapio(0x1_0000_0000, 513 * 4096) == 0
    assert errors(machine) == [1, 0, 0, 0, 0]
    mapped = list(walk_space(machine.physical.read_table, machine.cr3, machine.memory.mode))
    assert all(m.virtual < 0xFFFF_FFFF_C000_0000 for m in mapped)
    assert machine.paging.mapio(0x1_0000_0000, 512 * 4096) == 0xFFFF_FFFF_C000_0000


# The whole, against a dictionary

pages = st.builds(
    lambda top, a, b, c: (0xFFFF << 48 if top >= 256 else 0) | top << 39 | a << 30 | b << 21 | c << 12,
    st.sampled_from([0, 1, 255, 256]),
    st.sampled_from([0, 511]),
    st.sampled_from([0, 1]),
    st.integers(0, 3),
)
operations = st.lists(
    st.tuples(st.sampled_from(["map", "map", "unmap"]), pages, st.integers(1, 0xFFFF)), max_size=25
)


@settings(max_examples=30)
@given(operations=operations)
def test_an_address_space_is_a_dictionary(operations: list[tuple[str, int, int]]) -> None:
    machine = Machine.boot([MapEntry(MIB, 15 * MIB)])
    directory = machine.paging.create_page_directory()
    shadow: dict[int, int] = {}
    for operation, page, number in operations:
        if operation == "map":
            assert machine.paging.map(directory, page, number << 12, WRITE) == (page not in shadow)
            shadow.setdefault(page, number << 12)
        else:
            assert machine.paging.unmap(directory, page) == shadow.pop(page, 0)
    found = list(walk_space(machine.physical.read_table, directory, machine.memory.mode))
    assert [part.virtual for part in found] == sorted(shadow)
    for part in found:
        assert isinstance(part, Mapping)
        assert part.physical == shadow[part.virtual]
        assert part.entry == part.physical | P | W | NX


def test_events_name_the_operation(machine: Machine, events: list[Event]) -> None:
    events.clear()
    machine.paging.map(machine.cr3, KERNEL_BASE + 0x358000, 0x5000, WRITE)
    assert [(e.part, e.operation, e.arguments, e.result) for e in events] == [
        ("paging", "map", (0x358000, KERNEL_BASE + 0x358000, 0x5000, 1), 1)
    ]
