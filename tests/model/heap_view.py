"""The kernel heap as its bytes show it, by the offsets of docs/spec.md §7.1 and §10.

On the 32 MiB machine the first region is [B, B + 0x10000). Blocks are described by their offset from B: a
block at `at` has its data at `at + 48`.
"""

import struct

from model.errors import ErrorKind
from model.machine import Machine
from model.types import VirtualAddress

B = 0xFFFF_FFFF_8040_0000
FREE, USED = 0xDEADBEEFCAFEBABE, 0xFEEDFACEDEADC0DE
HEAP = 0xFFFF_FFFF_8033_62D0
U64 = 1 << 64


def field(machine: Machine, offset: int) -> int:
    """A field of `memory::heap` by the offset that §10 gives."""
    return machine.memory.read_u64(VirtualAddress(HEAP + offset))


def totals(machine: Machine) -> tuple[int, int]:
    return field(machine, 32), field(machine, 40)


def counts(machine: Machine) -> tuple[int, int, int]:
    """num_allocations_, num_frees_, num_expansions_."""
    return field(machine, 48), field(machine, 56), field(machine, 64)


def errors(machine: Machine) -> list[int]:
    return [field(machine, 72 + 8 * kind) for kind in ErrorKind]


def blocks(machine: Machine) -> list[tuple[int, int, str]]:
    """Offset, size and state of every block of the list; headers and links are checked on the way."""
    found, previous, at = [], 0, field(machine, 24)
    while at:
        raw = machine.memory.read(VirtualAddress(at), 48)
        size, is_free, following, back, magic = struct.unpack("<QB7xQQQ8x", raw)
        assert back == previous
        assert (is_free, magic) in ((1, FREE), (0, USED))
        found.append((at - B, size, "free" if is_free else "used"))
        previous, at = at, following
    assert totals(machine) == (
        sum(size for _, size, state in found if state == "used"),
        sum(size for _, size, state in found if state == "free"),
    )
    return found


def fill(machine: Machine, pointer: int, size: int, value: int) -> None:
    machine.memory.fill(VirtualAddress(pointer), size, value)


def read(machine: Machine, pointer: int, size: int) -> bytes:
    return machine.memory.read(VirtualAddress(pointer), size)


def poke(machine: Machine, at: int, offset: int, value: int) -> None:
    """Damage the header of the block at offset `at`."""
    machine.memory.write_u64(VirtualAddress(B + at + offset), value)


def whole_heap(machine: Machine) -> bytes:
    """All of the first region, and the heap object without its error counters."""
    return read(machine, B, 0x10000) + read(machine, HEAP, 72)


def expect_refusal(machine: Machine, before: bytes, kind: ErrorKind) -> None:
    assert errors(machine) == [int(kind == other) for other in ErrorKind]
    assert whole_heap(machine) == before


def drain(machine: Machine, leave: int) -> None:
    while machine.frames.free_count > leave:
        machine.frames.alloc()
