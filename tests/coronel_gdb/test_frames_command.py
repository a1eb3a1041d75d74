"""`frames` on a simulated machine: every way in which a frame can have two owners, or none."""

import pytest

from model.layouts import PHYSICAL
from model.page_entry import WRITABLE
from model.page_tables import PageFlags
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.asked import codes, report
from tests.coronel_gdb.user_side import DATA, UserSide, user_side

IMAGE = 0x10_0000


def mapped(
    side: UserSide, physical: int | None = None, flags: PageFlags = PageFlags.WRITE
) -> tuple[int, int]:
    """A page of the kernel in a region of its own, and its frame."""
    page = side.machine.regions.alloc(4096)
    frame = side.machine.frames.alloc() if physical is None else PhysicalAddress(physical)
    assert side.machine.paging.map(side.machine.cr3, page, frame, flags)
    return page, frame


@pytest.mark.parametrize("names", [(), ("alpha",), ("alpha", "beta")])
@pytest.mark.parametrize("line", ["frames", "frames --ledger", "frames --duplicates", "frames --leaks"])
def test_a_sound_machine_has_one_owner_for_every_frame(names: tuple[str, ...], line: str) -> None:
    answer = report(user_side(*names), line)
    assert (answer["exit_code"], answer["findings"], answer["not_checked"]) == (0, [], [])


def test_the_ledger_counts_every_frame_once() -> None:
    side = user_side("alpha", "beta")
    (ledger,) = [t for t in report(side, "frames --ledger")["tables"] if t["title"] == "ledger"]
    rows = {(row["owner"], row["who"]): row["frames"] for row in ledger["rows"]}
    assert rows["residue", ""] == 0
    total = side.machine.memory.read_u64(VirtualAddress(side.machine.frames.fields.address)) // 4096
    assert sum(rows.values()) == total == 64 << 8
    assert rows["mapped by a process", "process 1 (alpha)"] == 1 + 1 + 16 + 1 + 16
    # PML4, PDPT for the lower half, PDs and PTs for code, heap, mmap and stack.
    assert rows["page table", "page table of process 2 (beta)"] == 1 + 1 + 2 + 4
    assert rows["free", "free list"] == side.machine.frames.fields.get("free_count_")


def test_a_free_frame_that_is_mapped_is_found() -> None:
    side = user_side("alpha")
    page, frame = mapped(side)
    side.machine.frames.free(frame)
    (finding,) = report(side, "frames")["findings"]
    assert (finding["code"], finding["subject"]) == ("FRAME008", frame)
    assert finding["places"][0]["claims"][1]["virtual"] == page


def test_a_free_frame_that_is_a_page_table_is_found() -> None:
    side = user_side("alpha")
    side.machine.frames.free(side.entry(side.processes[0], DATA) & ~0xFFF)
    assert codes(side, "frames") == ["FRAME009"]


