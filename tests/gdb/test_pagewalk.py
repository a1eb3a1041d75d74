"""`pagewalk` beyond the walk: faults explained, accesses predicted, spaces audited, saved and searched."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.programs import modules
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

GUARD = 0xFFFF_FFFF_8032_5000
CODE = 0xFFFF_FFFF_8010_0000
Page = tuple[int, bool, bool]


@pytest.fixture
def booted() -> Iterator[Stopped]:
    with at_checkpoint(1, "scenario=boot,mixed seed=3 ops=300") as stopped:
        yield stopped


@pytest.fixture(scope="module")
def paused() -> Iterator[Stopped]:
    """Two processes that are alive."""
    with at_checkpoint(1, "scenario=processes", extra=modules(["pause alpha", "pause beta"])) as stopped:
        yield stopped


def tlb(stopped: Stopped) -> dict[int, Page]:
    """QEMU's own list: 4 KiB page → frame, W, NX."""
    pages = {}
    for line in stopped.machine.monitor("info tlb").splitlines():
        virtual, physical, flags = line.replace(":", "").split()
        for offset in range(0, 2 << 20 if "P" in flags else 4096, 4096):
            pages[int(virtual, 16) + offset] = (int(physical, 16) + offset, "W" in flags, "X" in flags)
    return pages


def refusal(gdb: Gdb, command: str) -> str:
    with pytest.raises(GdbCommandError) as caught:
        gdb.run(command)
    assert "Traceback" not in caught.value.message + caught.value.log
    assert "\n" not in caught.value.message.strip()
    assert gdb.evaluate("$coronel_exit") == 2
    return caught.value.message


@pytest.mark.parametrize(
    ("kind", "registers", "address", "because"),
    [
        ("x", "rip = 0x12345000", 0x1234_5000, "not present (P = 0) in the PML4E"),
        ("x", "rip = (unsigned long)&g_kernel_heap", None, "not executable (XD = 1) in the PTE"),
        ("w", f"rdi = {CODE:#x}; rip = (unsigned long)&memcpy", CODE, "not writable (R/W = 0) in the PTE"),
        ("w", f"rdi = {GUARD:#x}; rip = (unsigned long)&memcpy", GUARD, "not present (P = 0) in the PTE"),
    ],
)
def test_what_is_predicted_happens_and_is_explained(
    booted: Stopped, kind: str, registers: str, address: int | None, because: str
) -> None:
    """The judge is the CPU: it takes the fault, the kernel prints its error code and CR2."""
    gdb = booted.gdb
    where = gdb.evaluate("(unsigned long)&g_kernel_heap") if address is None else address
    predicted = booted.report(f"pagewalk {where:#x} --access {kind}", 0)
    assert because in predicted["summary"]
    gdb.run("set $rsi = $rsp")
    gdb.run("set $rdx = 8")
    for register in registers.split("; "):
        gdb.run(f"set ${register}")
    gdb.run_to("coronel_fault_stop", BOOT_SECONDS)
    line = re.search(r"exception 14 error (0x\w+) cr2 (0x\w+)", booted.machine.serial())
    assert line, booted.machine.serial()
    error, cr2 = int(line[1], 0), int(line[2], 0)
    assert cr2 == where
    assert f"error code {error:#x} (" in predicted["facts"]["access"]
    explained = booted.report("pagewalk --why", 0)
    assert because in explained["summary"]
    assert f"at {cr2:#x} faulted" in explained["summary"]
    assert explained["facts"]["error code"].startswith(f"{error:#x} ")
    # The same for a kernel that says nothing: the code by hand, the address from CR2.
    assert because in booted.report(f"pagewalk --why --error {error:#x}", 0)["summary"]
    # Had the code been another one, table and fault would contradict each other.
    (finding,) = booted.report(f"pagewalk --why --error {error ^ 1:#x}", 1)["findings"]
    assert (finding["code"], finding["subject"]) == ("PAGE009", cr2)


