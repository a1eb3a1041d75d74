"""`processes` on a simulated machine: every border that can be crossed, crossed by hand."""

import pytest

from model.page_entry import USER, WRITABLE
from model.page_tables import PageFlags
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.asked import codes, report
from tests.coronel_gdb.user_side import DATA, HEAP, MMAP, STACK, UserSide, user_side

V0 = 0xFFFF_FFFF_8040_0000
KERNEL_SLOT = 8 * 511


def remap(side: UserSide, process: int, virtual: int, physical: int) -> None:
    """The page of that process leads to another frame, with the flags as they were."""
    at = side.entry(side.processes[process], virtual)
    flags = side.machine.physical.read_u64(at) & ~0x000F_FFFF_FFFF_F000
    side.machine.physical.write_u64(at, flags | physical)


@pytest.mark.parametrize("names", [(), ("alpha",), ("alpha", "beta", "gamma")])
def test_sound_processes_give_no_finding(names: tuple[str, ...]) -> None:
    answer = report(user_side(*names), "processes")
    assert (answer["exit_code"], answer["findings"], answer["not_checked"]) == (0, [], [])
    assert [row["name"] for row in answer["tables"][0]["rows"]] == list(names)
    assert answer["checked"] >= 4


def test_the_table_says_what_each_process_has() -> None:
    (row,) = report(user_side("alpha"), "processes")["tables"][0]["rows"]
    assert (row["state"], row["code"], row["data"], row["heap"], row["stack"]) == (
        "paused", "4 KiB", "4 KiB", "64 KiB", "64 KiB",
    )  # fmt: skip
    assert row["pages"] == 1 + 1 + 16 + 1 + 16


@pytest.mark.parametrize("page", [DATA, HEAP + 0x3000, MMAP, STACK])
def test_a_frame_in_two_processes_is_found_with_both_paths(page: int) -> None:
    side = user_side("alpha", "beta")
    frame = side.physical(side.processes[0], page)
    remap(side, 1, page, frame)
    (finding,) = report(side, "processes")["findings"]
    assert (finding["code"], finding["subject"]) == ("SPACE004", frame)
    (place,) = finding["places"]
    assert [claim["process"] for claim in place["claims"]] == [p.address for p in side.processes]
    assert [claim["virtual"] for claim in place["claims"]] == [page, page]
    entry = side.machine.physical.read_u64(side.entry(side.processes[1], page))
    assert place["claims"][1]["entry"] == entry
    assert f"{entry:#x}" in "\n".join(finding["lines"])


def test_a_kernel_frame_in_a_process_is_found() -> None:
    side = user_side("alpha")
    remap(side, 0, DATA, 0x10_0000)
    (finding,) = report(side, "processes")["findings"]
    assert (finding["code"], finding["subject"]) == ("SPACE006", 0x10_0000)


def test_a_page_table_that_ring_3_can_write_is_found() -> None:
    side = user_side("alpha")
    table = side.entry(side.processes[0], DATA) & ~0xFFF
    remap(side, 0, MMAP, table)
    findings = report(side, "processes")["findings"]
    assert [finding["code"] for finding in findings] == ["SPACE005"]
    assert findings[0]["subject"] == table


def test_a_table_in_two_processes_is_found() -> None:
    side = user_side("alpha", "beta")
    memory = side.machine.physical
    first, second = (PhysicalAddress(p.get("memory.page_directory_")) for p in side.processes)
    memory.write_u64(second, memory.read_u64(first))  # PML4 slot 0: all of the lower half
    assert set(codes(side, "processes")) == {"SPACE004", "SPACE007"}


