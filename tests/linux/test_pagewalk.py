"""`pagewalk` on a kernel that nobody here built, with no symbols: Debian's Linux, 4 and 5 levels."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from coronel_gdb.backends.qemu_memory import ProcessMemory, RamMap, ram_map
from coronel_gdb.lift.page_arrays import walk_pages_in_bulk
from coronel_gdb.lift.page_walker import walk_pages
from coronel_gdb.lift.pages import EXECUTE, LEVEL_SHIFT, USER, WRITE, Pages, rights_of
from coronel_gdb.lift.space import AddressSpace
from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.linux import linux_guest
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import GDB_SCRIPT
from model.page_entry import PagingMode
from model.paging import Translation
from model.types import PhysicalAddress, VirtualAddress

CORONEL = (sys.executable, "-m", "coronel_gdb.cli")
USER_HALF = 0x1000  # KPTI: CR3 bit 12 chooses the tables that a program runs with
Tlb = dict[int, tuple[int, int]]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Guest:
    """A Linux stopped in its kernel, a GDB that knows nothing of it, and QEMU's own list of its pages."""

    levels: int
    machine: Machine
    gdb: Gdb
    tlb: Tlb
    cr3: int

    def report(self, command: str, exit_code: int = 0) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.gdb.console(f"{command} --json", 120))
        assert report["exit_code"] == exit_code, report
        return report

    def space(self, root: int | None = None) -> AddressSpace:
        """The address space read in this process, the way GDB's commands read it."""
        memory = ProcessMemory(self.machine.pid, RamMap(ram_map(self.machine.monitor)), self.machine.monitor)
        mode = PagingMode(levels=self.levels, physical_bits=40)
        return AddressSpace(memory, PhysicalAddress((self.cr3 if root is None else root) & ~0xFFF), mode)


