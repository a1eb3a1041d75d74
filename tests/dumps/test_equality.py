"""A post-mortem report is the live one: every command, on every dump of one and the same stop."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.cli import main
from coronel_gdb.commands import memcheck
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.recorded import RecordedTarget
from coronel_gdb.plugins import commands
from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT, KERNEL_ELF
from lab.scenarios import scenarios
from model.types import PhysicalAddress
from tests.dumps.stops import CORES, RAW, SMALL, STOPS, Stop, Taken, taken
from tests.dumps.writers import PAGE, elf_core, qemu_note

JUDGED = ("memcheck", "pagewalk --audit", "replay")
"""Every check there is: asked at every stop on every format, with what the list of scenarios finds."""
VARIANTS = (
    "pagewalk g_kernel_heap", "pagewalk &g_kernel_heap", "pagewalk $rsp",
    "pagewalk memory::initialize_memory", "pagewalk '&paging::window_table_'", "pagewalk 0x400000",
    "pagewalk 0x0000800000000000", "pagewalk no_such_symbol",
    "whatis g_kernel_heap", "whatis $rsp", "whatis memory::initialize_memory",
)  # fmt: skip
"""What else is typed where a stop is thorough."""
THOROUGH = {"elf", "elf_paging", "zlib_flattened", "raw", "small"}
EVERY_COMMAND = {"elf", "small"}
"""Formats on which every command is asked at every stop."""
KERNEL = ("--kernel", str(KERNEL_ELF))
OF_THE_HOST = {"status": {"paging", "profile"}}
"""Commands about the host itself: the facts that must agree all the same."""
OF_A_CPU = ("LAYOUT008", "HEAP012")
"""What a CPU's registers tell; a raw image has none."""
CANNOT: dict[str, str] = {}
"""Commands that need a live machine, and why."""
PROVENANCE = {"inferred", "running"}
"""Facts that say where the bytes come from."""
MAPPED = re.compile(r"^(RAM|ROM|device) [^,]*(, |$)|^unknown: this host has no memory map$")
"""What only a running QEMU can tell about a page: the name of the memory that it lies in."""


def lines(stop: Stop, form: str) -> list[str]:
    """What is asked of a stop on a format: the checks; every command; every command and its variants."""
    asked = [*JUDGED, *(stop.scenario.findings if stop.scenario else ())]
    if stop.thorough or form in EVERY_COMMAND:
        asked += [command.name for command in commands() if command.name not in CANNOT]
    if stop.thorough and form in THOROUGH:
        asked += [line for line in VARIANTS if form not in RAW or "$" not in line]
    if form == "raw_found" and stop.function:  # which of the spaces a CPU was in, no image tells
        asked = [line for line in asked if not line.startswith("pagewalk")]
    return list(dict.fromkeys(line.removeprefix("coronel ") for line in asked))


def comparable(line: str, report: dict[str, Any]) -> dict[str, Any]:
    wanted = OF_THE_HOST.get(line)
    if wanted is not None:
        return {name: report["facts"][name] for name in wanted}
    facts = {name: value for name, value in report.get("facts", {}).items() if name not in PROVENANCE}
    if "owner" in facts:
        facts["owner"] = MAPPED.sub("", facts["owner"])
    return {**report, "facts": facts}


def same_refusal(live: dict[str, Any], post_mortem: dict[str, Any]) -> bool:
    """An expression that cannot be evaluated is refused by both, each with its host's reason."""
    both = (live.get("error", ""), post_mortem.get("error", ""))
    return all("cannot evaluate" in error for error in both)


def post_mortem(capsys: pytest.CaptureFixture[str], line: str, path: Path, *options: str) -> dict[str, Any]:
    """The report of the command line; its exit code is the report's, and nothing went to the error stream."""
    words = shlex.split(line)
    code = main([*words, "--dump", str(path), "--format", "json", *options])
    shown = capsys.readouterr()
    report: dict[str, Any] = json.loads(shown.out)
    assert (code, shown.err) == (report["exit_code"], "")
    return report


def options_of(form: str, dumps: Taken) -> tuple[str, ...]:
    """A small dump has the kernel, and the one CPU that was looked at; a raw image has no CPU."""
    if form in SMALL:
        return ()
    if form in RAW:
        return ("--cr3", hex(dumps.cr3), *KERNEL) if form == "raw" else KERNEL
    return ("--cpu", str(dumps.cpu), *KERNEL)


