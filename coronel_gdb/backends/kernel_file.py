"""A kernel's ELF file for a host without a debugger: symbols, expressions, and whether it is the right."""

from functools import cached_property
from pathlib import Path

from coronel_gdb.backends.expression import Evaluator
from coronel_gdb.errors import CoronelError, KernelError, UsageError
from coronel_gdb.layout.symbols import LoadSegment, Symbol, SymbolFile
from coronel_gdb.lift.cpu import read_cpu
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.protocols import PhysicalMemory, Target
from model.paging import PagingMode, Translation
from model.types import PhysicalAddress, VirtualAddress

_SAMPLE_BYTES = 4096
_WRITABLE, _EXECUTABLE = 2, 1


class KernelFile:
    """The file behind `--kernel`, looked at when something of it is needed, and the target that runs it."""

    def __init__(self, path: Path | None, target: Target) -> None:
        self.path = path
        self._target = target
        self._judged = False

    @cached_property
    def file(self) -> SymbolFile:
        """The symbols; `KernelError` when there is no such file, or none that can be used."""
        if self.path is None:
            raise KernelError("no kernel file: name it with --kernel KERNEL.elf")
        return SymbolFile(self.path)

    def symbol(self, name: str) -> VirtualAddress | None:
        """A symbol's address, None without a file; `KernelError` when that is not the kernel that runs."""
        found = self._find(name) if self.path is not None else None
        return None if found is None else VirtualAddress(found.address)

    def evaluate(self, expression: str) -> int:
        """An expression's value; `UsageError` otherwise."""
        return Evaluator(self._target.register, self._named, self._read).evaluate(expression)

    def _named(self, name: str) -> Symbol | None:
        if self.path is None:
            raise UsageError("symbols need the kernel file: --kernel KERNEL.elf")
        return self._find(name)

    def _find(self, name: str) -> Symbol | None:
        symbol = self.file.find(name)
        if symbol is not None and not self._judged:
            self._judged = True
            self._judge()
        return symbol

    def _read(self, address: int, size_bytes: int) -> int:
        data = self._space().read(VirtualAddress(address), size_bytes)
        return int.from_bytes(data, "little")

    def _space(self) -> AddressSpace:
        cpu = read_cpu(self._target)
        return AddressSpace(self._target.memory, cpu.root, cpu.paging())

    def _judge(self) -> None:
        """Compare code and constants with the target's memory: with a wrong file all is nonsense."""
        try:
            space = self._space()
        except CoronelError:
            return  # without paging nothing can be compared, and no command gets further than this
        # The build id is the surest sign; without one in memory, code and constants are.
        for segments in (self.file.notes, self.file.segments):
            seen = [same_bytes(self.file, segment, space) for segment in segments]
            if any(seen):
                return
            if False in seen:
                raise KernelError(f"{self.file.path} is not the kernel in this memory: it is another build")


class OfKernelFile:
    """Mixed into a target without a debugger: its symbols and expressions are those of the kernel's file."""

    _kernel: KernelFile

    def symbol(self, name: str) -> VirtualAddress | None:
        """From the kernel file's symbol table."""
        return self._kernel.symbol(name)

    def evaluate(self, expression: str) -> int:
        """Numbers, registers and symbols; there is no debugger to ask."""
        return self._kernel.evaluate(expression)

    def kernel(self) -> Path | None:
        """The file behind `--kernel`."""
        return self._kernel.path


def same_bytes(file: SymbolFile, segment: LoadSegment, space: AddressSpace) -> bool | None:
    """Whether a constant segment begins in memory as in the file; None when that cannot be said."""
    expected = file.bytes_of(segment)[:_SAMPLE_BYTES]
    if segment.flags & _WRITABLE or not expected:
        return None
    try:
        return space.read(VirtualAddress(segment.virtual), len(expected)) == expected
    except CoronelError:
        return None


def judge_top_table(file: SymbolFile | None, memory: PhysicalMemory, root: PhysicalAddress) -> int:
    """How well a top table maps the kernel: 0 not at all, then by the segments whose rights are as linked."""
    if file is None:
        return 1
    space = AddressSpace(memory, root, PagingMode())
    if not any(same_bytes(file, segment, space) for segment in file.segments):
        return 0
    score = 1
    for segment in file.segments:
        found = space.translate(VirtualAddress(segment.virtual))
        if isinstance(found, Translation):
            score += found.rights.writable == bool(segment.flags & _WRITABLE)
            score += found.rights.executable == bool(segment.flags & _EXECUTABLE)
    return score
