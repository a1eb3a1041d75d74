"""A real kernel for differential tests: its memory is read by QEMU's monitor, not by the tool under test."""

from collections.abc import Iterable
from dataclasses import dataclass

from lab.gdbmi import Gdb
from lab.machine import Machine as Qemu
from lab.stopped import BOOT_SECONDS
from model.address_space import PLAIN_IMAGE, ImageSymbols, linear_physical
from model.layouts import TRACE_RECORD, TRACE_RECORD_BYTES
from model.machine import Machine
from model.multiboot import BootInformation, parse
from model.paging import Mapping, PagingMode, walk_space
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

ACCESSED_DIRTY = 0x60  # the CPU sets them; docs/spec.md §5.2 takes them out of every comparison
IMAGE_END = 0x33_6000  # physical; below it lies what the linker made
GLOBALS = ("__placement", "g_physical_manager", "g_kernel_virtual_manager", "g_kernel_heap", "g_process_list")


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


def compare(kernel: Kernel, model: Machine, besides: Iterable[range] = ()) -> list[str]:
    """Every difference between the two memories, over all that the specification fixes.

    `besides` are physical addresses of bytes that it leaves open, or that are compared elsewhere.
    """
    differences = []
    tables = table_frames(model)
    ours: dict[int, bytes] = {}
    theirs: dict[int, bytes] = {}
    left_out = list(besides)
    open_bytes = {at for addresses in left_out if len(addresses) < PAGE_BYTES for at in addresses}
    open_pages = {addresses.start for addresses in left_out if len(addresses) == PAGE_BYTES}
    touched = [
        page for page in model.physical.touched_pages() if page >= IMAGE_END and page not in open_pages
    ]
    for start, end in runs(touched):
        dump = kernel.physical(start, end - start)
        for page in range(start, end, PAGE_BYTES):
            ours[page] = model.physical.read(PhysicalAddress(page), PAGE_BYTES)
            theirs[page] = dump[page - start : page - start + PAGE_BYTES]
    for page in touched:
        if page in tables:
            ours[page], theirs[page] = (without_accessed_and_dirty(side[page]) for side in (ours, theirs))
        if ours[page] == theirs[page]:
            continue
        for at in range(0, PAGE_BYTES, 8):
            mine, yours = ours[page][at : at + 8], theirs[page][at : at + 8]
            if any(mine[n] != yours[n] and page + at + n not in open_bytes for n in range(8)):
                differences.append(f"{page + at:#x}: model {mine.hex()}, kernel {yours.hex()}")
    for name in GLOBALS:
        if model.memory.read_u64(VirtualAddress(model.symbols[name])) != kernel.gdb.evaluate(
            f"(unsigned long){name}"
        ):
            differences.append(name)
    return differences


def runs(pages: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending pages as [start, end) of those that follow each other."""
    found: list[tuple[int, int]] = []
    for page in pages:
        if found and found[-1][1] == page:
            found[-1] = (found[-1][0], page + PAGE_BYTES)
        else:
            found.append((page, page + PAGE_BYTES))
    return found


def without_accessed_and_dirty(table: bytes) -> bytes:
    entries = (int.from_bytes(table[at : at + 8], "little") for at in range(0, PAGE_BYTES, 8))
    return b"".join((entry & ~ACCESSED_DIRTY).to_bytes(8, "little") for entry in entries)


def table_frames(model: Machine) -> set[int]:
    """The frames that hold the tables of the kernel directory and of every process."""
    frames: set[int] = set()

    def read(address: PhysicalAddress) -> bytes | None:
        frames.add(address)
        return model.physical.read_table(address)

    for directory in [model.cr3, *(process.memory.directory for process in model.processes)]:
        pages = [page for page in walk_space(read, directory, PagingMode()) if isinstance(page, Mapping)]
        assert len(pages) > 50
    return frames
