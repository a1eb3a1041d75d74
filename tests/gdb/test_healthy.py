"""A healthy kernel: no false alarm, and every figure is what the kernel and QEMU say by themselves."""

import hashlib
import re
from pathlib import Path

import pytest

from lab.stopped import Stopped, at_checkpoint

COMMANDS = [
    "memcheck",
    "heapcheck",
    "heapcheck --everywhere --leaks --map --stats --blocks",
    "frames",
    "frames --ledger --duplicates --leaks",
    "regions",
    "processes",
    "coronel layout",
    "pagewalk",
    "pagewalk --audit",
    "pagewalk g_kernel_heap",
    "coronel status",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_healthy_kernel_gives_no_finding(healthy: Stopped, command: str) -> None:
    report = healthy.report(command, 0)
    assert report["findings"] == []
    assert report["not_checked"] == []


def test_heapcheck_counts_what_the_kernel_counts(healthy: Stopped) -> None:
    report = healthy.report("heapcheck", 0)
    used = healthy.gdb.evaluate("g_kernel_heap->num_allocations_ - g_kernel_heap->num_frees_")
    assert used > 50
    assert f"({used} used, " in report["facts"]["blocks"]
    allocated = healthy.gdb.evaluate("g_kernel_heap->total_allocated_")
    assert f"{allocated:,} used" in report["facts"]["bytes"]
    assert report["checked"] > 7 * used


def test_frames_equal_the_kernels_own_count(healthy: Stopped) -> None:
    report = healthy.report("frames", 0)
    free = healthy.gdb.evaluate("g_physical_manager->free_count_")
    table = report["tables"][0]
    assert sum(row["free"] for row in table["rows"]) == free
    assert report["facts"]["free"].startswith(f"{free:,} frames in the list")
    first = healthy.gdb.evaluate("*(unsigned long *)&g_physical_manager->free_list_->address")
    assert report["facts"]["next"].startswith(f"{first:#x} ")
    # Node by node, followed by GDB itself.
    node, counted = healthy.gdb.evaluate("g_physical_manager->free_list_"), 0
    memory = _node_array(healthy)
    base = healthy.gdb.evaluate("g_physical_manager->nodes_")
    while node:
        counted += 1
        node = int.from_bytes(memory[node - base + 8 : node - base + 16], "little")
    assert counted == free


def test_regions_are_what_is_not_mapped(healthy: Stopped) -> None:
    """docs/spec.md §6: what the manager calls free has no page, what it gave out has one."""
    report = healthy.report("regions", 0)
    (table,) = report["tables"]
    assert len(table["rows"]) == healthy.gdb.evaluate("g_kernel_virtual_manager->free_mem_list_.count_")
    start = healthy.gdb.evaluate("*(unsigned long *)&g_kernel_virtual_manager->start_")
    end = healthy.gdb.evaluate("*(unsigned long *)&g_kernel_virtual_manager->end_")
    free = [(row["start"], row["end"]) for row in table["rows"]]
    mapped = [page for page in _pages(healthy) if start <= page < end]
    assert not [page for page in mapped if any(low <= page < high for low, high in free)]
    assert 4096 * len(mapped) == (end - start) - sum(high - low for low, high in free)


def _node_array(stopped: Stopped) -> bytes:
    base = stopped.gdb.evaluate("g_physical_manager->nodes_")
    size = 16 * stopped.gdb.evaluate("g_physical_manager->node_count_")
    (block,) = stopped.gdb.mi(f"-data-read-memory-bytes {base:#x} {size}", 60)["memory"]
    return bytes.fromhex(block["contents"])


def _pages(stopped: Stopped) -> dict[int, tuple[int, str]]:
    """Virtual page → (physical page, rights), by pagewalk, every range taken apart into 4 KiB pages."""
    pages = {}
    for row in stopped.report("pagewalk", 0)["tables"][0]["rows"]:
        for offset in range(0, row["end"] - row["start"], 4096):
            pages[row["start"] + offset] = (row["physical"] + offset, row["rights"])
    return pages


def _check_against_info_tlb(stopped: Stopped) -> set[int]:
    """Every page of the space against QEMU's own list; the page sizes that were met."""
    expected, sizes = {}, set()
    for line in stopped.machine.monitor("info tlb").splitlines():
        found = re.match(r"([0-9a-f]{16}): ([0-9a-f]{16}) ([XGPDACTUW-]{9})$", line.strip())
        assert found, line
        virtual, physical, flags = int(found[1], 16), int(found[2], 16), found[3]
        size = 2 << 20 if "P" in flags else 4096
        sizes.add(size)
        # QEMU shows the leaf's own flags; in this kernel every table entry above allows everything.
        rights = f"r{'w' if 'W' in flags else '-'}{'-' if 'X' in flags else 'x'} kernel"
        assert "U" not in flags
        for offset in range(0, size, 4096):
            expected[virtual + offset] = (physical + offset, rights)
    assert _pages(stopped) == expected
    return sizes


def test_pagewalk_agrees_with_info_tlb_on_every_page(healthy: Stopped) -> None:
    assert _check_against_info_tlb(healthy) == {4096}


def test_pagewalk_agrees_with_info_tlb_on_large_pages() -> None:
    # The node array of 2 GiB is 8 MiB: the placement area is mapped by 2 MiB pages.
    with at_checkpoint(1, "scenario=boot", memory="2G") as stopped:
        assert _check_against_info_tlb(stopped) == {4096, 2 << 20}
        assert stopped.report("frames", 0)["findings"] == []
        assert stopped.report("memcheck", 0)["findings"] == []


def test_pagewalk_agrees_with_gva2gpa_on_every_page(healthy: Stopped) -> None:
    pages = _pages(healthy)
    assert len(pages) > 100
    edges = {page + step for page in pages for step in (-4096, 4096)} - set(pages)
    for page in [*pages, *(edge for edge in edges if 0 <= edge < 1 << 64)]:
        answer = healthy.machine.monitor(f"gva2gpa {page:#x}").strip()
        if page in pages:
            assert answer == f"gpa: {pages[page][0]:#x}", hex(page)
        else:
            assert answer == "Unmapped", hex(page)


def test_pagewalk_of_one_address_shows_every_level(healthy: Stopped) -> None:
    report = healthy.report("pagewalk g_kernel_heap->first_block_", 0)
    address = healthy.gdb.evaluate("g_kernel_heap->first_block_")
    answer = healthy.machine.monitor(f"gva2gpa {address:#x}")
    assert report["facts"]["physical"] == answer.split()[1]
    rows = report["tables"][0]["rows"]
    assert [row["level"] for row in rows] == ["PML4E", "PDPTE", "PDE", "PTE"]
    for row in rows:
        word = healthy.machine.monitor(f"xp /1gx {row['entry at']:#x}").split()[-1]
        assert int(word, 16) == row["entry"]


def test_no_command_changes_one_byte_of_the_target(healthy: Stopped, tmp_path: Path) -> None:
    def state() -> tuple[str, str]:
        dump = tmp_path / "ram"
        healthy.machine.monitor(f'pmemsave 0 {128 << 20} "{dump}"')
        return hashlib.sha256(dump.read_bytes()).hexdigest(), healthy.machine.monitor("info registers")

    before = state()
    for command in COMMANDS:
        healthy.gdb.console(command)
        healthy.gdb.console(f"{command} --json")
    assert state() == before


def test_the_address_space_is_that_of_the_specification(healthy: Stopped) -> None:
    """docs/spec.md §2: W^X, the guard below the stack, the low memory and the gap not mapped."""
    pages = _pages(healthy)
    symbol = {
        name: healthy.gdb.evaluate(f"(unsigned long)&{name}")
        for name in ("_text_start", "_text_end", "_rodata_start", "_rodata_end", "_bss_end", "_end")
    }
    assert symbol["_end"] == 0xFFFF_FFFF_8033_6000
    assert not [page for page, (_, rights) in pages.items() if rights.startswith("rwx")]
    for page, (_, rights) in pages.items():
        if symbol["_text_start"] <= page < symbol["_text_end"]:
            assert rights == "r-x kernel"
        elif symbol["_rodata_start"] <= page < symbol["_rodata_end"]:
            assert rights == "r-- kernel"
        else:
            assert rights == "rw- kernel"
    assert 0xFFFF_FFFF_8032_5000 not in pages
    assert 0xFFFF_FFFF_8032_6000 in pages
    assert min(pages) == symbol["_text_start"] == 0xFFFF_FFFF_8010_0000
    assert not [page for page in pages if symbol["_bss_end"] <= page < 0xFFFF_FFFF_8032_6000]
