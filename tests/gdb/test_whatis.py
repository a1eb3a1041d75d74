"""`whatis` on real kernels: symbols by GDB, blocks by the kernel's own structures, mappings by QEMU."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from coronel_gdb.layout.symbol_names import source_name
from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.scenarios import scenarios
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

HEADER = 48
BLOCK = "(memory::heap_block *)"


def roles(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        row["what"]: row for table in report["tables"] if table["title"] == "roles" for row in table["rows"]
    }


def mappings(report: dict[str, Any]) -> set[tuple[int, str]]:
    return {
        (row["virtual"], row["rights"])
        for table in report["tables"]
        if table["title"] == "mappings"
        for row in table["rows"]
    }


def whatis(stopped: Stopped, line: str) -> dict[str, Any]:
    return stopped.report(f"coronel whatis {line}", 0)


def test_gdbs_own_word_means_what_it_meant(healthy: Stopped) -> None:
    assert "type = memory::heap *" in healthy.gdb.console("whatis g_kernel_heap")


def test_functions_and_variables_are_those_of_info_symbol(healthy: Stopped) -> None:
    gdb = healthy.gdb
    start, end = (gdb.evaluate(f"(unsigned long)&{name}") for name in ("_text_start", "_text_end"))
    asked = [*range(start + 0x37, end, (end - start) // 12)]
    asked += [gdb.evaluate(f"(unsigned long)&{name}") + 1 for name in ("g_kernel_heap", "g_seeded_fault")]
    named = 0
    for address in asked:
        said = gdb.console(f"info symbol {address:#x}").strip()
        found = [what for what in roles(whatis(healthy, hex(address))) if what.split()[0] in _SYMBOLS]
        if said.startswith("No symbol"):
            assert found == []
            continue
        judged = re.match(r"(.*?)(?: \+ (\d+))? in section", said)
        assert judged, said
        (symbol,) = found
        name = symbol.split(maxsplit=1)[1].partition(" +")[0]
        judge = re.sub(r"\(anonymous namespace\)", "\0", judged[1]).partition("(")[0]
        if "<…>" not in name:
            assert name.partition(" [clone")[0] == judge.replace("\0", "(anonymous namespace)")
            named += 1
        assert symbol.endswith(f" +{int(judged[2]):#x}" if judged[2] else name)
    assert named >= 10


_SYMBOLS = ("function", "variable", "label")


def test_blocks_are_what_the_kernel_has(healthy: Stopped) -> None:
    """Followed by GDB itself: the header, the first and the last byte of the data."""
    gdb = healthy.gdb
    block, seen = gdb.evaluate("g_kernel_heap->first_block_"), set()
    for _ in range(12):
        field = f"({BLOCK}{block})"
        size, free = gdb.evaluate(f"{field}->size"), gdb.evaluate(f"(unsigned){field}->is_free")
        state = "free" if free else "used"
        seen.add(state)
        following = gdb.evaluate(f"{field}->next")
        for address, what, offset in (
            (block + 16, "header (next)", 16),
            (block + HEADER, "data", 0),
            (block + HEADER + size - 1, "data", size - 1),
        ):
            report = whatis(healthy, hex(address))
            name = f"{what} of a {state} block of {size:,} bytes" + (f" +{offset:#x}" if offset else "")
            assert report["summary"] == f"{address:#x}: {name}"
            role = roles(report)[name]
            assert role["offset"] == offset
            assert f"behind it {following:#x} " in role["details"]
        block = following
    assert seen == {"used", "free"}


def test_the_past_of_a_block_comes_from_the_trace(corrupted: Stopped) -> None:
    gdb = corrupted.gdb
    culprit = gdb.evaluate("g_seeded_fault.culprit")
    victim = gdb.evaluate("g_seeded_fault.victim")
    report = whatis(corrupted, hex(culprit + HEADER))
    (role,) = (role for what, role in roles(report).items() if "block" in what)
    assert re.search(
        r"allocated by #\d+ malloc\(64\) = .*run_overflow scenarios/overflow.cpp:\d+", role["details"]
    )
    assert f"behind it {victim:#x} (" in role["details"]
    assert "whose size field says 0x" in role["details"]
    inside = whatis(corrupted, hex(victim + 4))
    assert "header (size)" in inside["summary"]
    # Between a smashed header and the next block all bytes are the smashed one's.
    assert "data of a" in whatis(corrupted, hex(victim + HEADER + 8))["summary"]


def test_mappings_rights_and_frames_are_those_of_info_tlb(healthy: Stopped) -> None:
    pages = {}
    for line in healthy.machine.monitor("info tlb").splitlines():
        page, frame, flags = line.replace(":", "").split()
        right = f"r{'w' if 'W' in flags else '-'}{'-' if 'X' in flags else 'x'} kernel"
        pages[int(page, 16)] = (int(frame, 16), right)
    for virtual in [*pages][:: max(1, len(pages) // 8)]:
        physical, right = pages[virtual]
        expected = {(v + 8, r) for v, (p, r) in pages.items() if p == physical}
        there = whatis(healthy, hex(virtual + 8))
        assert there["facts"]["mapping"] == f"physical {physical + 8:#x}, 4 KiB page, {right}"
        assert mappings(there) == mappings(whatis(healthy, f"--physical {physical + 8:#x}")) == expected
        assert there["facts"]["frame"].startswith(f"{physical:#x}: ")


def test_entries_of_page_tables_translate_what_qemu_says(healthy: Stopped) -> None:
    address = healthy.gdb.evaluate("g_kernel_heap->first_block_")
    steps = healthy.report(f"pagewalk {address:#x}", 0)["tables"][0]["rows"]
    for step, span in zip(steps, (1 << 39, 1 << 30, 1 << 21, 1 << 12), strict=True):
        report = whatis(healthy, f"--physical {step['entry at']:#x}")
        role = roles(report)[f"page table: {step['level']} {step['index']}"]
        start = address & -span
        assert f"translates {start:#x}..{start + span - 1:#x}" in role["details"]
        word = healthy.machine.monitor(f"xp /1gx {step['entry at']:#x}").split()[-1]
        assert f"entry {int(word, 16):#x}: " in role["details"]
        assert "page table" in report["facts"]["frame"]


@pytest.mark.parametrize(
    ("expression", "what", "details"),
    [
        ("&g_kernel_heap->total_free_", "object of the kernel heap (total_free_) +0x28", "*g_kernel_heap"),
        ("&g_physical_manager->errors_[1]", "object of the physical manager (errors_[1]) +0x238", ""),
        ("&g_kernel_virtual_manager->spare_count_", "object of the kernel virtual manager (spare_c", ""),
        ("&g_physical_manager->free_list_->previous", "node of frame ", "in the list"),
        ("&g_physical_manager->nodes_[0x100]", "node of frame 0x100000 (address)", "in use, or not managed"),
        ("&g_kernel_virtual_manager->free_mem_list_.first_->size", "node of a free region of", "region "),
        ("g_kernel_virtual_manager->spare_", "unused region node in the pool (start)", ""),
        ("(unsigned long)g_trace.ring_ + 64*7 + 40", "trace record in slot 7 (result) +0x28", "#7 "),
        ("$rsp", "kernel stack +", "bytes below its top"),
        ("0xffffffff80325ff8", "stack guard +0xff8", "overflow of the kernel stack"),
        ("0xffffffffbfe0a010", "window 10 +0x10", "of CPU 1: source"),
        ("0xffffffffc0000000", "devices", "mapped by mapio"),
        ("&paging::window_table_", "variable paging::window_table_", ""),
        ("0xffffffff80000010", "low memory +0x10", "never mapped"),
        ("0xffffffffbfd00000", "free virtual region +", "node 0x"),
    ],
)  # fmt: skip
def test_every_structure_is_named(healthy: Stopped, expression: str, what: str, details: str) -> None:
    found = [role for name, role in roles(whatis(healthy, expression)).items() if name.startswith(what)]
    assert len(found) == 1, whatis(healthy, expression)
    assert details in found[0]["details"]


@pytest.fixture(scope="module")
def processes() -> Iterator[Stopped]:
    scenario = scenarios()["processes"]
    with at_checkpoint(1, scenario.append, extra=scenario.extra) as stopped:
        yield stopped


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("memory.code_start_", "code of process "),
        ("memory.data_start_", "data of process "),
        ("memory.stack_start_", "stack of process "),
        ("memory.heap_.first_block_", "header (size) of a "),
        ("memory.mmap_.start_", "mmap of process "),
    ],
)
def test_regions_of_a_process(processes: Stopped, field: str, what: str) -> None:
    gdb = processes.gdb
    pid = gdb.evaluate("g_process_list->pid")
    address = gdb.evaluate(f"(unsigned long)g_process_list->{field}")
    assert address, field
    report = whatis(processes, hex(address))
    here = {name: role for name, role in roles(report).items() if f"process {pid} (" in name}
    assert any(name.startswith(what) for name in here), roles(report)
    # The same through the frame, which is this process's alone.
    fact = next(text for name, text in report["facts"].items() if name.startswith(f"in process {pid} "))
    physical = int(fact.split()[1].rstrip(","), 16)
    assert here.items() <= roles(whatis(processes, f"--physical {physical:#x}")).items()
    assert {virtual for virtual, rights in mappings(whatis(processes, f"--physical {physical:#x}"))} == {
        address
    }


def test_objects_of_processes_are_blocks_too(processes: Stopped) -> None:
    gdb = processes.gdb
    object_ = gdb.evaluate("(unsigned long)g_process_list")
    found = roles(whatis(processes, hex(object_ + 24)))
    assert any(
        re.match(r"object of process \d+ \(.*\) \(memory.page_directory_\) \+0x18", name) for name in found
    )
    assert any(name.startswith("data of a used block of 480 bytes") for name in found)
    node = gdb.evaluate("(unsigned long)g_process_list->memory.mmap_.free_mem_list_.first_")
    assert any(
        name.startswith("node of a free region of the mmap of")
        for name in roles(whatis(processes, hex(node)))
    )
    # The top table of the process: its slot 511 is the kernel's.
    table = gdb.evaluate("g_process_list->memory.page_directory_")
    (role,) = (
        r for w, r in roles(whatis(processes, f"--physical {table + 8 * 511:#x}")).items() if "PML4E" in w
    )
    assert "translates 0xffffff8000000000..0xffffffffffffffff" in role["details"]


def test_a_held_lock_is_said(processes: Stopped) -> None:
    gdb = processes.gdb
    gdb.run("set var g_kernel_heap->lock_.locked_ = 1")
    report = processes.report("coronel whatis g_kernel_heap->first_block_", 2)
    gdb.run("set var g_kernel_heap->lock_.locked_ = 0")
    assert {absent["what"] for absent in report["not_checked"]} == {"kernel heap", "owner of the frame"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "an ADDRESS is needed"),
        ("no_such_symbol", "cannot evaluate no_such_symbol"),
        ("--physical 0xffffffff80000000", "is no physical address"),
        ("0x10000000000000000", "is no 64-bit address"),
    ],
)
def test_bad_input_is_one_line(healthy: Stopped, line: str, message: str) -> None:
    with pytest.raises(GdbCommandError, match=re.escape(message)) as caught:
        healthy.gdb.run(f"coronel whatis {line}")
    assert "Traceback" not in caught.value.message + caught.value.log


def test_before_the_structures_exist() -> None:
    with at_checkpoint(0, "scenario=boot") as stopped:
        stopped.gdb.run_to("memory::initialize_memory", BOOT_SECONDS)
        report = stopped.report("coronel whatis $rip", 2)
        assert "function memory::initialize_memory" in report["summary"]


def test_names_that_are_not_understood_stay() -> None:
    assert source_name("_ZN6memory4heap6mallocEm") == "memory::heap::malloc"
    assert source_name("_ZNK4virt4findIZNKS_E") == "virt::find<…>"
    assert source_name("_ZN4testC2Ev") == "test::test"
    assert source_name("_ZL7g_table") == "g_table"
    for odd in ("_ZN99shortE", "_ZTV4virt", "_ZN4virt", "main", "_Z"):
        assert source_name(odd) == odd


def complete(gdb: Gdb, text: str) -> list[str]:
    return gdb.console(f"complete {text}").split("\n")


def test_completion(healthy: Stopped) -> None:
    assert "coronel whatis --physical" in complete(healthy.gdb, "coronel whatis --p")
    assert any("g_kernel_heap" in line for line in complete(healthy.gdb, "coronel whatis g_kernel_h"))
