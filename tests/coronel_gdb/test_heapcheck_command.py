"""`heapcheck`, `regions`, `layout`, `memcheck` on a simulated machine: damage known to the byte."""

import json

import pytest

from model.address_space import KERNEL_BASE, STACK_GUARD
from model.layouts import HEAP, PROCESS, VIRT
from model.page_entry import NO_EXECUTE, PRESENT, WRITABLE
from model.page_tables import PageFlags
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.asked import codes, report
from tests.coronel_gdb.user_side import HEAP as USER_HEAP
from tests.coronel_gdb.user_side import UserSide, user_side


def change_entry(side: UserSide, virtual: int, bits: int) -> None:
    """Flip bits of the leaf that maps a kernel address."""
    step = side.context().space.translate(VirtualAddress(virtual)).steps[-1]
    side.machine.physical.write_u64(step.entry_address, step.entry ^ bits)


@pytest.mark.parametrize(
    "line",
    [
        "heapcheck",
        "heapcheck --everywhere",
        "heapcheck --process 1",
        "regions",
        "heapcheck --map --stats --blocks",
    ],
)
def test_a_sound_machine_gives_no_finding(line: str) -> None:
    answer = report(user_side("alpha", "beta"), line)
    assert (answer["exit_code"], answer["findings"], answer["not_checked"]) == (0, [], [])


def test_layout_and_memcheck_say_what_they_cannot_check_without_a_kernel_file() -> None:
    side = user_side("alpha")
    for line in ("layout", "memcheck"):
        answer = report(side, line)
        assert (answer["exit_code"], answer["findings"]) == (2, [])
        assert [absent["what"] for absent in answer["not_checked"]] == [
            "structures against the kernel's types"
        ]


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"\x18", "HEAP004"),
        (16, b"\x08", "HEAP005"),
        (32, b"\x00" * 8, "HEAP002"),
        (0, b"A" * 24, "HEAP001"),
    ],
)
def test_damage_in_a_user_heap_is_found_in_that_process_alone(offset: int, data: bytes, code: str) -> None:
    side = user_side("alpha", "beta")
    at = side.physical(side.processes[1], USER_HEAP)
    side.machine.physical.write(PhysicalAddress(at + offset), data)
    assert codes(side, "heapcheck --process 2") == [code]
    assert codes(side, "heapcheck --everywhere") == [code]
    assert codes(side, "heapcheck --process 1") == codes(side, "heapcheck --kernel") == []


@pytest.mark.parametrize("field", ["total_allocated_", "num_blocks_"])
def test_a_wrong_counter_of_a_user_heap_is_found(field: str) -> None:
    side = user_side("alpha")
    name = f"memory.heap_.{field}"
    side.processes[0].set(name, side.processes[0].get(name) + 1)
    (finding,) = report(side, "heapcheck --process 1")["findings"]
    assert (finding["code"], finding["expected"]) == ("HEAP008", finding["found"] - 1)
    assert finding["lines"][0].startswith(f"{field} is ")
    # What is to be written lies where the process has that counter.
    at = side.processes[0].address + PROCESS.member(name).offset_bytes
    assert [command["address"] for command in finding["repair"]] == [at]


def test_a_user_heap_with_a_page_missing_is_not_called_sound() -> None:
    side = user_side("alpha")
    at = side.entry(side.processes[0], USER_HEAP + 0x4000)
    side.machine.physical.write_u64(at, side.machine.physical.read_u64(at) & ~PRESENT)
    answer = report(side, "heapcheck --process 1")
    assert answer["exit_code"] != 0
    assert "not mapped" in json.dumps(answer["not_checked"])


@pytest.mark.parametrize("index", [2, 3, 4])
def test_refused_calls_are_found(index: int) -> None:
    side = user_side()
    for part, offset, line, code in (
        (side.machine.heap.fields.address, HEAP.member("errors_").offset_bytes, "heapcheck", "HEAP011"),
        (side.machine.regions.fields.address, VIRT.member("errors_").offset_bytes, "regions", "REGION007"),
    ):
        side.machine.memory.write_u64(VirtualAddress(part + offset + 8 * index), 1)
        assert codes(side, line) == [code]


@pytest.mark.parametrize("bits", [WRITABLE, NO_EXECUTE])
def test_a_heap_page_with_other_rights_is_found(bits: int) -> None:
    side = user_side("alpha")
    page = side.machine.heap.fields.get("heap_start_") + 0x2000
    change_entry(side, page, bits)
    (finding,) = report(side, "heapcheck")["findings"]
    assert (finding["code"], finding["subject"]) == ("HEAP013", page)


