"""`make demo`: a real kernel, healthy and then corrupted by its own bug, seen through the commands."""

import json
from collections.abc import Sequence
from typing import Any

from lab.gdbmi import Gdb
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, at_checkpoint

HEALTHY = ("coronel status", "heapcheck", "pagewalk", "pagewalk g_kernel_heap->first_block_", "frames")
FINDINGS = 1
NEXT = """\
Next: make debug          the same kernel in your own GDB, stopped at its first checkpoint
      help heapcheck      in GDB: what it checks; coronel lists all commands
      make test           every check of this project"""


def main(_arguments: Sequence[str] = ()) -> int:
    """Show the healthy kernel, let its bug strike, show what the commands make of it."""
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        gdb = stopped.gdb
        _say("The kernel after 2000 random operations on its heap (scenario mixed):")
        for command in HEALTHY:
            _show(gdb, command)
        healthy = _findings(gdb)

        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        _say("The same kernel after a bug of its own, a C++ buffer overflow (scenario overflow):")
        _show(gdb, "heapcheck")
        corrupted = _findings(gdb)
        victim = _tell_the_truth(gdb)

    print(NEXT)
    if healthy:
        print(f"demo: FAILED: {len(healthy)} findings on the healthy kernel")
        return FINDINGS
    if not any(f"{victim:x}" in json.dumps(finding) for finding in corrupted):
        print(f"demo: FAILED: no finding names the victim block {victim:#x}")
        return FINDINGS
    return 0


def _say(text: str) -> None:
    print(f"\n# {text}\n")


def _show(gdb: Gdb, command: str) -> None:
    reply = gdb.run(command)
    print(f"(gdb) {command}")
    print((reply.log + reply.console).rstrip("\n"), end="\n\n")


def _findings(gdb: Gdb) -> list[dict[str, Any]]:
    report = json.loads(gdb.console("heapcheck --json"))
    findings: list[dict[str, Any]] = report["findings"]
    return findings


def _tell_the_truth(gdb: Gdb) -> int:
    """Print what the kernel noted when its bug struck; return the victim block's address."""
    field = {
        name: gdb.evaluate(f"g_seeded_fault.{name}")
        for name in ("victim", "culprit", "address", "length", "line")
    }
    kind = gdb.console("output g_seeded_fault.kind")
    file = gdb.console('printf "%s", g_seeded_fault.file')
    _say("What the kernel itself says it did (g_seeded_fault):")
    print(f"{kind} at {file}:{field['line']}")
    print(f"victim block {field['victim']:#x}, overflowing block {field['culprit']:#x}")
    print(f"{field['length']} bytes damaged from {field['address']:#x}\n")
    return field["victim"]
