"""The kernel built with -O0 boots too, and the commands read it as well: its DWARF is another one."""

import json
import subprocess
from pathlib import Path

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import GDB_SCRIPT, ROOT
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW


@pytest.mark.slow
def test_it_boots_and_its_overflow_is_found(tmp_path: Path) -> None:
    make = ["make", "-j2", "-C", str(ROOT / "qemu" / "kernel"), f"BUILD={tmp_path}", "OPT=-O0"]
    subprocess.run(make, check=True, capture_output=True, timeout=110)
    with (
        Machine(tmp_path / "coronel.boot.elf", MIXED_THEN_OVERFLOW, paused=True) as machine,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(machine.gdb_socket, tmp_path / "coronel.elf")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        for command in ("heapcheck", "frames", "regions", "pagewalk --audit"):
            assert json.loads(gdb.console(f"{command} --json"))["exit_code"] == 0
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        (finding,) = json.loads(gdb.console("heapcheck --json"))["findings"]
        assert finding["block"] == gdb.evaluate("g_seeded_fault.victim") != 0
        assert finding["suspect"]["block"] == gdb.evaluate("g_seeded_fault.culprit")
