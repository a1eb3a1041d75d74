"""Model and kernel, written apart from one text, from the same boot information to the same bytes."""

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine as Qemu
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.stopped import BOOT_SECONDS
from model import layouts, scenarios
from model.machine import Machine
from model.types import VirtualAddress
from tests.differential.kernel_side import Kernel, compare


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


def test_the_layouts_of_the_model_are_those_of_the_kernels_dwarf() -> None:
    from coronel_gdb.layout.kept_facts import read_facts

    facts = read_facts(KERNEL_ELF, [layout.name for layout in layouts.ALL], [])
    for declared in layouts.ALL:
        assert layouts.differences(declared, facts.layouts.get(declared.name)) == ()
    assert {layout.name: layout for layout in layouts.ALL} == dict(facts.layouts)
