"""Simulated physical memory, and the kernel's view of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.address_space import KERNEL_BASE
from model.errors import CpuException, NoSuchMemory
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.paging import PagingMode
from model.types import PhysicalAddress, VirtualAddress

P, W, PS, NX = 1, 2, 1 << 7, 1 << 63


def ram(*ranges: tuple[int, int]) -> PhysicalMemory:
    return PhysicalMemory(PhysicalRange(PhysicalAddress(a), PhysicalAddress(b)) for a, b in ranges)


def phys(address: int) -> PhysicalAddress:
    return PhysicalAddress(address)


def virt(address: int) -> VirtualAddress:
    return VirtualAddress(address)


def test_ram_is_zero_at_first_and_keeps_what_is_written() -> None:
    memory = ram((0x1000, 0x4000))
    assert memory.read(phys(0x1000), 0x3000) == bytes(0x3000)
    memory.write(phys(0x1FFE), b"abcd")  # across a page
    assert memory.read(phys(0x1FFD), 6) == b"\0abcd\0"
    memory.write_u64(phys(0x2FFC), 0x1122334455667788)  # across a page
    assert memory.read_u64(phys(0x2FFC)) == 0x1122334455667788
    assert memory.read(phys(0x2FFC), 8) == bytes.fromhex("8877665544332211")
    memory.write_u64(phys(0x3000), 5)
    assert memory.read_u64(phys(0x3000)) == 5


def test_pages_exist_from_their_first_write_on() -> None:
    memory = ram((0, 1 << 40))
    assert memory.touched_pages() == []
    memory.fill(phys(0), 1 << 20)  # zeros on zeros: nothing to keep
    memory.read(phys(0x5000), 8)
    assert memory.touched_pages() == []
    memory.write(phys((1 << 40) - 1), b"x")
    memory.fill(phys(0x1FFF), 2, 7)
    assert memory.touched_pages() == [0x1000, 0x2000, (1 << 40) - 4096]
    memory.fill(phys(0x1000), 0x2000)
    assert memory.read(phys(0x1000), 0x2000) == bytes(0x2000)


@pytest.mark.parametrize("address", [0, 0xFFF, 0x4000, 0x7FFF, 0x9000, (1 << 64) - 1, 1 << 70, -1])
def test_outside_ram_there_is_nothing(address: int) -> None:
    memory = ram((0x1000, 0x4000), (0x8000, 0x9000))
    for access in (
        lambda: memory.read(phys(address), 1),
        lambda: memory.write(phys(address), b"x"),
        lambda: memory.fill(phys(address), 1),
        lambda: memory.read_u64(phys(address)),
        lambda: memory.write_u64(phys(address), 0),
    ):
        with pytest.raises(NoSuchMemory) as caught:
            access()
        assert caught.value.address == address
    assert memory.read_entry(phys(address)) is None
    assert memory.read_table(phys(address)) is None
    assert memory.touched_pages() == []


def test_an_access_that_leaves_ram_says_where() -> None:
    memory = ram((0x1000, 0x2000))
    with pytest.raises(NoSuchMemory) as caught:
        memory.read(phys(0x1FFC), 8)
    assert caught.value.address == 0x2000
    assert memory.read_entry(phys(0x1FF8)) == 0
    assert memory.read_entry(phys(0x1FFC)) is None
    assert not memory.contains(0x1000, 0x1001)
    assert memory.contains(0x1000, 0x1000)


def test_a_page_that_ram_covers_in_part_is_no_ram() -> None:
    memory = ram((0x1800, 0x3800))
    assert [memory.contains(page) for page in (0x1000, 0x1800, 0x2000, 0x3000)] == [False, False, True, False]


def test_ranges_that_touch_are_one() -> None:
    memory = ram((0x2000, 0x3000), (0x1000, 0x2000))
    assert memory.contains(0x1000, 0x2000)
    memory.write(phys(0x1FFF), b"ab")


@given(st.lists(st.tuples(st.integers(0, 0x2FFF), st.binary(max_size=0x1100))))
def test_memory_is_an_array_of_bytes(writes: list[tuple[int, bytes]]) -> None:
    memory, shadow = ram((0, 0x5000)), bytearray(0x5000)
    for address, data in writes:
        memory.write(phys(address), data)
        shadow[address : address + len(data)] = data
    assert memory.read(phys(0), 0x5000) == shadow


def test_the_early_map_is_at_0_and_at_kernel_base() -> None:
    memory = VirtualMemory(ram((0, 0x10000), (0x3FFF_F000, 0x4000_1000)), PagingMode())
    memory.write_u64(virt(KERNEL_BASE + 0x1000), 42)
    assert memory.read_u64(virt(0x1000)) == 42
    assert memory.physical.read_u64(phys(0x1000)) == 42
    assert memory.read(virt(KERNEL_BASE + 0x3FFF_FFFF), 1) == b"\0"
    assert memory.read(virt(KERNEL_BASE), 1) == memory.read(virt(0), 1) == b"\0"
    for address in (KERNEL_BASE + 0x4000_0000, 0x4000_0000, KERNEL_BASE - 1):
        with pytest.raises(CpuException) as caught:
            memory.read(virt(address), 1)
        assert (caught.value.vector, caught.value.error_code, caught.value.address) == (14, 0, address)


@pytest.fixture
def mapped() -> VirtualMemory:
    """Tables at 0x1000 …; virtual 0x0 → 0x5000 W, 0x1000 → 0x7000 W, 0x2000 → 0x6000 read-only."""
    physical = ram((0, 0x10000))
    for at, entry in {
        0x1000: 0x2000 | P | W,
        0x2000: 0x3000 | P | W,
        0x3000: 0x4000 | P | W,
        0x3008: 0x20_0000 | P | W | PS | 1 << 13,  # a reserved bit
        0x4000: 0x5000 | P | W | NX,
        0x4008: 0x7000 | P | W | NX,
        0x4010: 0x6000 | P | NX,
    }.items():
        physical.write_u64(phys(at), entry)
    memory = VirtualMemory(physical, PagingMode())
    memory.load_cr3(phys(0x1000))
    return memory


def test_tables_translate_page_by_page(mapped: VirtualMemory) -> None:
    mapped.write(virt(0xFFE), b"abcd")
    assert mapped.physical.read(phys(0x5FFE), 2) == b"ab"
    assert mapped.physical.read(phys(0x7000), 2) == b"cd"
    assert mapped.read(virt(0xFFE), 4) == b"abcd"
    mapped.write_u64(virt(0xFFC), 0x0807060504030201)
    assert mapped.read_u64(virt(0xFFC)) == 0x0807060504030201
    mapped.fill(virt(0x800), 0x1000, 9)
    assert (
        mapped.physical.read(phys(0x5800), 0x800) + mapped.physical.read(phys(0x7000), 0x800)
        == b"\x09" * 0x1000
    )


@pytest.mark.parametrize(
    ("address", "write", "vector", "code"),
    [
        (0x3000, False, 14, 0),
        (0x3010, True, 14, 2),
        (0x2008, True, 14, 3),  # CR0.WP: read-only for the kernel too
        (0x20_0000, False, 14, 9),
        (0x20_0000, True, 14, 11),
        (0x0000_8000_0000_0000, False, 13, 0),
        (KERNEL_BASE, False, 14, 0),  # the early map is gone
    ],
)
def test_a_bad_address_is_an_exception(
    mapped: VirtualMemory, address: int, write: bool, vector: int, code: int
) -> None:
    with pytest.raises(CpuException) as caught:
        mapped.write_u64(virt(address), 1) if write else mapped.read_u64(virt(address))
    assert (caught.value.vector, caught.value.error_code, caught.value.address) == (vector, code, address)


def test_translations_are_cached_until_invalidated(mapped: VirtualMemory) -> None:
    mapped.read_u64(virt(0))
    mapped.physical.write_u64(phys(0x4000), 0)
    assert mapped.translate(virt(0x123)) == 0x5123
    mapped.invalidate(virt(0xFFF))
    with pytest.raises(CpuException):
        mapped.translate(virt(0))
    # What was not mapped is not cached.
    mapped.physical.write_u64(phys(0x4000), 0x8000 | P)
    assert mapped.translate(virt(0)) == 0x8000
    mapped.physical.write_u64(phys(0x4000), 0x9000 | P)
    mapped.load_cr3(phys(0x1000))
    assert mapped.translate(virt(0)) == 0x9000
