"""A dump file as a host: memory and registers out of the file, symbols from the kernel's ELF file."""

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from coronel_gdb.backends.kernel_file import KernelFile, OfKernelFile, judge_top_table
from coronel_gdb.dumps.dump import Dump, DumpMemory
from coronel_gdb.dumps.raw import RawMemory, find_top_table
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.dumps.recognise import open_dump
from coronel_gdb.errors import CoronelError, TargetError, UsageError
from coronel_gdb.protocols import PhysicalMemory
from model.types import PhysicalAddress

_CR0 = 1 << 31 | 1 << 16 | 1  # PG, WP, PE
_CR4 = 1 << 5  # PAE
_QEMU_BITS = (
    40  # of a physical address, unless QEMU is told otherwise (target/i386/cpu.c, TCG_PHYS_ADDR_BITS)
)
_EFER = 1 << 11 | 1 << 10 | 1 << 8  # NXE, LMA, LME


class DumpTarget(OfKernelFile):
    """A `Target` that stopped for ever when the dump was taken.

    `readers` are those of other formats than the tool's own. `DumpError` when the file cannot be used,
    `UsageError` when it has no such CPU.
    """

    def __init__(
        self,
        path: Path,
        kernel: Path | None = None,
        *,
        cpu: int = 0,
        cr3: int | None = None,
        readers: Sequence[DumpReader] = (),
    ) -> None:
        self.path = path
        self.cpu = cpu
        self.dump: Dump = open_dump(path, readers)
        self._cr3 = cr3
        self._kernel = KernelFile(kernel or self._inside(), self)
        count = max(len(self.dump.cpus), 1)
        if not 0 <= cpu < count:
            raise UsageError(f"no CPU {cpu} in the dump: it has {count}, numbered from 0")

    def _inside(self) -> Path | None:
        """The kernel that the dump itself holds, in a folder that goes with this target."""
        if self.dump.kernel is None:
            return None
        folder = tempfile.mkdtemp(prefix="coronel-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return self.dump.kernel.extract(Path(folder))

    def physical_bits(self) -> int | None:
        """MAXPHYADDR: as the dump says, else QEMU's own where the RAM fits in it; None for nobody knows."""
        return self._physical_bits

    @cached_property
    def _physical_bits(self) -> int | None:
        if self.dump.physical_bits is not None:
            return self.dump.physical_bits
        end = max((end for _, end in self.dump.memory.ranges()), default=0)
        return _QEMU_BITS if end <= 1 << _QEMU_BITS else None

    @cached_property
    def memory(self) -> PhysicalMemory:
        """What the file holds of the guest's memory."""
        return _Route(self.dump.memory, self.dump.form)

    def register(self, name: str) -> int:
        """A register of the chosen CPU; EFER is inferred, and all that a raw image needs is assumed."""
        if name == "cr3" and self._cr3 is not None:
            return self._cr3
        if self.dump.cpus:
            registers = self.dump.cpus[self.cpu].registers
        else:
            registers = {"cr0": _CR0, "cr4": _CR4, "efer": _EFER}
            if name == "cr3":
                return self._found[0]
        if name not in registers:
            raise TargetError(f"the dump holds no register {name}")
        return registers[name]

    @cached_property
    def _found(self) -> tuple[PhysicalAddress, int]:
        memory = self.dump.memory
        if not isinstance(memory, RawMemory):
            raise TargetError("the dump holds no registers of a CPU: name the top table with --cr3")
        file = self._kernel.file if self._kernel.path is not None else None
        must_map = file.segments[0].virtual if file is not None and file.segments else None
        return find_top_table(memory, must_map, lambda root: judge_top_table(file, self.memory, root))

    def facts(self) -> Sequence[tuple[str, str]]:
        """The dump, its format, its CPUs, and what was inferred."""
        dump = self.dump
        rows = [("dump", str(self.path)), ("format", dump.form)]
        if dump.cpus:
            rows.append(("cpus", f"{len(dump.cpus)}, looking at CPU {self.cpu}"))
            rows.append(("efer", dump.cpus[self.cpu].efer_from))
        else:
            rows.append(("cpus", "no registers in this format: 4-level paging with NX is assumed"))
        if self._cr3 is not None:
            rows.append(("cr3", "given with --cr3"))
        if dump.physical_bits is None and self._physical_bits is not None:
            rows.append(
                ("addresses", f"of {_QEMU_BITS} bits assumed, as QEMU's CPUs have; a dump does not say")
            )
        return [*rows, *dump.facts]

    def reread(self) -> bool:
        """A dump never changes."""
        return False

    def remarks(self) -> list[tuple[str, str]]:
        """What every report on this target has to say: that its top table was found by sight."""
        if self._cr3 is not None or self.dump.cpus:
            return []
        try:
            root, count = self._found
        except CoronelError:
            return []  # whoever needs the table says why there is none
        kernel = self._kernel.path is not None
        why = (
            "it maps the kernel best" if kernel else "by its looks, without the kernel's file: the likeliest"
        )
        return [("inferred", f"the top table {root:#x}: {why} of {count} that may be one")]


class OnCore(ABC):
    """Mixed into a debugger's target that has a core of QEMU open: memory and registers are the file's.

    A debugger shows the segments as virtual memory and no control registers.
    """

    @property
    @abstractmethod
    def core(self) -> DumpTarget:
        """The file, as seen from the selected CPU."""

    @property
    def memory(self) -> PhysicalMemory:
        """Physical memory, out of the file."""
        return self.core.memory

    def register(self, name: str) -> int:
        """A register of the selected CPU, control registers too."""
        return self.core.register(name)

    def physical_bits(self) -> int | None:
        """As of any dump."""
        return self.core.physical_bits()


class _Route:
    """A dump's memory as `PhysicalMemory`."""

    def __init__(self, memory: DumpMemory, form: str) -> None:
        self.read = memory.read
        self._memory = memory
        self._form = form

    def describe(self) -> str:
        """The format and how much memory it describes."""
        total = sum(end - start for start, end in self._memory.ranges())
        size = f"{total >> 20:,} MiB" if total >> 20 else f"{total >> 10} KiB"
        return f"physical, from the dump ({self._form}), {size}"
