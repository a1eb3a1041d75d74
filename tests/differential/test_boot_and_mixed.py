"""Model and kernel, written apart from one text, from the same boot information to the same bytes."""

from dataclasses import dataclass

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine as Qemu
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS
from model import layouts, scenarios
from model.address_space import PLAIN_IMAGE, ImageSymbols, linear_physical
from model.machine import Machine
from model.multiboot import BootInformation, parse
from model.paging import Mapping, PagingMode, walk_space
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

ACCESSED_DIRTY = 0x60  # the CPU sets them; docs/spec.md §5.2 takes them out of every comparison


@dataclass
class Kernel:
    """A real kernel, driven by GDB; its memory is read by QEMU's monitor, not by the tool under test."""

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


@pytest.mark.parametrize(
    ("memory", "seed", "ops"), [("128M", 42, 2000), ("32M", 1, 300), ("512M", 2024, 4000), ("2G", 7, 500)]
)
def test_after_the_same_operations_the_memory_is_the_same(memory: str, seed: int, ops: int) -> None:
    append = f"scenario=boot,mixed seed={seed} ops={ops}"
    with Qemu(BOOT_ELF, append, memory=memory, paused=True) as qemu, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(qemu.gdb_socket, KERNEL_ELF)
        kernel = Kernel(qemu, gdb)
        information = kernel.boot_information()
        model = Machine.boot(information.memory_map, information.reserved, kernel.image(), trace_records=4096)

        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert compare(kernel, model) == []

        scenarios.mixed(model, seed, ops)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert model.memory.read_u64(VirtualAddress(model.heap.fields.address + 48)) > ops // 4
        assert compare(kernel, model) == []

        # One byte of one header, and the comparison must see it.
        gdb.run("set var g_kernel_heap->first_block_->is_free = 7")
        assert len(compare(kernel, model)) == 1


def compare(kernel: Kernel, model: Machine) -> list[str]:
    """Every difference between the two memories, page by page, over all that the specification fixes."""
    differences = []
    tables = table_frames(model)
    for page in model.physical.touched_pages():
        ours = model.physical.read(page, PAGE_BYTES)
        theirs = kernel.physical(page, PAGE_BYTES)
        if page < 0x336000:
            continue  # the image: the linker's; what the model writes there is compared below
        if page in tables:
            ours, theirs = without_accessed_and_dirty(ours), without_accessed_and_dirty(theirs)
        differences += [
            f"{page + at:#x}: model {ours[at : at + 8].hex()}, kernel {theirs[at : at + 8].hex()}"
            for at in range(0, PAGE_BYTES, 8)
            if ours[at : at + 8] != theirs[at : at + 8]
        ]
    for name in ("__placement", "g_physical_manager", "g_kernel_virtual_manager", "g_kernel_heap"):
        if model.memory.read_u64(VirtualAddress(model.symbols[name])) != kernel.gdb.evaluate(
            f"(unsigned long){name}"
        ):
            differences.append(name)
    return differences


def without_accessed_and_dirty(table: bytes) -> bytes:
    entries = (int.from_bytes(table[at : at + 8], "little") for at in range(0, PAGE_BYTES, 8))
    return b"".join((entry & ~ACCESSED_DIRTY).to_bytes(8, "little") for entry in entries)


def table_frames(model: Machine) -> set[int]:
    """The frames that hold the tables of the kernel directory."""
    frames: set[int] = set()

    def read(address: PhysicalAddress) -> bytes | None:
        frames.add(address)
        return model.physical.read_table(address)

    pages = [page for page in walk_space(read, model.cr3, PagingMode()) if isinstance(page, Mapping)]
    assert len(pages) > 50
    return frames


def test_the_layouts_of_the_model_are_those_of_the_kernels_dwarf() -> None:
    from coronel_gdb.layout.dwarf import read_facts

    facts = read_facts(KERNEL_ELF, [layout.name for layout in layouts.ALL], [])
    assert {layout.name: layout for layout in layouts.ALL} == dict(facts.layouts)