@pytest.mark.parametrize("stop", STOPS, ids=[stop.name for stop in STOPS])
def test_every_report_is_the_live_one(stop: Stop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with taken(stop, tmp_path) as dumps:
        for form in stop.formats:
            options = options_of(form, dumps)
            for line in lines(stop, form):
                report = post_mortem(capsys, line, dumps.files[form], *options)
                judge(form, line, report, dumps.alive(line))
        gdb_on_the_cores(dumps)
        # Nothing above may be equal because nothing was found.
        codes = {found["code"] for report in dumps.live.values() for found in report.get("findings", [])}
        assert codes >= stop.found if stop.found else codes == set()
        for check in OF_ONE_STOP.get(stop.name, ()):
            check(dumps, capsys)


def judge(form: str, line: str, report: dict[str, Any], live: dict[str, Any]) -> None:
    if form in RAW:
        lost = [row for row in report.get("not_checked", ()) if "the dump holds no register" in row["why"]]
        if lost:  # what a register would tell is neither found nor healthy there; all else is as ever
            assert report["exit_code"] == (1 if report["findings"] else 2), (form, line)
            assert [row for row in report["not_checked"] if row not in lost] == live["not_checked"], (
                form,
                line,
            )
            assert report["findings"] == list(without_a_cpu(live["findings"])), (form, line)
            return
    if not same_refusal(live, report):
        assert comparable(line, report) == comparable(line, live), (form, line)


def without_a_cpu(findings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for found in findings:
        if found["code"] not in OF_A_CPU:
            derived = [one for one in found.get("derived", ()) if one["code"] not in OF_A_CPU]
            lines = [
                line
                for line in found["lines"]
                if not line.startswith(tuple(f"derived  {c}" for c in OF_A_CPU))
            ]
            yield {**{key: value for key, value in found.items() if key != "derived"}, "lines": lines} | (
                {"derived": derived} if derived else {}
            )


def gdb_on_the_cores(dumps: Taken) -> None:
    forms = [form for form in CORES if form in dumps.stop.formats]
    if not forms:
        return
    with Gdb(script=GDB_SCRIPT) as gdb:
        gdb.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
        for form in forms:
            gdb.run(f"target core {dumps.files[form]}")
            gdb.run(f"thread {dumps.cpu + 1}")
            for line in lines(dumps.stop, form) if dumps.stop.thorough else JUDGED:
                report = json.loads(gdb.console(f"coronel {line} --json", 60))
                assert report["exit_code"] == gdb.evaluate("$coronel_exit"), (form, line)
                judge(f"GDB on {form}", line, report, dumps.alive(line))


def check_each_cpu(dumps: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    stacks = []
    for cpu in (0, 1):
        dumps.stopped.gdb.run(f"thread {cpu + 1}")
        live = json.loads(dumps.stopped.gdb.console("pagewalk $rsp --json"))
        stacks.append(live["summary"])
        for form in ("elf", "elf_paging", "zlib_flattened"):
            report = post_mortem(capsys, "pagewalk $rsp", dumps.files[form], "--cpu", str(cpu), *KERNEL)
            assert comparable("pagewalk", report) == comparable("pagewalk", live)
    assert stacks[0] != stacks[1]
    refusal = post_mortem(capsys, "status", dumps.files["elf"], "--cpu", "2", *KERNEL)
    assert refusal["error"] == "no CPU 2 in the dump: it has 2, numbered from 0"


def check_top_table_by_sight(dumps: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    directory = dumps.stopped.gdb.evaluate("*(unsigned long *)&'paging::kernel_directory_'")
    report = post_mortem(capsys, "memcheck", dumps.files["raw_found"], *KERNEL)
    assert report["facts"]["inferred"].startswith(f"the top table {directory:#x}: ")


def check_damaged_dumps(dumps: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    """What a dump has lost is said; what is left of it tells nothing that the machine does not."""
    damaged = dumps.files["zlib"].with_name("damaged")
    for form in ("elf", "elf_paging", "zlib", "zlib_flattened", "raw", "small"):
        whole = dumps.files[form].read_bytes()
        for part in (0, 1, 2, 3, 20, 63):
            damaged.write_bytes(whole[: len(whole) * part // 64])
            judge_damaged(dumps, post_mortem(capsys, "memcheck", damaged, *options_of(form, dumps)), form)


def check_lost_pages(dumps: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for pages left out, one at a time, of those that the checks read."""
    target = DumpTarget(dumps.files["elf"], KERNEL_ELF)
    recorded = RecordedTarget(target, None)
    memcheck.run(Context(recorded), memcheck.COMMAND.parse([]))
    size = max(end for _, end in target.dump.memory.ranges() if end < 1 << 31)
    notes = qemu_note(target.dump.cpus[0].registers)
    whole = target.memory.read(PhysicalAddress(0), size)
    damaged = dumps.files["elf"].with_name("damaged")
    for page in sorted(recorded.memory.pages)[::7]:
        start, end = page * PAGE, page * PAGE + PAGE
        if end < size:
            parts = [(0, whole[:start], start), (start, b"", PAGE), (end, whole[end:], size - end)]
            damaged.write_bytes(elf_core([(at, at, data, length) for at, data, length in parts], notes))
            report = post_mortem(capsys, "memcheck", damaged, *KERNEL)
            judge_damaged(dumps, report, f"page {page:#x}")
            assert "error" in report or report["not_checked"], page


def judge_damaged(dumps: Taken, report: dict[str, Any], name: str) -> None:
    live = dumps.alive("memcheck")
    if "error" in report:
        assert report["exit_code"] == 2, name
    elif comparable("memcheck", report) != comparable("memcheck", live):
        assert report["not_checked"], name
        known = {found["code"] for found in live["findings"]}
        assert {found["code"] for found in report["findings"]} <= known, name


OF_ONE_STOP = {
    "mixed_overflow": (check_top_table_by_sight, check_damaged_dumps, check_lost_pages),
    "processes": (check_top_table_by_sight,),
    "smp": (check_each_cpu,),
}
"""What is looked at beyond equality, where the machine stands there anyway."""


def test_the_lists_here_are_of_what_there_is() -> None:
    assert {stop.name for stop in STOPS} >= {*OF_ONE_STOP, *scenarios()}
    names = {command.name for command in commands()}
    assert {line.split()[0] for line in (*JUDGED, *VARIANTS)} | set(OF_THE_HOST) | set(CANNOT) <= names