def test_other_exceptions_are_no_page_faults(booted: Stopped) -> None:
    booted.gdb.run("set $rip = 0x800000000000")
    booted.gdb.run_to("coronel_fault_stop", BOOT_SECONDS)
    assert "general protection (vector 13)" in booted.report("pagewalk --why", 0)["summary"]


def test_a_fault_that_the_tables_allow_is_a_stale_tlb(healthy: Stopped) -> None:
    (finding,) = healthy.report("pagewalk --why --error 2 $rsp", 1)["findings"]
    assert finding["code"] == "PAGE009"
    assert "stale TLB" in finding["suspects"]
    assert "--why reads the exception" in refusal(healthy.gdb, "pagewalk --why")


def test_an_overflown_stack_is_named_by_its_guard() -> None:
    with at_checkpoint(1, "scenario=boot,stack_overflow") as stopped:
        stopped.gdb.run_to("coronel_fault_stop", BOOT_SECONDS)
        report = stopped.report("pagewalk --why", 0)
        assert report["summary"].startswith("double fault (vector 8)")
        assert report["facts"]["place"] == "stack guard (never mapped)"


def poke(stopped: Stopped, virtual: int, change: int) -> None:
    """XOR into the leaf that maps an address, by the debugger, past the kernel."""
    row = stopped.report(f"pagewalk {virtual:#x}", 0)["tables"][0]["rows"][-1]
    word = (row["entry"] ^ change).to_bytes(8, "little").hex()
    stopped.gdb.run("maintenance packet Qqemu.PhyMemMode:1")
    stopped.gdb.mi(f"-data-write-memory-bytes {row['entry at']:#x} {word}")
    stopped.gdb.run("maintenance packet Qqemu.PhyMemMode:0")


def test_an_audit_names_every_page_that_is_not_as_the_specification_says(booted: Stopped) -> None:
    def codes(exit_code: int) -> set[tuple[str, int]]:
        findings = booted.report("pagewalk --audit", exit_code)["findings"]
        return {(finding["code"], finding["subject"]) for finding in findings}

    assert codes(0) == set()
    for change, expected in (
        (1 << 1, {("LAYOUT002", CODE + 4096)}),  # code becomes writable
        (1 << 0, {("LAYOUT004", CODE + 4096)}),  # and is gone
        (1 << 12, {("FRAME013", 0x10_0000)}),  # or is another frame, which has a page already
    ):
        poke(booted, CODE + 4096, change)
        assert codes(1) == expected
        poke(booted, CODE + 4096, change)
    assert codes(0) == set()


def test_a_saved_space_shows_what_changed(booted: Stopped, tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    before = tlb(booted)
    booted.report(f"pagewalk --save {file}", 0)
    assert booted.report(f"pagewalk --diff {file}", 0)["summary"] == "no difference"
    booted.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
    after = tlb(booted)
    changed = {page for page in before.keys() | after.keys() if before.get(page) != after.get(page)}
    assert changed
    rows = booted.report(f"pagewalk --diff {file}", 0)["tables"][0]["rows"]
    assert {page for row in rows for page in range(row["start"], row["end"], 4096)} == changed
    assert {row["change"] for row in rows} == {"mapped"}


def saved(**changes: object) -> str:
    whole = {
        "format": "coronel pages", "version": 1, "root": 4096, "levels": 4,
        "starts": [0, 8192], "physical": [0, 0], "pages": [1, 1], "kinds": [8, 8],
    }  # fmt: skip
    return json.dumps(whole | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no saved space"),
        ("[" * 100_000, "no saved space"),
        ('{"format": 7}', "it does not say"),
        (saved(version=2), "version 2, this tool reads version 1"),
        (saved(levels=3), "levels or root"),
        (saved(starts=[0]), "not equally long"),
        (saved(starts=[0, 0]), "overlaps"),
        (saved(starts=[0, 1]), "cannot be"),
        (saved(kinds=[8, 8 << 3]), "cannot be"),
        (saved(pages=[1, 1 << 60]), "runs past the end"),
        (saved(pages=[1, True]), "not four integers"),
        (saved(levels=5), "the saved space has 5 levels"),
    ],
)
def test_a_file_that_is_no_saved_space(healthy: Stopped, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "space.json"
    file.write_text(text)
    assert message in refusal(healthy.gdb, f"pagewalk --diff {file}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--diff /no/such/file", "cannot read /no/such/file: No such file or directory"),
        ("--save /no/such/folder/file", "cannot write"),
        ("$rsp --access q", "--access takes r, w or x, not q"),
        ("$rsp --cpl 3", "--cpl takes 0 or 3, together with --access"),
        ("--access r", "--access is for one ADDRESS"),
        ("$rsp --audit", "--audit is for a whole space"),
        ("--error 2", "--error goes with --why"),
        ("--range 7", "--range takes two addresses A-B"),
        ("--range 8-4", "holds no address"),
        ("--cr3 0 --process 1", "one of --cr3, --process and --every-process"),
        ("--process 1", "no process 1"),
        ("--nonsense", "unrecognized arguments"),
    ],
)
def test_options_that_do_not_fit(healthy: Stopped, arguments: str, message: str) -> None:
    assert message in refusal(healthy.gdb, f"pagewalk {arguments}")


