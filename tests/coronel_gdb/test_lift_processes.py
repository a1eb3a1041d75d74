"""The list of processes on a simulated machine: read whole, bounded, past nothing that is damaged."""

import pytest

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.processes import LiftedProcesses, lift_processes
from coronel_gdb.profiles.resolve import built_in, resolve
from model.types import VirtualAddress
from tests.coronel_gdb.user_side import UserSide, user_side


def lift(side: UserSide) -> LiftedProcesses:
    context = side.context()
    return lift_processes(context.target, context.space, context.profile)


def test_every_process_with_what_it_has() -> None:
    side = user_side("alpha", "beta", "a name that is far too long")
    lifted = lift(side)
    assert lifted.stop == 0
    assert [(p.pid, p.title) for p in lifted.processes] == [
        (1, "alpha"),
        (2, "beta"),
        (3, "a name that is "),
    ]
    first = lifted.processes[0].memory
    assert (first.code_start, first.stack_end) == (0x40_0000, 0x8000_0000)
    assert (first.heap.first_block, first.heap.num_blocks) == (0x800_0000, 2)
    assert (first.mmap.start, first.mmap.count) == (0x4000_0000, 1)
    assert first.mmap.address == lifted.processes[0].address + 184


def test_no_process_is_an_empty_list() -> None:
    assert lift(user_side()).processes == []


@pytest.mark.parametrize("pointer", [8, 0x7FFF_FFFF_FFF8, 0xFFFF_FFFF_FFFF_FFF8, 0x1234_5678_9ABC_DEF1])
def test_a_wild_pointer_ends_the_list_and_is_kept(pointer: int) -> None:
    side = user_side("alpha", "beta")
    side.processes[0].set("next", pointer)
    lifted = lift(side)
    assert [p.pid for p in lifted.processes] == [1]
    assert lifted.stop == pointer


def test_a_cycle_ends() -> None:
    side = user_side("alpha", "beta", "gamma")
    side.processes[2].set("next", side.processes[1].address)
    lifted = lift(side)
    assert [p.pid for p in lifted.processes] == [1, 2, 3]
    assert lifted.stop == side.processes[1].address


def test_a_kernel_without_processes_keeps_everything_else() -> None:
    (profile,) = (profile for profile in built_in() if profile.name == "coronel")
    sections = {name: table for name, table in profile.sections.items() if name != "processes"}
    resolved = resolve(type(profile)(profile.name, profile.match, sections), None)
    assert (resolved.processes, resolved.heap.rules.header_bytes) == (None, 48)
    context = user_side("alpha").context()
    with pytest.raises(KernelError, match="knows none"):
        lift_processes(context.target, context.space, resolved)


def test_a_name_of_raw_bytes_is_shown_harmlessly() -> None:
    side = user_side("alpha")
    side.machine.memory.write(VirtualAddress(side.processes[0].address + 288), b"\x1b[2J\xff!\0")
    assert lift(side).processes[0].title == ".[2J.!"