@pytest.fixture(scope="module", params=[4, 5], ids=["4 levels", "5 levels"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    levels = int(request.param)
    with linux_guest(levels=levels) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.mi(f"-target-select remote {machine.gdb_socket}")
        found = re.search(r"\bCR3=([0-9a-f]+)", machine.monitor("info registers"))
        assert found
        yield Guest(levels, machine, gdb, tlb(machine.monitor("info tlb")), int(found[1], 16))


def tlb(text: str) -> Tlb:
    """`info tlb`: virtual → physical and kind, by a reading of its own."""
    pages = {}
    for line in text.splitlines():
        virtual, physical, flags = line.replace(":", "").split()
        assert len(flags) == 9
        kind = WRITE * ("W" in flags) + USER * ("U" in flags) + EXECUTE * ("X" not in flags)
        pages[int(virtual, 16)] = (int(physical, 16), kind | (2 if "P" in flags else 1) << LEVEL_SHIFT)
    return pages


def by_address(pages: Pages) -> Tlb:
    return dict(zip(pages.starts, zip(pages.physical, pages.kinds, strict=True), strict=True))


def test_every_page_is_that_of_info_tlb(guest: Guest) -> None:
    assert len(guest.tlb) > 65_536
    pages = walk_pages(guest.space(), coalesced=False, effective=False)
    assert pages.bad == []
    assert pages.self_maps == []
    assert by_address(pages) == guest.tlb


def test_both_decoders_agree_and_coalescing_loses_no_page(guest: Guest) -> None:
    one, other = walk_pages(guest.space()), walk_pages_in_bulk(guest.space())
    assert (one.starts, one.physical, one.pages, one.kinds) == (
        other.starts, other.physical, other.pages, other.kinds,
    )  # fmt: skip
    assert one.tables == other.tables
    assert one.count == len(guest.tlb)


def test_effective_rights_are_what_every_level_allows(guest: Guest) -> None:
    """The single walk, which hardware confirmed elsewhere, at both ends of a sample of ranges."""
    space = guest.space()
    pages = walk_pages(space)
    for index in range(0, len(pages), max(1, len(pages) // 500)):
        part = pages.range(index)
        for address in (part.virtual, part.end - 1):
            found = space.translate(VirtualAddress(address))
            assert isinstance(found, Translation)
            assert (found.rights, found.page_bytes) == (part.rights, part.page_bytes)
            assert found.physical == part.physical + (address - part.virtual)
    assert any(rights_of(kind).user for kind in pages.kinds)


def test_the_commands_need_no_kernel_file(guest: Guest) -> None:
    report = guest.report("pagewalk --fold")
    assert report["summary"].startswith(f"{len(guest.tlb):,} pages in ")
    rows = report["tables"][0]["rows"]
    # Linux maps one page of its espfix stacks 65,536 times: kept, and here one row.
    assert max(row["times"] for row in rows) == 65_536
    assert sum(row["times"] * row["pages"] for row in rows) == len(guest.tlb)
    assert guest.report("pagewalk --audit")["findings"] == []
    assert "not checkable" in guest.report("pagewalk --audit")["facts"]
    compared = guest.report("pagewalk --compare")
    assert "agrees on" in compared["summary"]
    assert compared["checked"] > len(guest.tlb)
    one = guest.report("pagewalk $rip")
    assert len(one["tables"][0]["rows"]) in (guest.levels, guest.levels - 1)
    assert one["facts"]["owner"].startswith("RAM ")


def test_without_a_debugger_the_whole_list_is_compared(guest: Guest) -> None:
    command = [*CORONEL, "pagewalk", "--compare", "--qmp", str(guest.machine.qmp_socket), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    report = json.loads(done.stdout)
    assert report["summary"] == f"QEMU's own walk (info tlb) agrees on {len(guest.tlb):,} pages"
    assert report["checked"] == len(guest.tlb)


def test_ctrl_c_ends_a_long_command(guest: Guest) -> None:
    """Some thousand questions to QEMU's monitor: interrupted, the target is as before."""
    gdb = guest.gdb
    said = ""
    for attempt in range(
        12
    ):  # how long it takes depends on the machine: too early and too late are no answer
        token = gdb.begin('-interpreter-exec console "pagewalk --compare"')
        time.sleep(0.02 * (attempt + 1))
        gdb.press_ctrl_c()
        try:
            gdb.finish(token, "pagewalk --compare", 60)
        except GdbCommandError as error:
            said = str(error)
        if "interrupted, nothing was checked" in said:
            break
    assert "interrupted, nothing was checked" in said
    assert guest.report("pagewalk $rip")["exit_code"] == 0


def test_filters_show_what_they_say(guest: Guest) -> None:
    user = guest.report("pagewalk --user --fold")["tables"][0]["rows"]
    assert user
    assert all(row["rights"].endswith("user") for row in user)
    assert guest.report("pagewalk --writable --executable --fold")["tables"][0]["rows"] == []
    huge = guest.report("pagewalk --huge")["tables"][0]["rows"]
    assert sum(row["pages"] for row in huge) == sum(
        kind >> LEVEL_SHIFT == 2 for _, kind in guest.tlb.values()
    )
    low = guest.report("pagewalk --range 0-0x800000000000")["tables"][0]["rows"]
    assert {row["end"] <= 1 << 47 for row in low} == {True}


def test_the_tables_of_a_program_under_kpti(guest: Guest) -> None:
    """CR3 bit 12: hardly anything of the kernel is mapped there, and nothing of the program is missing."""
    report = guest.report(f"pagewalk --cr3 {guest.cr3 ^ USER_HALF:#x} --fold")
    user = [row for row in report["tables"][0]["rows"] if row["rights"].endswith("user")]
    kernel = [row for row in report["tables"][0]["rows"] if row["rights"].endswith("kernel")]
    mine = walk_pages(guest.space())
    # The kernel's view of the program lacks execute permission, so rights differ, addresses do not.
    expected = {
        page
        for index, kind in enumerate(mine.kinds)
        if kind & USER
        for page in range(mine.starts[index], mine.starts[index] + mine.size_bytes(index), 4096)
    }
    assert {page for row in user for page in range(row["start"], row["end"], 4096)} == expected
    assert any("x" in row["rights"] for row in user)
    everything = guest.report("pagewalk --fold")
    assert len(kernel) < len(everything["tables"][0]["rows"])


def test_a_page_is_found_from_its_frame(guest: Guest) -> None:
    virtual, (physical, _) = next((v, p) for v, p in guest.tlb.items() if p[1] & USER)
    rows = guest.report(f"pagewalk --find-physical {physical:#x}")["tables"][0]["rows"]
    found = {row["virtual"] for row in rows}
    wanted = {
        address + (physical - base if kind >> LEVEL_SHIFT == 2 else 0)
        for address, (base, kind) in guest.tlb.items()
        if base <= physical < base + (2 << 20 if kind >> LEVEL_SHIFT == 2 else 4096)
    }
    assert virtual in found
    assert len(found) > 1  # the direct map has it too
    assert found == wanted
    root = guest.report(f"pagewalk --find-physical {guest.cr3 & ~0xFFF:#x}")
    assert root["facts"]["used as"] == f"PML{guest.levels} of current CR3"


def test_whatis_tells_what_the_page_tables_tell(guest: Guest) -> None:
    rip = guest.gdb.evaluate("(unsigned long)$rip")
    report = guest.report(f"coronel whatis {rip:#x}")
    base, kind = guest.tlb[rip & -(2 << 20) if rip & -(2 << 20) in guest.tlb else rip & -4096]
    physical = base + rip % ((2 << 20) if kind >> LEVEL_SHIFT == 2 else 4096)
    assert report["facts"]["mapping"].startswith(f"physical {physical:#x}, ")
    assert "RAM " in report["facts"]["frame"]
    assert "its structures are not known" in report["facts"]["kernel"]
    everywhere = {
        address + physical - page
        for address, (page, kind) in guest.tlb.items()
        if page <= physical < page + ((2 << 20) if kind >> LEVEL_SHIFT == 2 else 4096)
    }
    (mappings,) = report["tables"]
    assert {row["virtual"] for row in mappings["rows"]} == everywhere
    # The entry that maps it is an entry of a page table, by its physical address.
    step = guest.report(f"pagewalk {rip:#x}")["tables"][0]["rows"][-1]
    table = guest.report(f"coronel whatis --physical {step['entry at']:#x}")
    assert f"page table: {step['level']} {step['index']}" in table["summary"]
    span = 2 << 20 if step["level"] == "PDE" else 4096
    start = rip & -span
    assert f"translates {start:#x}..{start + span - 1:#x}" in table["tables"][0]["rows"][0]["details"]


def test_lldb_says_the_same(guest: Guest) -> None:
    """The stub serves one debugger: GDB leaves the guest paused, and comes back."""
    lines = (
        "pagewalk",
        "pagewalk --fold",
        "pagewalk $rip",
        "pagewalk $rsp --access w",
        "coronel whatis $rip",
    )
    expected = {line: guest.report(line) for line in lines}
    guest.gdb.console("disconnect")
    try:
        with Lldb(timeout_seconds=60) as lldb:
            lldb.console(f"process connect unix-connect://{guest.machine.gdb_socket}")
            assert {line: json.loads(lldb.console(f"{line} --json")) for line in lines} == expected
    finally:
        guest.gdb.mi(f"-target-select remote {guest.machine.gdb_socket}")
    assert guest.report("pagewalk $rip") == expected["pagewalk $rip"]