def test_one_block_with_its_neighbours() -> None:
    side = user_side("alpha")
    first = side.machine.heap.fields.get("first_block_")
    answer = report(side, f"heapcheck --block {first + 50:#x}")
    assert "data +2 of a used block of 480 bytes" in answer["facts"]["block"]
    assert answer["tables"][0]["rows"][0]["address"] == first
    assert "lies in no block" in report(side, "heapcheck --block 0x1000")["facts"]["block"]


def test_blocks_that_nothing_refers_to_are_found_and_others_not() -> None:
    side = user_side("alpha")
    kept, inside, lost = (side.machine.kalloc(200) for _ in range(3))
    chained = side.machine.kalloc(64)
    for block in (kept, inside, lost, chained):
        side.machine.memory.write(VirtualAddress(block), bytes(64))
    # data and bss hold one pointer, into the middle of another block, and a block that holds the last one.
    variable = side.machine.image.bss_end - 64
    side.machine.memory.write_u64(VirtualAddress(variable), kept)
    side.machine.memory.write_u64(VirtualAddress(variable + 8), inside + 100)
    side.machine.memory.write_u64(VirtualAddress(kept + 8), chained)
    before = {block["block"] for f in report(side, "heapcheck --leaks")["findings"] for block in f["blocks"]}
    assert lost - 48 in before
    assert not {kept - 48, inside - 48, chained - 48} & before


def test_a_mapped_page_in_a_free_region_is_found() -> None:
    side = user_side("alpha")
    page = side.machine.regions.alloc(8192)
    side.machine.paging.map(side.machine.cr3, page, side.machine.frames.alloc(), PageFlags.WRITE)
    assert codes(side, "regions") == []
    side.machine.regions.free(page, 8192)
    (finding,) = report(side, "regions")["findings"]
    assert (finding["code"], finding["subject"]) == ("REGION006", page)


def test_the_mmap_regions_of_a_process_are_judged() -> None:
    side = user_side("alpha")
    side.processes[0].set("memory.mmap_.free_mem_list_.count_", 9)
    assert codes(side, "regions") == ["REGION005"]


@pytest.mark.parametrize(
    ("virtual", "bits", "code"),
    [
        (KERNEL_BASE + (1 << 20), WRITABLE, "LAYOUT002"),
        (KERNEL_BASE + (1 << 20), PRESENT, "LAYOUT004"),
        (KERNEL_BASE + (1 << 20) + 0x10000, NO_EXECUTE, "LAYOUT002"),
        (KERNEL_BASE + (1 << 20) + 0x14000, 0x2000, "LAYOUT005"),
    ],
)
def test_a_page_of_the_image_that_differs_is_found(virtual: int, bits: int, code: str) -> None:
    side = user_side()
    change_entry(side, virtual, bits)
    assert codes(side, "layout") == [code]


@pytest.mark.parametrize("page", [STACK_GUARD, KERNEL_BASE, KERNEL_BASE + 0x12_4000])
def test_a_page_where_none_may_be_is_found(page: int) -> None:
    side = user_side()
    side.machine.paging.map(side.machine.cr3, page, side.machine.frames.alloc(), PageFlags.WRITE)
    (finding,) = report(side, "layout")["findings"]
    assert (finding["code"], finding["subject"]) == ("LAYOUT003", page)


def test_another_space_of_the_virtual_manager_is_found() -> None:
    side = user_side()
    side.machine.regions.fields.set("start_", side.machine.regions.fields.get("start_") - 4096)
    assert "LAYOUT007" in codes(side, "layout")


def test_memcheck_tells_consequences_below_their_cause() -> None:
    side = user_side("alpha")
    page, frame = side.machine.regions.alloc(4096), side.machine.frames.alloc()
    side.machine.paging.map(side.machine.cr3, page, frame, PageFlags.WRITE | PageFlags.USER)
    side.machine.frames.free(frame)
    side.machine.regions.free(page, 4096)
    findings = {finding["code"]: finding for finding in report(side, "memcheck")["findings"]}
    assert set(findings) == {"FRAME008", "SPACE001"}  # free while mapped, and open to ring 3: two bugs
    assert [row["code"] for row in findings["FRAME008"]["derived"]] == ["REGION006"]


def test_memcheck_names_each_damaged_heap() -> None:
    side = user_side("alpha", "beta")
    first = side.machine.heap.fields.get("first_block_")
    side.machine.memory.write(VirtualAddress(first + 32), bytes(8))
    side.machine.physical.write(side.physical(side.processes[0], USER_HEAP), b"\x18")
    answer = report(side, "memcheck")
    assert answer["exit_code"] == 1
    assert [finding["subject"] for finding in answer["findings"]] == [first, USER_HEAP]
    verdicts = {row["check"]: row["verdict"] for row in answer["tables"][0]["rows"]}
    assert (verdicts["kernel heap"], verdicts["heap of 1"], verdicts["heap of 2"]) == (
        "1 finding", "1 finding", "sound",
    )  # fmt: skip