def test_a_free_frame_inside_the_kernel_is_found() -> None:
    side = user_side()
    manager = side.machine.frames.fields
    node = manager.get("nodes_") + 16 * (IMAGE // 4096)
    side.machine.memory.write_u64(VirtualAddress(node), IMAGE)
    side.machine.memory.write_u64(VirtualAddress(node + 8), manager.get("free_list_"))
    manager.set("free_list_", node)
    manager.add("free_count_", 1)
    assert codes(side, "frames") == ["FRAME003", "FRAME010"]


def test_a_page_table_that_is_mapped_is_found() -> None:
    side = user_side("alpha")
    table = side.entry(side.processes[0], DATA) & ~0xFFF
    mapped(side, table)
    assert codes(side, "frames") == ["FRAME011"]


def test_a_page_table_inside_the_image_is_found() -> None:
    side = user_side("alpha")
    at = side.context().space_of(side.processes[0].get("memory.page_directory_"))  # type: ignore[arg-type]
    step = at.translate(VirtualAddress(DATA)).steps[-2]
    side.machine.physical.write(
        PhysicalAddress(IMAGE), side.machine.physical.read(PhysicalAddress(step.entry & ~0xFFF), 4096)
    )
    side.machine.physical.write_u64(step.entry_address, IMAGE | step.entry & 0xFFF)
    assert set(codes(side, "frames")) == {"FRAME012", "FRAME015"}  # and the table that was there is lost


def test_a_frame_that_the_kernel_maps_twice_is_found() -> None:
    side = user_side()
    _, frame = mapped(side)
    mapped(side, frame)
    assert codes(side, "frames") == ["FRAME013"]


def test_an_alias_of_the_image_is_found() -> None:
    side = user_side()
    mapped(side, IMAGE)
    assert codes(side, "frames") == ["FRAME013"]


def test_a_device_that_is_memory_in_use_is_found() -> None:
    side = user_side()
    _, frame = mapped(side)
    side.machine.paging.mapio(frame, 16)
    assert codes(side, "frames") == ["FRAME014"]


def test_a_device_outside_ram_is_none() -> None:
    side = user_side()
    side.machine.paging.mapio(0xFEC0_0000, 4096)
    assert codes(side, "frames") == []


def test_a_page_above_the_end_of_ram_is_found() -> None:
    side = user_side()
    mapped(side, 0xFF_FFFF_F000)
    assert codes(side, "frames") == ["FRAME017"]


def test_frames_that_nobody_has_are_found_and_listed() -> None:
    side = user_side("alpha")
    lost = [side.machine.frames.alloc() for _ in range(3)]
    (finding,) = report(side, "frames")["findings"]
    assert (finding["code"], finding["subject"], finding["frames"]) == ("FRAME015", min(lost), 3)
    listed = report(side, "frames --leaks")["tables"][1]["rows"]
    assert [(row["start"], row["end"]) for row in listed] == [(min(lost), max(lost) + 4096)]
    ledger = report(side, "frames --ledger")["tables"][1]["rows"]
    assert [row["frames"] for row in ledger if row["owner"] == "lost"] == [3]


@pytest.mark.parametrize(
    ("index", "kind"), [(2, "corruption detected"), (3, "double free"), (4, "invalid pointer")]
)
def test_calls_that_were_refused_are_found(index: int, kind: str) -> None:
    side = user_side()
    side.machine.frames.fields.set("errors_", 2, index)
    (finding,) = report(side, "frames")["findings"]
    assert (finding["code"], finding["refused"]) == ("FRAME016", {kind: 2})


@pytest.mark.parametrize("index", [0, 1])
def test_running_out_of_something_is_no_finding(index: int) -> None:
    side = user_side()
    side.machine.frames.fields.set("errors_", 7, index)
    assert codes(side, "frames") == []


def test_a_lock_that_is_held_leaves_the_owners_unjudged() -> None:
    side = user_side("alpha")
    side.machine.frames.alloc()
    side.processes[0].set("memory.heap_.lock_", 1)
    answer = report(side, "frames")
    assert (answer["exit_code"], answer["findings"]) == (2, [])
    assert "heap of process 1" in answer["not_checked"][0]["why"]


def test_a_damaged_list_of_processes_makes_no_frame_lost() -> None:
    side = user_side("alpha", "beta")
    side.processes[0].set("next", 0x1234)
    assert codes(side, "frames") == []


def test_who_has_one_frame() -> None:
    side = user_side("alpha")
    frame = side.physical(side.processes[0], DATA)
    answer = report(side, f"frames --owner {frame + 5:#x}")
    assert answer["tables"][0]["rows"] == [
        {
            "owner": "mapped by a process",
            "who": "process 1 (alpha)",
            "virtual": DATA,
            "cr3": side.processes[0].get("memory.page_directory_"),
        }
    ]
    assert "free list" in report(side, f"frames --owner {0x3FF_F000:#x}")["summary"]
    assert "claimed by nobody" in report(side, "frames --owner 0xffffffff000")["summary"]
    assert (
        report(side, f"frames --owner {side.machine.frames.alloc():#x}")["findings"][0]["code"] == "FRAME015"
    )


def test_the_careful_way_and_the_bulk_way_give_one_ledger() -> None:
    side = user_side("alpha")
    sound = report(side, "frames --ledger")
    manager = side.machine.frames.fields
    at = manager.address + PHYSICAL.member("free_count_").offset_bytes
    side.machine.memory.write_u64(VirtualAddress(at), manager.get("free_count_") + 1)
    careful = report(side, "frames --ledger")
    assert [finding["code"] for finding in careful["findings"]] == ["FRAME005"]
    assert careful["tables"][1] == sound["tables"][1]


def test_writable_code_is_not_the_business_of_frames() -> None:
    side = user_side("alpha")
    at = side.entry(side.processes[0], 0x40_0000)
    side.machine.physical.write_u64(at, side.machine.physical.read_u64(at) | WRITABLE)
    assert codes(side, "frames") == []


@pytest.mark.parametrize("at", ["head", "in the list"])
def test_a_link_into_the_middle_of_a_node_names_who_links_there(at: str) -> None:
    side = user_side()
    fields, memory = side.machine.frames.fields, side.machine.memory
    first = fields.get("free_list_")
    who, where = (fields.address, fields.address + 8) if at == "head" else (first, first + 8)
    memory.write_u64(VirtualAddress(where), memory.read_u64(VirtualAddress(where)) + 8)
    found = [each for each in report(side, "frames")["findings"] if each["code"] == "FRAME001"]
    assert who in {place["subject"] for finding in found for place in finding["places"]}
