"""`pagewalk --audit`: one code for one defect, whichever command tells it; other kernels by general rules."""

from collections.abc import Callable
from typing import Any

import pytest

from model.page_entry import NO_EXECUTE, PRESENT, USER, WRITABLE
from model.page_tables import PageFlags
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress
from tests.coronel_gdb.asked import codes, report
from tests.coronel_gdb.user_side import CODE, DATA, MMAP, UserSide, user_side

V0 = 0xFFFF_FFFF_8040_0000
IMAGE = 0xFFFF_FFFF_8010_0000


def entry(side: UserSide, virtual: int) -> PhysicalAddress:
    """Where the leaf of a kernel page lies."""
    return side.context().space.translate(VirtualAddress(virtual)).steps[-1].entry_address


def change(side: UserSide, at: PhysicalAddress, bits: int) -> None:
    side.machine.physical.write_u64(at, side.machine.physical.read_u64(at) ^ bits)


def map_kernel(side: UserSide, physical: int) -> None:
    page = side.machine.regions.alloc(PAGE_BYTES)
    assert side.machine.paging.map(side.machine.cr3, page, physical, PageFlags.WRITE)


def table_of(side: UserSide, virtual: int) -> int:
    """The last table of the first process for an address."""
    return side.entry(side.processes[0], virtual) & -PAGE_BYTES


def free_page(side: UserSide) -> None:
    side.machine.frames.free(side.physical(side.processes[0], DATA))


def open_to_ring_3(side: UserSide, virtual: int) -> None:
    for step in side.context().space.translate(VirtualAddress(virtual)).steps[1:]:
        change(side, step.entry_address, USER)


def remap(side: UserSide, virtual: int, physical: int) -> None:
    side.machine.physical.write_u64(
        side.entry(side.processes[0], virtual), physical | NO_EXECUTE | USER | WRITABLE | PRESENT
    )


DAMAGES: dict[str, tuple[Callable[[UserSide], object], str]] = {
    "LAYOUT002": (lambda side: change(side, entry(side, IMAGE), WRITABLE), "layout"),
    "LAYOUT003": (
        lambda side: side.machine.paging.map(
            side.machine.cr3, IMAGE - PAGE_BYTES, side.machine.frames.alloc(), PageFlags.WRITE
        ),
        "layout",
    ),
    "LAYOUT004": (lambda side: change(side, entry(side, IMAGE), PRESENT), "layout"),
    "FRAME008": (free_page, "frames"),
    "FRAME011": (lambda side: map_kernel(side, table_of(side, DATA)), "frames"),
    "FRAME013": (lambda side: map_kernel(side, 0x10_0000), "frames"),
    "SPACE001": (lambda side: change(side, entry(side, V0), USER), "processes"),
    "SPACE005": (lambda side: remap(side, MMAP, table_of(side, DATA)), "processes"),
    "PROC003": (lambda side: change(side, side.entry(side.processes[0], CODE), WRITABLE), "processes"),
}


@pytest.mark.parametrize("code", DAMAGES)
def test_the_audit_and_the_other_command_say_the_same(code: str) -> None:
    side = user_side("alpha")
    damage, command = DAMAGES[code]
    assert codes(side, "pagewalk --audit --every-process") == []
    damage(side)
    assert code in codes(side, command)
    assert codes(side, "pagewalk --audit --every-process") == [code]


def test_an_audit_of_one_space_leaves_the_pages_of_others_alone() -> None:
    side = user_side("alpha", "beta")
    change(side, side.entry(side.processes[0], CODE), WRITABLE)
    free_page(side)
    assert codes(side, "pagewalk --audit") == []
    assert codes(side, "pagewalk --audit --process 2") == []
    assert codes(side, "pagewalk --audit --process 1") == ["PROC003", "FRAME008"]


def test_a_lock_that_is_held_leaves_the_frames_unjudged() -> None:
    side = user_side("alpha")
    free_page(side)
    side.machine.heap.fields.set("lock_", 1)
    answer = report(side, "pagewalk --audit --every-process")
    assert (answer["exit_code"], answer["findings"]) == (2, [])
    assert any("kernel heap" in absent["why"] for absent in answer["not_checked"])


OTHER: dict[str, Callable[[UserSide], object]] = {
    "PAGE001": lambda side: change(side, entry(side, IMAGE), WRITABLE),
    "PAGE002": lambda side: open_to_ring_3(side, V0),
    "PAGE003": lambda side: side.machine.paging.map(
        side.processes[0].get("memory.page_directory_"), 0, side.machine.frames.alloc(), PageFlags.USER
    ),
    "PAGE004": lambda side: remap(side, MMAP, table_of(side, DATA)),
    "PAGE006": lambda side: side.machine.physical.write_u64(
        PhysicalAddress(side.processes[0].get("memory.page_directory_") + 8 * 100), 0x83
    ),
}


@pytest.mark.parametrize("code", OTHER)
def test_tables_of_which_nothing_is_known_are_judged_by_what_holds_everywhere(code: str) -> None:
    side = user_side("alpha")
    unknown = side.machine.frames.alloc()

    def audited() -> dict[str, Any]:
        """A copy of the process's top table, which is nobody's."""
        directory = PhysicalAddress(side.processes[0].get("memory.page_directory_"))
        data = bytearray(side.machine.physical.read(directory, PAGE_BYTES))
        data[8 * 511] |= USER
        side.machine.physical.write(unknown, bytes(data))
        return report(side, f"pagewalk --audit --cr3 {unknown:#x}")

    sound = audited()
    assert sound["findings"] == []
    assert any("neither the kernel directory nor" in absent["why"] for absent in sound["not_checked"])
    OTHER[code](side)
    assert [finding["code"] for finding in audited()["findings"]] == [code]
