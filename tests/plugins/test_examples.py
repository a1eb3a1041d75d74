"""Every plugin of examples/, installed by pip and used as anybody would."""

import json
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF, LLDB_SCRIPT
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped
from tests.plugins.installing import coronel, install_examples, with_packages

RAM_BYTES = 128 << 20
RENAMED = {
    "g_kernel_heap": "vendor_heap",
    "g_physical_manager": "vendor_frames",
    "g_kernel_virtual_manager": "vendor_regions",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_examples(tmp_path_factory.mktemp("examples"))


def report(*words: object, packages: Path) -> dict[str, Any]:
    done = coronel(*words, "--json", packages=packages)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == found["exit_code"]
    return found


def test_status_says_what_each_brings(dump: Path, packages: Path) -> None:
    status = report("status", "--dump", dump, "--kernel", KERNEL_ELF, packages=packages)
    assert {name: value for name, value in status["facts"].items() if name.startswith("plugin ")} == {
        "plugin largest 1.0": "command largest",
        "plugin lime 1.0": "dumps LiME",
        "plugin markdown 1.0": "format markdown",
        "plugin seeded 1.0": "check seeded bugs (SEED001)",
        "plugin vendor 1.0": "profile vendor",
    }
    assert status["exit_code"] == 0


def largest_used(gdb: Gdb, count: int) -> list[tuple[int, int]]:
    """(address, size) by `heapcheck --blocks`."""
    blocks = json.loads(gdb.console("heapcheck --blocks --json"))["tables"][0]["rows"]
    used = [(row["address"], row["size"]) for row in blocks if row["state"] == "used"]
    return sorted(used, key=lambda block: -block[1])[:count]


def test_the_command_is_one_of_both_debuggers(packages: Path) -> None:
    with Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as machine:
        with Gdb(script=GDB_SCRIPT, environment=with_packages(packages)) as gdb:
            gdb.attach(machine.gdb_socket, KERNEL_ELF)
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
            assert re.search(r"^largest +List the largest used blocks", gdb.console("coronel"), re.M)
            assert "usage: largest [--count N]" in gdb.console("help coronel largest")
            found = json.loads(gdb.console("largest --count 4 --json"))
            assert gdb.evaluate("$coronel_exit") == 0
            rows = found["tables"][0]["rows"]
            assert [(row["block"], row["bytes"]) for row in rows] == largest_used(gdb, 4)
            for row in rows:
                assert gdb.evaluate(f"((memory::heap_block *){row['block']})->size") == row["bytes"]
                assert f"= {row['block'] + 48:#x}" in row["by"]
            result = gdb.mi("-coronel-largest --count 1")
            assert result["tables"][0]["rows"][0]["bytes"] == str(rows[0]["bytes"])
        with Lldb(script=None) as lldb:
            lldb.console(f"script import sys; sys.path.append({str(packages)!r})")
            lldb.console(f"command script import {LLDB_SCRIPT}")
            lldb.attach(machine.gdb_socket, KERNEL_ELF)
            assert "List the largest used blocks" in lldb.console("help coronel")
            assert "--count" in lldb.console("help largest")
            assert json.loads(lldb.console("largest --count 4 --json")) == found
            assert lldb.session("coronel_exit") == 0


def test_the_check_is_a_row_and_finds_what_the_kernel_noted(
    healthy: Stopped, corrupted: Stopped, dump: Path, packages: Path
) -> None:
    found = report("memcheck", "--dump", dump, "--kernel", KERNEL_ELF, packages=packages)
    (finding,) = [one for one in found["findings"] if one["code"] == "SEED001"]
    assert finding["address"] == corrupted.gdb.evaluate("g_seeded_fault.address")
    assert finding["line"] == corrupted.gdb.evaluate("g_seeded_fault.line")
    (row,) = [row for row in found["tables"][0]["rows"] if row["check"] == "seeded bugs"]
    assert row["verdict"] == "1 finding"
    plain = json.loads(corrupted.gdb.console("memcheck --json"))
    assert [one for one in found["findings"] if one["code"] != "SEED001"] == plain["findings"]


def test_a_check_without_a_finding(healthy: Stopped, tmp_path: Path, packages: Path) -> None:
    path = tmp_path / "sound"
    assert healthy.machine.monitor(f"dump-guest-memory -z {path}") == ""
    found = report("memcheck", "--dump", path, "--kernel", KERNEL_ELF, packages=packages)
    (row,) = [row for row in found["tables"][0]["rows"] if row["check"] == "seeded bugs"]
    assert (row["verdict"], row["summary"]) == ("sound", "no bug is noted")
    assert found["exit_code"] == 0
    path.unlink()


def test_the_profile_is_found_by_its_symbols(dump: Path, tmp_path: Path, packages: Path) -> None:
    other = tmp_path / "vendor.elf"
    options = [word for old, new in RENAMED.items() for word in ("--redefine-sym", f"{old}={new}")]
    subprocess.run(["objcopy", *options, KERNEL_ELF, other], check=True, timeout=60)
    alone = coronel("heapcheck", "--dump", dump, "--kernel", other, packages=tmp_path)
    assert alone.returncode == 2
    assert alone.stderr.startswith("heapcheck: no profile fits this kernel")
    by_vendor = report("heapcheck", "--dump", dump, "--kernel", other, packages=packages)
    by_us = report("heapcheck", "--dump", dump, "--kernel", KERNEL_ELF, packages=packages)
    assert len(by_vendor["findings"]) == 1
    for one in (by_vendor, by_us):
        for finding in one["findings"]:
            del finding["lines"], finding["details"]  # who allocated it: this profile knows no trace
            del finding["suspect"]
    assert by_vendor["findings"] == by_us["findings"]
    assert by_vendor["facts"]["blocks"] == by_us["facts"]["blocks"]


def test_the_format_has_every_finding_and_table(dump: Path, packages: Path) -> None:
    options = ("memcheck", "--dump", dump, "--kernel", KERNEL_ELF)
    done = coronel(*options, "--format", "markdown", packages=packages)
    found = report(*options, packages=packages)
    assert done.returncode == found["exit_code"] == 1
    assert done.stdout.startswith(f"## memcheck: {found['summary']}\n")
    assert re.findall(r"^### (\w+) .* at `(0x[0-9a-f]+)`$", done.stdout, re.M) == [
        (finding["code"], f"{finding['subject']:#x}") for finding in found["findings"]
    ]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(found["tables"][0]["rows"])
    assert f"Could not check {found['not_checked'][0]['what']}" in done.stdout
    other = coronel(*options, "--format", "xml", packages=packages)
    assert other.stderr == "coronel: --format takes table, json, html or markdown, not xml\n"


def lime(ranges: list[tuple[int, bytes]]) -> bytes:
    return b"".join(
        struct.pack("<IIQQ8x", 0x4C694D45, 1, start, start + len(data) - 1) + data for start, data in ranges
    )


def test_the_reader_reads_what_the_tools_own_reads(
    corrupted: Stopped, dump: Path, tmp_path: Path, packages: Path
) -> None:
    raw = tmp_path / "raw"
    answer = corrupted.machine.monitor(f'pmemsave 0 {RAM_BYTES} "{raw}"')
    assert answer == ""
    data = raw.read_bytes()
    raw.unlink()
    path = tmp_path / "ram.lime"
    hole = 0xA0000, 0x100000
    path.write_bytes(lime([(hole[1], data[hole[1] :]), (0, data[: hole[0]])]))
    cr3 = corrupted.gdb.evaluate("$cr3")
    options = ("--dump", path, "--cr3", cr3, "--kernel", KERNEL_ELF)
    done = coronel("heapcheck", *options, packages=packages)
    assert (
        done.stdout == coronel("heapcheck", "--dump", dump, "--kernel", KERNEL_ELF, packages=packages).stdout
    )
    assert done.returncode == 1
    status = report("status", *options, packages=packages)
    assert status["facts"]["memory"] == "physical, from the dump (LiME), 127 MiB"
    without = coronel("heapcheck", *options, packages=tmp_path)
    assert without.returncode == 2
    assert "a LiME image in its own format" in without.stderr
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    done = coronel("heapcheck", *options, packages=packages)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"heapcheck: .* is truncated: the range from 0x0 ends behind the file\n", done.stderr)
