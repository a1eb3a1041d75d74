"""Every scenario of qemu/scenarios.toml on the real kernel; the judge is what the kernel noted of its bug."""

import re

import pytest

from lab.functions import function_at
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, ROOT
from lab.scenarios import Scenario, scenarios
from lab.stopped import in_scenario
from tests.kernel.seeded_truth import check_truth

KINDS = (
    "out_of_memory",
    "virtual_space_exhausted",
    "corruption_detected",
    "double_free",
    "invalid_pointer",
)
COUNTERS = {
    "g_kernel_heap": "g_kernel_heap->errors_",
    "g_physical_manager": "g_physical_manager->errors_",
    "g_kernel_virtual_manager": "g_kernel_virtual_manager->errors_",
    "paging": "paging::errors_",
    "placement": "memory::placement_errors_",
}
COMMANDS = ("heapcheck", "frames", "regions", "memcheck")
MAX_BYTES = 64  # of the damage, in g_seeded_fault
LONGEST_BUG = 10  # lines of a faulty function
EXITS = [scenario for scenario in scenarios().values() if scenario.ends == "exit"]
STOPS = [scenario for scenario in scenarios().values() if scenario.ends != "exit"]


@pytest.mark.parametrize("scenario", STOPS, ids=lambda scenario: scenario.name)
def test_a_scenario_leaves_what_the_list_says(scenario: Scenario) -> None:
    with in_scenario(scenario) as stopped:
        check_serial(scenario, stopped.machine.serial())
        assert errors(stopped.gdb) == scenario.errors
        kind = stopped.gdb.evaluate(f"g_seeded_fault.kind == coronel::fault_kind::{scenario.fault}")
        assert kind == 1
        if scenario.fault == "none":
            for command in COMMANDS:
                assert stopped.report(command, 0)["findings"] == []
        else:
            check_bug(scenario, stopped.gdb)
        for command, codes in scenario.findings.items():
            found = stopped.report(command, 1)["findings"]
            assert [finding["code"] for finding in found] == codes
            check_truth(scenario.fault, stopped.gdb, found[0])


@pytest.mark.parametrize("scenario", EXITS, ids=lambda scenario: scenario.name)
def test_a_scenario_leaves_qemu_with_its_status(scenario: Scenario) -> None:
    with Machine(BOOT_ELF, scenario.append, memory=scenario.memory, cpus=scenario.cpus) as machine:
        status = machine.wait_exit(scenario.timeout)
        check_serial(scenario, machine.serial())
    assert status == scenario.exit_status


def check_serial(scenario: Scenario, log: str) -> None:
    for expected in scenario.serial:
        assert re.search(rf"^coronel: {expected}$", log, re.M), f"no {expected!r} in:\n{log}"


def errors(gdb: Gdb) -> dict[str, dict[str, int]]:
    """Manager → kind → how many, of what is not 0."""
    found = {
        manager: {
            kind: count
            for index, kind in enumerate(KINDS)
            if (count := gdb.evaluate(f"{expression}[{index}]"))
        }
        for manager, expression in COUNTERS.items()
    }
    return {manager: counts for manager, counts in found.items() if counts}


def check_bug(scenario: Scenario, gdb: Gdb) -> None:
    """The record is complete and true: the statement is one, in that function, and did what it says."""
    truth = {name: gdb.evaluate(f"g_seeded_fault.{name}") for name in ("line", "caller", "address", "length")}
    assert scenario.name in gdb.console("output g_seeded_fault.name")
    file = gdb.console("output g_seeded_fault.file").split('"')[1]
    around = (ROOT / "qemu" / "kernel" / file).read_text().splitlines()[truth["line"] - 2 : truth["line"]]
    assert [line for line in around if "// The bug: " in line], (file, truth["line"])
    function = function_at(gdb, truth["caller"])
    assert function.file == file
    assert 0 <= truth["line"] - function.line < LONGEST_BUG
    if scenario.damages:
        known = min(truth["length"], MAX_BYTES)
        assert known > 0
        (block,) = gdb.mi(f"-data-read-memory-bytes {truth['address']:#x} {known}")["memory"]
        written = seeded_bytes(gdb, "written", known)
        assert bytes.fromhex(block["contents"]) == written != seeded_bytes(gdb, "original", known)


def seeded_bytes(gdb: Gdb, name: str, count: int) -> bytes:
    address = gdb.evaluate(f"&g_seeded_fault.{name}")
    (block,) = gdb.mi(f"-data-read-memory-bytes {address:#x} {count}")["memory"]
    return bytes.fromhex(block["contents"])


def test_the_scribbled_entry_is_in_a_table_the_cpu_uses() -> None:
    """QEMU's own walk finds it: an entry that allows and has everything, for a frame that cannot exist."""
    with in_scenario(scenarios()["pte_scribble"]) as stopped:
        assert re.search(r": 000[0-9a-f]fffffffff000 XG-DACTUW$", stopped.machine.monitor("info tlb"), re.M)


def test_the_frame_is_free_and_mapped() -> None:
    with in_scenario(scenarios()["frame_free_mapped"]) as stopped:
        page = stopped.gdb.evaluate("g_seeded_fault.address")
        frame = int(stopped.machine.monitor(f"gva2gpa {page:#x}").split()[1], 16)
        node = stopped.gdb.evaluate("((physical::frame *)g_seeded_fault.victim)->address")
        assert frame == node == stopped.gdb.evaluate("g_physical_manager->free_list_->address") != 0


def test_the_blocks_are_used_and_nobody_points_to_them() -> None:
    with in_scenario(scenarios()["leak"]) as stopped:
        first, last = (stopped.gdb.evaluate(f"g_seeded_fault.{name}") for name in ("victim", "culprit"))
        used = stopped.gdb.evaluate("g_kernel_heap->num_allocations_ - g_kernel_heap->num_frees_")
        size = stopped.gdb.evaluate(f"((memory::heap_block *){first})->size")
        lost = stopped.gdb.evaluate("g_seeded_fault.length") // size
        assert used == lost == (last - first) // (size + 48) + 1 == 16


def test_the_list_names_every_scenario_of_the_kernel() -> None:
    table = (ROOT / "qemu" / "kernel" / "scenarios" / "scenario.cpp").read_text()
    names = set(re.findall(r'^    \{"(\w+)", run_\w+\},$', table, re.M))
    assert names - {"bench", "executor"} == set(scenarios())  # figures, and orders from outside
