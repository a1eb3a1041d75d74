"""What an address of the lower half is to a process (docs/spec.md §14.4)."""

from collections.abc import Iterator

from coronel_gdb.commands.roles.blocks import block_role
from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.survey import Survey
from coronel_gdb.lift.all_spaces import who
from coronel_gdb.lift.regions import lift_list
from coronel_gdb.lift.user_heap import lift_user_heap, read_user_heap
from model.address_space import (
    ARGUMENTS,
    MMAP_START,
    PROGRAM_START,
    USER_HEAP_START,
    USER_STACK_END,
    USER_STACK_START,
)
from model.layouts import Layout
from model.records import Process
from model.types import PAGE_BYTES


def user_roles(survey: Survey, process: Process, address: int, header: Layout | None) -> Iterator[Role]:
    """The regions of one process that hold the address, the innermost last."""
    memory, name = process.memory, who(process)
    heap, stack_guard = memory.heap, USER_STACK_START - PAGE_BYTES
    for what, start, end in (
        ("null guard", 0, PROGRAM_START),
        ("code", memory.code_start, memory.code_end),
        ("data", memory.data_start, memory.data_end),
        ("heap", USER_HEAP_START, heap.heap_current),
        ("heap that it has not grown to", heap.heap_current, heap.heap_limit),
        ("stack guard", stack_guard, USER_STACK_START),
        ("stack that it has not grown to", USER_STACK_START, memory.stack_start),
        ("stack", memory.stack_start, memory.stack_end),
    ):
        if start <= address < end:
            yield Role(f"{what} of {name}", start, address - start, (), name)
    if ARGUMENTS <= address < USER_STACK_END:
        yield Role(f"arguments of {name}", ARGUMENTS, address - ARGUMENTS, (), name)
    if memory.mmap.start <= address < memory.mmap.end:
        yield _mapped(survey, process, address)
    if heap.heap_start <= address < heap.heap_current:
        if heap.locked:
            return
        profile = survey.context.profile.ring3_heap
        lifted = lift_user_heap(survey.context.space_of(memory.page_directory), heap, profile).lifted
        found = lifted and block_role(lifted, profile, header, address, lambda _: ())
        if found:
            what = f"{found.what} of the heap of {name}"
            yield Role(what, found.start, found.offset, found.details, name)


def own_heap_role(survey: Survey, address: int, header: Layout | None) -> Iterator[Role]:
    """A block of the heap of ring 3 that no process owns."""
    context, profile = survey.context, survey.context.profile.ring3_heap
    heap = read_user_heap(context.target, context.space, context.profile.user_heap)
    if heap.heap_start <= address < heap.heap_current and not heap.locked:
        lifted = lift_user_heap(context.space, heap, profile).lifted
        found = lifted and block_role(lifted, profile, header, address, lambda _: ())
        if found:
            yield Role(f"{found.what} of the user heap", found.start, found.offset, found.details)


def _mapped(survey: Survey, process: Process, address: int) -> Role:
    """An address of the mmap range: free by the process's list, or given out."""
    name = who(process)
    listed = lift_list(process.memory.mmap, survey.context.space, survey.context.profile.regions.node)
    at = int(MMAP_START)
    for region in sorted(listed.regions, key=lambda region: region.start):
        end = region.start + region.size_bytes
        if region.start <= address < end:
            what = f"free mmap region of {name}"
            return Role(what, region.start, address - region.start, (f"node {region.node:#x}",), name)
        if region.start > address:
            break
        at = max(at, end)
    return Role(f"mmap of {name}", at, address - at, (), name)
