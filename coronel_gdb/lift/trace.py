"""The trace ring as records: read at once, every record judged before it is believed (docs/spec.md §12)."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError, NotInitialised
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.trace import TraceProfile
from coronel_gdb.protocols import Target
from model.trace import KERNEL_CALLS, Calls, Operation, TraceRecord, called
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
    read_from: int = 0
    """The number of the oldest record that was read."""

    @property
    def lost(self) -> int:
        """How many records were overwritten (§12.1), or not read."""
        return max(self.read_from, self.next - self.capacity)


def lift_trace(
    target: Target, space: AddressSpace, profile: TraceProfile, newest: int = LARGEST_CAPACITY
) -> LiftedTrace:
    """Read the ring, no more than its `newest` records; `ReadFault` when it cannot be read.

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
    used = min(following, capacity, newest)
    first = following - used
    begin = first % capacity
    upper = min(used, capacity - begin)  # the rest lies at the ring's start
    data = space.read(VirtualAddress(address + begin * size), upper * size) if used else b""
    if used > upper:
        data += space.read(address, (used - upper) * size)
    trace.read_from = first
    for number, record in enumerate(_decode(profile, data), first):
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


def history(records: Sequence[TraceRecord], pointer: int, calls: Calls = KERNEL_CALLS) -> History:
    """Who allocated the block with data at `pointer` last, and who freed it after that."""
    allocated = freed = None
    for record in reversed(records):
        if record.result == pointer and calls.gives(record):
            allocated = record
            break
        if freed is None and record.first == pointer and calls.takes(record) == pointer:
            freed = record
    return History(allocated, freed)


def describe(record: TraceRecord) -> str:
    """A record in words: its number, its call and what came of it."""
    return f"#{record.sequence} {called(record)} = {record.result:#x}"
