"""An ELF core of QEMU in GDB (`target core FILE`): symbols are GDB's, memory and registers the file's.

GDB shows such a file's segments as virtual memory. With paging off in the dump they are physical addresses,
there is no `$cr3`, and what no segment holds GDB takes from the kernel's file: so none of its memory is used.
Import this inside GDB only.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import gdb

from coronel_gdb.backends.dump_host import DumpTarget, OnCore
from coronel_gdb.backends.gdb_console import printed
from coronel_gdb.backends.gdb_host import GdbTarget
from coronel_gdb.backends.gdb_kept import KeptRoute
from coronel_gdb.errors import TargetError

_CORE = re.compile(r"^Local core dump file:\s+`(.*)', file type ", re.M)


class CoreTarget(OnCore, GdbTarget):
    """The core that GDB has open; the selected thread is the CPU."""

    @cached_property
    def core(self) -> DumpTarget:
        """The file that the debugger has open."""
        found = _CORE.search(printed("info files"))
        thread = gdb.selected_thread()
        if found is None or thread is None:
            raise TargetError("GDB does not say which core file it has open: `target core FILE`")
        return DumpTarget(Path(found[1]), self.kernel(), cpu=thread.num - 1)

    def evaluate(self, expression: str) -> int:
        """GDB's value where GDB sees virtual memory; else what can be said without it."""
        if self.core.dump.physical_addresses:
            return self.core.evaluate(expression)
        return super().evaluate(expression)

    def facts(self) -> Sequence[tuple[str, str]]:
        """GDB's version, and what is said about any dump."""
        return [("debugger", f"GDB {gdb.VERSION}"), *self.core.facts()]


def current_target(kept: KeptRoute) -> GdbTarget:
    """What the commands look at: the core when one is open, else the machine behind the stub."""
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return CoreTarget() if connection is not None and connection.type == "core" else GdbTarget(kept)
