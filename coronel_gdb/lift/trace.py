"""The trace ring as records: read at once, every record judged before it is believed (docs/spec.md §12)."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError, NotInitialised
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.trace import TraceProfile
from coronel_gdb.protocols import Target
from model.trace import Operation, TraceRecord, called
from model.types import VirtualAddress

LARGEST_CAPACITY = 1 << 20  # §12.2
_MOST_CPUS = 256
_DEEPEST = 16  # a system call, a region, its node's block, an expansion, a page, a table: 6 of them
_RECORD = struct.Struct("<QIHH6Q")
_PLAIN_RECORD = ("sequence", "operation", "cpu", "depth", "arguments", "result", "caller", "space")
_KNOWN = frozenset(Operation)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A place of the ring that holds no record that can be: where, and why."""

    number: int
    address: VirtualAddress
    why: str


@dataclass(slots=True)
class LiftedTrace:
    """The records that are there, the oldest first, up to `bad`: the first that cannot be."""

    address: VirtualAddress
    capacity: int
    next: int
    locked: int
    records: list[TraceRecord] = field(default_factory=list)
    bad: BadRecord | None = None

    @property
    def lost(self) -> int:
        """How many records were overwritten (§12.1)."""
        return max(0, self.next - self.capacity)


def lift_trace(target: Target, space: AddressSpace, profile: TraceProfile) -> LiftedTrace:
    """Read the ring; `ReadFault` when it cannot be read.

    `KernelError` when the kernel has none or describes none that can be, `NotInitialised` when it is off.
    """
    variable = target.symbol(profile.variable)
    if variable is None:
        raise KernelError(f"the kernel has no trace: no symbol {profile.variable}")
    values = profile.ring.decode(space.read(variable, profile.ring.size_bytes))
    address, capacity, following = VirtualAddress(values["ring"]), values["capacity"], values["next"]
    if not capacity or not address:
        raise NotInitialised("trace", f"{profile.variable}.{profile.ring.members['ring'].name}")
    if capacity > LARGEST_CAPACITY:
        raise KernelError(
            f"{profile.variable} is damaged: capacity {capacity:#x}, at most 2^20 can be (docs/spec.md §12.2)"
        )
    trace = LiftedTrace(address, capacity, following, values["locked"])
    size = profile.record.size_bytes
    used = min(following, capacity)
    data = space.read(address, used * size) if used else b""
    first = following - used
    cut = first % capacity * size if first else 0
    for number, record in enumerate(_decode(profile, data[cut:] + data[:cut]), first):
        why = _why_not(record, number)
        if why:
            trace.bad = BadRecord(number, VirtualAddress(address + number % capacity * size), why)
            break
        trace.records.append(record)
    return trace


def _decode(profile: TraceProfile, data: bytes) -> Iterable[TraceRecord]:
    structure = profile.record
    plain = [structure.members[role].offset_bytes for role in _PLAIN_RECORD] == [0, 8, 12, 14, 16, 40, 48, 56]
    if plain and structure.size_bytes == _RECORD.size:
        return map(TraceRecord._make, _RECORD.iter_unpack(data))
    return _decode_any(profile, data)


def _decode_any(profile: TraceProfile, data: bytes) -> Iterable[TraceRecord]:
    """Another kernel's records: field by field."""
    structure = profile.record
    for base in range(0, len(data), structure.size_bytes):
        raw = data[base : base + structure.size_bytes]
        values = structure.decode(raw)
        first, second, third = (*structure.array(raw, "arguments"), 0, 0, 0)[:3]
        yield TraceRecord(
            values["sequence"],
            values["operation"],
            values["cpu"],
            values["depth"],
            first,
            second,
            third,
            values["result"],
            values["caller"],
            values["space"],
        )


def _why_not(record: TraceRecord, number: int) -> str:
    """Why there can be no such record; empty when there can."""
    if record.sequence != number:
        return f"its sequence is {record.sequence:#x}, not {number:#x}"
    if record.operation not in _KNOWN:
        return f"there is no operation {record.operation:#x}"
    if record.depth > _DEEPEST:
        return f"a depth of {record.depth}"
    if record.cpu >= _MOST_CPUS:
        return f"a CPU {record.cpu}"
    return ""


@dataclass(frozen=True, slots=True)
class History:
    """The last operations that gave a block and took it back, as far as the ring reaches."""

    allocated: TraceRecord | None
    freed: TraceRecord | None


_GIVES = (
    Operation.HEAP_MALLOC,
    Operation.HEAP_REALLOC,
    Operation.HEAP_CALLOC,
    Operation.HEAP_ALIGNED_ALLOC,
)


def history(records: Sequence[TraceRecord], pointer: int) -> History:
    """Who allocated the block with data at `pointer` last, and who freed it after that."""
    allocated = freed = None
    for record in reversed(records):
        if record.operation in _GIVES and record.result == pointer:
            allocated = record
            break
        taken = record.operation == Operation.HEAP_FREE or (
            record.operation == Operation.HEAP_REALLOC and record.result != pointer
        )
        if freed is None and taken and record.first == pointer:
            freed = record
    return History(allocated, freed)


def describe(record: TraceRecord) -> str:
    """A record in words: its number, its call and what came of it."""
    return f"#{record.sequence} {called(record)} = {record.result:#x}"
