"""The kinds of paging that are not walked, on a CPU that uses them: recognised and said, before and after."""

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT

CODE, TABLES = 0x10000, 0x20000
PSE, PAE = 1 << 4, 1 << 5
LARGE = 0x83  # P, W, PS: the page at 0


def switching(cr4: int) -> bytes:
    """32-bit code: these bits in CR4, CR3, CR0.PG, and stay here for ever."""
    return b"".join(
        (
            bytes.fromhex("0f20e0 0d"), cr4.to_bytes(4, "little"), bytes.fromhex("0f22e0"),  # cr4 |= …
            bytes.fromhex("b8"), TABLES.to_bytes(4, "little"), bytes.fromhex("0f22d8"),  # cr3 = …
            bytes.fromhex("0f20c0 0d 00000080 0f22c0"),  # cr0 |= PG
            bytes.fromhex("ebfe"),
        )
    )  # fmt: skip


def put(gdb: Gdb, address: int, data: bytes) -> None:
    for at in range(0, len(data), 4):
        word = int.from_bytes(data[at : at + 4].ljust(4, b"\0"), "little")
        gdb.console(f"set *(unsigned int *){address + at:#x} = {word:#x}")


def said(gdb: Gdb, command: str) -> str:
    with pytest.raises(GdbCommandError) as caught:
        gdb.run(command)
    assert gdb.evaluate("$coronel_exit") == 2
    return caught.value.message


@pytest.mark.parametrize(
    ("cr4", "tables", "kind"),
    [
        (PSE, {TABLES: LARGE}, "32-bit"),
        (PAE, {TABLES: TABLES + 0x1000 | 1, TABLES + 0x1000: LARGE}, "PAE (32-bit)"),
    ],
)
def test_paging_that_is_not_walked_is_named(cr4: int, tables: dict[int, int], kind: str) -> None:
    # Where the boot loader jumps to; the file has its address in the kernel's half.
    entry = int.from_bytes(BOOT_ELF.read_bytes()[24:28], "little") - (1 << 31)
    code = switching(cr4)
    with Machine(BOOT_ELF, paused=True) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket)
        assert "(paging off, real mode" in said(gdb, "pagewalk 0x1000")
        gdb.run_to(f"*{entry:#x}")
        assert "(paging off, protected mode" in said(gdb, "pagewalk 0x1000")
        for at, value in tables.items():
            put(gdb, at, value.to_bytes(8, "little"))
        put(gdb, CODE, code)
        gdb.console(f"set $rip = {CODE:#x}")
        gdb.run_to(f"*{CODE + len(code) - 2:#x}")
        for command in ("pagewalk 0x1000", "pagewalk", "pagewalk --audit"):
            assert f"no 64-bit paging yet ({kind}, cr0 0x8" in said(gdb, command)
        # QEMU translates by those tables: the CPU does run with them.
        assert "gpa: 0x1234" in machine.monitor("gva2gpa 0x1234")
