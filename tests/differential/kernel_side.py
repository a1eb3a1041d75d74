"""A real kernel for differential tests: its memory is read by QEMU's monitor, not by the tool under test."""

from dataclasses import dataclass

from lab.gdbmi import Gdb
from lab.machine import Machine as Qemu
from lab.stopped import BOOT_SECONDS
from model.address_space import PLAIN_IMAGE, ImageSymbols, linear_physical
from model.layouts import TRACE_RECORD, TRACE_RECORD_BYTES
from model.multiboot import BootInformation, parse
from model.types import PhysicalAddress


@dataclass(frozen=True)
class Record:
    """One record of the kernel's trace (docs/spec.md §12.1)."""

    operation: int
    depth: int
    arguments: tuple[int, ...]
    result: int
    space: int


@dataclass
class Kernel:
    """A kernel driven by GDB."""

    qemu: Qemu
    gdb: Gdb

    def physical(self, address: int, size_bytes: int) -> bytes:
        dump = self.qemu.directory / "bytes"
        self.qemu.monitor(f'pmemsave {address:#x} {size_bytes} "{dump}"')
        return dump.read_bytes()

    def boot_information(self) -> BootInformation:
        self.gdb.run_to("memory::initialize_memory", BOOT_SECONDS)
        return parse(self.physical, PhysicalAddress(linear_physical(self.gdb.evaluate("info"))))

    def image(self) -> ImageSymbols:
        names = PLAIN_IMAGE.by_name()
        return ImageSymbols.from_names(
            {name: self.gdb.evaluate(f"(unsigned long)&'{name}'") for name in names}
        )

    def trace(self) -> list[Record]:
        """Every record so far; the ring must not have lost one."""
        base, capacity, count = (
            self.gdb.evaluate(f"g_trace.{name}") for name in ("ring_", "capacity_", "next_")
        )
        assert count <= capacity, "the ring is too small for this test"
        raw = self.physical(linear_physical(base), TRACE_RECORD_BYTES * count)
        records = []
        for at in range(0, len(raw), TRACE_RECORD_BYTES):
            what, depth, result, space = (
                TRACE_RECORD.read(raw, name, at) for name in ("what", "depth", "result", "space")
            )
            records.append(Record(what, depth, TRACE_RECORD.read_array(raw, "arguments", at), result, space))
        return records
