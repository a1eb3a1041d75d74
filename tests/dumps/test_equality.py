"""A post-mortem report is the live one: every command, on every dump of one and the same stop."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.cli import main
from coronel_gdb.plugins import commands
from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT, KERNEL_ELF
from tests.dumps.stops import CORES, SMALL, STOPS, Stop, Taken, taken

LINES = {
    "pagewalk": [
        "pagewalk", "pagewalk --audit", "pagewalk g_kernel_heap", "pagewalk &g_kernel_heap", "pagewalk $rsp",
        "pagewalk memory::initialize_memory", "pagewalk '&paging::window_table_'", "pagewalk 0x400000",
        "pagewalk 0x0000800000000000", "pagewalk no_such_symbol",
    ],
    "whatis": ["whatis g_kernel_heap->first_block_", "whatis $rsp", "whatis memory::initialize_memory"],
}  # fmt: skip
"""What is typed for a command; without an entry, its name. All but the first on `THOROUGH` formats alone."""
THOROUGH = {"elf", "elf_paging", "zlib_flattened", "small"}
KERNEL = ("--kernel", str(KERNEL_ELF))
OF_THE_HOST = {"status": {"paging", "profile"}}
"""Commands about the host itself: the facts that must agree all the same."""
CANNOT: dict[str, str] = {}
"""Commands that need a live machine, and why."""
PROVENANCE = {"inferred", "running"}
"""Facts that say where the bytes come from."""
MAPPED = re.compile(r"^(RAM|ROM|device) [^,]*(, |$)|^unknown: this host has no memory map$")
"""What only a running QEMU can tell about a page: the name of the memory that it lies in."""
FOUND = {
    "overflow": {"HEAP001"},
    "cyclic_list": {"HEAP006"},
    "use_after_free": {"HEAP001"},
    "region_overlap": {"REGION003"},
    "pte_scribble": {"REGION003"},
    "kernel_user_bit": {"SPACE001"},
    "split_ram": {"HEAP001"},
}
"""Codes that must be among the findings; of a stop without an entry there are none."""


def lines(stop: Stop, *, thorough: bool = True) -> Iterator[str]:
    for command in commands():
        if command.name not in (*CANNOT, *stop.unlisted):
            typed = LINES.get(command.name, [command.name])
            yield from typed if thorough else typed[:1]


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
    where = ("--cr3", hex(dumps.cr3)) if form == "raw" else ("--cpu", str(dumps.cpu))
    return (*where, *KERNEL)


@pytest.mark.parametrize("stop", STOPS, ids=[stop.name for stop in STOPS])
def test_every_report_is_the_live_one(stop: Stop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with taken(stop, tmp_path) as dumps:
        for form in stop.formats:
            options = options_of(form, dumps)
            for line in lines(stop, thorough=form in THOROUGH):
                report, live = post_mortem(capsys, line, dumps.files[form], *options), dumps.alive(line)
                if not same_refusal(live, report):
                    assert comparable(line, report) == comparable(line, live), (form, line)
        # Nothing above may be equal because nothing was found.
        codes = {found["code"] for line in lines(stop) for found in dumps.alive(line).get("findings", [])}
        assert codes >= FOUND[stop.name] if stop.name in FOUND else codes == set()
        for check in OF_ONE_STOP.get(stop.name, ()):
            check(dumps, capsys)


def check_gdb_on_the_cores(dumps: Taken, _: pytest.CaptureFixture[str]) -> None:
    for form in CORES:
        with Gdb(script=GDB_SCRIPT) as gdb:
            gdb.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
            gdb.run(f"target core {dumps.files[form]}")
            for line in lines(dumps.stop):
                report = json.loads(gdb.console(f"coronel {line} --json", 60))
                live = dumps.alive(line)
                assert report["exit_code"] == gdb.evaluate("$coronel_exit"), (form, line)
                if not same_refusal(live, report):
                    assert comparable(line, report) == comparable(line, live), (form, line)


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
    for line in ("heapcheck", "regions", "frames"):
        report = post_mortem(capsys, line, dumps.files["raw"], *KERNEL)
        assert report["facts"]["inferred"].startswith(f"the top table {directory:#x}: ")
        assert comparable(line, report) == comparable(line, dumps.alive(line))


OF_ONE_STOP = {
    "overflow": (check_gdb_on_the_cores, check_top_table_by_sight),
    "processes": (check_top_table_by_sight,),
    "in_a_process": (check_gdb_on_the_cores,),
    "two_cpus": (check_each_cpu,),
}
"""What is looked at beyond equality, where the machine stands there anyway."""


def test_the_lists_here_are_of_what_there_is() -> None:
    assert set(FOUND) | set(OF_ONE_STOP) <= {stop.name for stop in STOPS}
    assert set(LINES) | set(OF_THE_HOST) | set(CANNOT) <= {command.name for command in commands()}