def test_qemu_agrees_by_itself(healthy: Stopped) -> None:
    assert healthy.report("pagewalk --compare", 0)["checked"] == len(tlb(healthy))
    assert "agrees on" in healthy.report("pagewalk $rsp --compare", 0)["summary"]
    assert "agrees on" in healthy.report("pagewalk 0x1000 --compare", 0)["summary"]
    assert "QEMU's monitor looks at a CPU with cr3" in refusal(healthy.gdb, "pagewalk --cr3 0 --compare")


def test_processes_are_walked_by_their_numbers(paused: Stopped) -> None:
    directories = [
        paused.gdb.evaluate(f"g_process_list->{path}memory.page_directory_") for path in ("", "next->")
    ]
    for pid, directory in enumerate(directories, 1):
        by_pid = paused.report(f"pagewalk --process {pid}", 0)
        by_root = paused.report(f"pagewalk --cr3 {directory:#x}", 0)
        assert by_pid["tables"] == by_root["tables"]
        assert {row["rights"][-4:] for row in by_pid["tables"][0]["rows"]} == {"user", "rnel"}
    every = paused.report("pagewalk --every-process --user", 0)
    titles = [table["title"] for table in every["tables"] if table["rows"]]
    assert sorted(title.split(", ")[-1] for title in titles) == ["process 1 pause.elf", "process 2 pause.elf"]
    assert "no process 9: there are 1, 2" in refusal(paused.gdb, "pagewalk --process 9")


def test_a_frame_of_a_process_is_found_in_it_alone(paused: Stopped) -> None:
    row = paused.report("pagewalk --process 2 --user", 0)["tables"][0]["rows"][0]
    found = paused.report(f"pagewalk --find-physical {row['physical'] + 5:#x}", 0)
    (mapping,) = found["tables"][0]["rows"]
    assert mapping["space"].endswith("process 2 pause.elf")
    assert (mapping["virtual"], mapping["rights"]) == (row["start"] + 5, row["rights"])
    root = paused.gdb.evaluate("g_process_list->memory.page_directory_")
    tables = paused.report(f"pagewalk --find-physical {root:#x}", 0)
    assert tables["facts"]["used as"].startswith("PML4 of ")
    assert tables["tables"][0]["rows"] == []  # docs/spec.md §5.1: tables are mapped nowhere


def test_who_owns_a_page(healthy: Stopped) -> None:
    for expression, owner in (
        ("&_text_start", "RAM pc.ram, kernel code"),
        ("$rsp", "RAM pc.ram, kernel stack"),
        ("g_physical_manager", "RAM pc.ram, placement area"),
        ("g_kernel_heap->first_block_", "RAM pc.ram, frame in use"),
    ):
        assert healthy.report(f"pagewalk {expression}", 0)["facts"]["owner"] == owner