def test_a_user_bit_in_the_kernel_half_is_found_though_the_levels_above_refuse() -> None:
    side = user_side("alpha")
    page = side.machine.regions.alloc(4096)
    frame = side.machine.frames.alloc()
    side.machine.paging.map(side.machine.cr3, page, frame, PageFlags.WRITE | PageFlags.USER)
    (finding,) = report(side, "processes")["findings"]
    assert (finding["code"], finding["subject"]) == ("SPACE001", page)
    (place,) = finding["places"]
    assert (place["level"], place["reachable"]) == ("PTE", False)
    assert place["entry"] == side.machine.physical.read_u64(PhysicalAddress(place["entry_address"]))


def test_a_user_bit_at_every_level_is_open_to_ring_3() -> None:
    side = user_side("alpha")
    page = side.machine.regions.alloc(4096)
    side.machine.paging.map(side.machine.cr3, page, side.machine.frames.alloc(), PageFlags.WRITE)
    found = side.context().space.translate(VirtualAddress(page))
    for step in found.steps:
        side.machine.physical.write_u64(step.entry_address, step.entry | USER)
    findings = {finding["code"]: finding for finding in report(side, "processes")["findings"]}
    assert set(findings) == {"SPACE001", "SPACE002"}  # the process's own PML4E is as it was
    assert all(place["reachable"] for place in findings["SPACE001"]["places"][-1:])


@pytest.mark.parametrize("slot", [256, 300, 511])
def test_another_kernel_half_in_a_process_is_found(slot: int) -> None:
    side = user_side("alpha", "beta")
    root = PhysicalAddress(side.processes[1].get("memory.page_directory_"))
    at = PhysicalAddress(root + 8 * slot)
    kernel = side.machine.physical.read_u64(PhysicalAddress(root + KERNEL_SLOT))
    side.machine.physical.write_u64(at, kernel ^ WRITABLE)
    answer = report(side, "processes")
    assert "SPACE002" in [finding["code"] for finding in answer["findings"]]
    upper = next(finding for finding in answer["findings"] if finding["code"] == "SPACE002")
    assert (upper["process"], upper["slots"]) == (side.processes[1].address, [slot])


def test_what_the_kernel_maps_in_the_lower_half_is_found() -> None:
    side = user_side()
    side.machine.paging.map(side.machine.cr3, 0x50_0000, side.machine.frames.alloc(), PageFlags.WRITE)
    assert codes(side, "processes") == ["SPACE003"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("pid", 0, "PROC001"),
        ("state", 77, "PROC002"),
        ("memory.heap_.page_directory_", 0x1000, "PROC002"),
        ("memory.stack_start_", 0x7000_0000, "PROC002"),
        ("memory.code_end_", 0x40_0000 + 0x800_0000, "PROC002"),
        ("memory.data_end_", 0x40_1000, "PROC003"),
        ("memory.heap_.heap_current_", 0x800_0000 + 0x2_0000, "PROC003"),
        ("next", 0xFFFF_FFFF_FFFF_FFF8, "PROC001"),
    ],
)  # fmt: skip
def test_a_process_that_contradicts_itself_is_found(field: str, value: int, code: str) -> None:
    side = user_side("alpha")
    side.processes[0].set(field, value)
    assert code in codes(side, "processes")


def test_a_page_outside_what_the_process_has_is_found() -> None:
    side = user_side("alpha")
    directory = side.processes[0].get("memory.page_directory_")
    flags = PageFlags.USER | PageFlags.WRITE
    side.machine.paging.map(directory, 0x7F7F_F000, side.machine.frames.alloc(), flags)  # the stack guard
    (finding,) = report(side, "processes")["findings"]
    assert (finding["code"], finding["subject"]) == ("PROC003", 0x7F7F_F000)


def test_a_page_with_other_rights_is_found() -> None:
    side = user_side("alpha")
    at = side.entry(side.processes[0], 0x40_0000)
    side.machine.physical.write_u64(at, side.machine.physical.read_u64(at) | WRITABLE)
    (finding,) = report(side, "processes")["findings"]
    assert (finding["code"], finding["subject"]) == ("PROC003", 0x40_0000)


