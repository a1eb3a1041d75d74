"""The block of a heap that an address lies in, between its neighbours."""

from collections.abc import Callable, Iterable, Iterator

from coronel_gdb.checks.heap import state_of
from coronel_gdb.commands.roles.role import Role, field_at
from coronel_gdb.lift.heap import LiftedHeap
from coronel_gdb.profiles.schema import HeapProfile
from model.layouts import Layout
from model.records import HeapBlock

History = Callable[[int], tuple[str, ...]]


def block_role(
    lifted: LiftedHeap,
    profile: HeapProfile,
    layout: Layout | None,
    address: int,
    told: History,
) -> Role | None:
    """The address as part of a block; None when it lies in none. `told` knows a block's past by its data."""
    if not lifted.image.start <= address < lifted.image.end:
        return None
    header = profile.rules.header_bytes
    for before, block, after in _threes(lifted.all_blocks(profile)):
        if not block.address <= address < _end(block, after, lifted, header):
            continue
        offset = address - block.address
        state = f"{state_of(block, profile.rules)} block {_size(block, lifted, header)}"
        if offset < header:
            what, start = f"header ({field_at(layout, offset)}) of a {state}", int(block.address)
        else:
            what, start, offset = f"data of a {state}", block.address + header, offset - header
        around = [
            f"{side} {one.address:#x} ({state_of(one, profile.rules)}, {_size(one, lifted, header)})"
            for side, one in (("before it", before), ("behind it", after))
            if one is not None
        ]
        return Role(what, start, offset, (*told(block.address + header), *around))
    return None


def _threes(
    blocks: Iterable[HeapBlock],
) -> Iterator[tuple[HeapBlock | None, HeapBlock, HeapBlock | None]]:
    before: HeapBlock | None = None
    block: HeapBlock | None = None
    for after in blocks:
        if block is not None:
            yield before, block, after
        before, block = block, after
    if block is not None:
        yield before, block, None


def _end(block: HeapBlock, after: HeapBlock | None, lifted: LiftedHeap, header: int) -> int:
    """Where a block ends: by its successor where its own size cannot be true."""
    end = block.address + header + block.size_bytes
    if after is not None and after.address > block.address and not end <= after.address:
        return after.address
    return min(end, lifted.image.end)


def _size(block: HeapBlock, lifted: LiftedHeap, header: int) -> str:
    """A block's size, or what its damaged field says."""
    if block.address + header + block.size_bytes > lifted.image.end:
        return f"whose size field says {block.size_bytes:#x}"
    return f"of {block.size_bytes:,} bytes"
