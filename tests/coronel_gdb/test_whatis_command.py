"""`whatis` on a simulated machine: damaged structures, and what has several roles at once."""

import json
from typing import Any

import pytest

from coronel_gdb.plugins import commands
from coronel_gdb.render import as_json, as_table
from model.layouts import HEAP_BLOCK
from model.page_tables import PageFlags
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.user_side import CODE, DATA, HEAP, MMAP, STACK, UserSide, user_side

(WHATIS,) = (command for command in commands() if command.name == "whatis")


def report(side: UserSide, line: str) -> dict[str, Any]:
    result = WHATIS.run(side.context(), WHATIS.parse(line.split()))
    assert as_table.render(result).startswith("whatis: ")
    parsed: dict[str, Any] = json.loads(as_json.render(result))
    return parsed


def names(answer: dict[str, Any]) -> list[str]:
    return [row["what"] for table in answer["tables"] if table["title"] == "roles" for row in table["rows"]]


@pytest.mark.parametrize(
    ("address", "what"),
    [
        (CODE + 1, "code of process 1 (alpha) +0x1"),
        (DATA, "data of process 1 (alpha)"),
        (HEAP, "header (size) of a used block of 112 bytes of the heap of process 1 (alpha)"),
        (HEAP + 50, "data of a used block of 112 bytes of the heap of process 1 (alpha) +0x2"),
        (MMAP + 5, "mmap of process 1 (alpha) +0x5"),
        (MMAP + 4096, "free mmap region of process 1 (alpha)"),
        (STACK + 16, "stack of process 1 (alpha) +0x10"),
        (STACK - 16, "stack that it has not grown to of process 1 (alpha) +0x7efff0"),
        (0x10, "null guard of process 1 (alpha) +0x10"),
        (0x7F7F_F000, "stack guard of process 1 (alpha)"),
        (0x7FFF_FF80, "arguments of process 1 (alpha)"),
        (0x8_0000_0000, "nothing"),
    ],
)
def test_regions_of_processes(address: int, what: str) -> None:
    side = user_side("alpha", "beta")
    answer = report(side, hex(address))
    assert answer["exit_code"] == 0
    if what == "nothing":
        assert names(answer) == []
        assert "not present" in answer["summary"]
    else:
        assert what in names(answer)
        assert what.replace("process 1 (alpha)", "process 2 (beta)") in names(answer)


def test_a_free_frame_that_is_mapped_has_both_owners() -> None:
    side = user_side()
    page, frame = side.machine.regions.alloc(4096), side.machine.frames.alloc()
    assert side.machine.paging.map(side.machine.cr3, page, frame, PageFlags.WRITE)
    side.machine.frames.free(frame)
    fact = report(side, hex(page))["facts"]["frame"]
    assert "free, free list" in fact
    assert "mapped by the kernel" in fact


def test_a_frame_that_nobody_has_is_lost() -> None:
    side = user_side()
    frame = side.machine.frames.alloc()
    answer = report(side, f"--physical {frame:#x}")
    assert "lost" in answer["facts"]["frame"]
    assert "0 mappings" in answer["summary"]
    node = int(answer["facts"]["frame node"], 16)
    assert any(name.startswith(f"node of frame {frame:#x}") for name in names(report(side, hex(node))))


def test_cycles_and_wild_pointers_end() -> None:
    side = user_side("alpha")
    regions, memory = side.machine.regions.fields, side.machine.memory
    spare = regions.get("spare_")
    memory.write_u64(VirtualAddress(spare + 16), spare)
    assert any("unused region node" in name for name in names(report(side, hex(spare))))
    regions.set("spare_", 0x1234)
    answer = report(side, hex(spare))
    assert (answer["exit_code"], answer["not_checked"][0]["what"]) == (2, "region nodes")
    block = side.machine.heap.fields.get("first_block_")
    memory.write_u64(VirtualAddress(block + HEAP_BLOCK.member("next").offset_bytes), block)
    assert any("block" in name for name in names(report(side, hex(block))))


def test_a_table_of_two_spaces_is_one_row() -> None:
    side = user_side("alpha")
    space = side.context().space
    address = side.machine.heap.fields.get("first_block_")
    at = space.translate(VirtualAddress(address)).steps[-1].entry_address
    answer = report(side, f"--physical {PhysicalAddress(at):#x}")
    (table,) = answer["tables"]
    assert [row["space"] for row in table["rows"]] == ["current CR3, kernel directory, process 1 alpha"]