def test_a_table_that_refers_to_itself_ends() -> None:
    side = user_side("alpha")
    root = PhysicalAddress(side.processes[0].get("memory.page_directory_"))
    side.machine.physical.write_u64(PhysicalAddress(root + 8 * 5), root | 7)
    found = codes(side, "processes")
    assert "SPACE005" in found  # its own tables are mapped for ring 3 by that
    assert len(found) < 10


def test_a_damaged_table_is_not_called_isolated() -> None:
    side = user_side("alpha")
    root = PhysicalAddress(side.processes[0].get("memory.page_directory_"))
    side.machine.physical.write_u64(PhysicalAddress(root + 8 * 7), 0xFFF_FFFF_F000 | 7)
    answer = report(side, "processes")
    assert answer["exit_code"] != 0
    assert any("0xffffffff000" in absent["why"] for absent in answer["not_checked"])


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_process_that_the_list_leaves_out_is_found_and_what_should_lead_to_it(left_out: int) -> None:
    side = user_side("alpha", "beta", "gamma")
    lost = side.processes[left_out]
    if left_out:
        before = side.processes[left_out - 1]
        before.set("next", lost.get("next"))
        subject = before.address
    else:
        side.machine.memory.write_u64(side.head, lost.get("next"))
        subject = side.head
    (finding,) = [each for each in report(side, "processes")["findings"] if each["code"] == "PROC004"]
    (place,) = finding["places"]
    assert (finding["subject"], place["expected"]) == (subject, lost.address)


def test_a_process_that_has_ended_is_left_out_rightly() -> None:
    side = user_side("alpha", "beta")
    gone = side.processes[1]
    side.processes[0].set("next", 0)
    side.machine.kfree(gone.address)
    assert "PROC004" not in codes(side, "processes")


@pytest.mark.parametrize(
    ("pids", "wrong"),
    [
        ((1, 67, 3, 4), {1}),
        ((1, (1 << 64) - 1, 3), {1, 2}),
        ((1, 2, 1, 4), {2}),
        ((5, 6, 1, 7), {2}),
        ((4, 2, 3), {0}),
        ((3, 2), {0, 1}),
        ((1, 3, 2), {1, 2}),
        ((0, 1), {0}),
        ((2, 2, 3), {0, 1}),
        ((1, 2, 9), set()),
    ],
)
def test_the_pid_without_which_the_others_ascend_is_the_wrong_one(
    pids: tuple[int, ...], wrong: set[int]
) -> None:
    side = user_side(*(f"p{pid}" for pid in range(len(pids))))
    for process, pid in zip(side.processes, pids, strict=True):
        process.set("pid", pid)
    found = [each for each in report(side, "processes")["findings"] if each["code"] == "PROC001"]
    named = {place["subject"] for finding in found for place in finding["places"]}
    assert named == {side.processes[index].address for index in wrong}


@pytest.mark.parametrize("field", ["memory.stack_start_", "memory.heap_.heap_current_", "memory.data_end_"])
def test_pages_that_are_missing_at_a_border_name_the_process_too(field: str) -> None:
    side = user_side("alpha")
    process = side.processes[0]
    process.set(field, process.get(field) + (-0x4000 if field.endswith("start_") else 0x4000))
    found = [each for each in report(side, "processes")["findings"] if each["code"] == "PROC003"]
    assert process.address in {place["subject"] for finding in found for place in finding["places"]}


def test_pages_that_are_missing_behind_a_free_region_name_its_node_too() -> None:
    side = user_side("alpha")
    process = side.processes[0]
    node = process.get("memory.mmap_.free_mem_list_.first_")
    memory = side.machine.memory
    memory.write_u64(VirtualAddress(node + 8), memory.read_u64(VirtualAddress(node + 8)) - 0x3000)
    found = [each for each in report(side, "processes")["findings"] if each["code"] == "PROC003"]
    assert node in {place["subject"] for finding in found for place in finding["places"]}
