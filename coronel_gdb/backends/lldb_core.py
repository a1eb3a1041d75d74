"""An ELF core of QEMU in LLDB: symbols are LLDB's, memory and registers the file's.

LLDB opens such a file when it is told a system that has cores:
`target create --arch x86_64-pc-linux KERNEL --core FILE`. It shows the segments as virtual memory; with
paging off in the dump they are physical addresses, and there is no `cr3`: so none of LLDB's memory is used.
Import this inside LLDB only.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import lldb

from coronel_gdb.backends.dump_host import DumpTarget, OnCore
from coronel_gdb.backends.lldb_host import LldbTarget, lldb_version

_PLUGIN = "elf-core"


class CoreTarget(OnCore, LldbTarget):
    """The core that LLDB has open; the selected thread is the CPU."""

    @cached_property
    def core(self) -> DumpTarget:
        """The file that the debugger has open."""
        process = self.process
        path = Path(process.GetCoreFile().fullpath)
        return DumpTarget(path, self.kernel(), cpu=process.GetSelectedThread().GetIndexID() - 1)

    def evaluate(self, expression: str) -> int:
        """What can be said without LLDB, which shows variables as the kernel's file has them."""
        return self.core.evaluate(expression)

    def facts(self) -> Sequence[tuple[str, str]]:
        """LLDB's version, and what is said about any dump."""
        return [("debugger", lldb_version()), *self.core.facts()]


def current_target(debugger: "lldb.SBDebugger") -> LldbTarget:
    """What the commands look at: the core when one is open, else the machine behind the stub."""
    process = debugger.GetSelectedTarget().GetProcess()
    is_core = process.IsValid() and process.GetPluginName() == _PLUGIN
    return CoreTarget(debugger) if is_core else LldbTarget(debugger)
