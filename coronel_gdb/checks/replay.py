"""Findings of a replay: the first divergent operation, and bytes that no operation explains."""

from collections.abc import Callable, Mapping, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.damage import hexdump, shape
from coronel_gdb.lift.compared import Mismatch
from coronel_gdb.lift.trace import BadRecord, describe, history
from coronel_gdb.report import Finding, Watch
from model.fast.diary import Entry
from model.fast.heap import FastHeap
from model.fast.machine import FastMachine
from model.layouts import HEAP_BLOCK
from model.records import HeapBlock, HeapRules
from model.replay import Divergence, is_refusal
from model.touched import would_be_refused
from model.trace import TraceRecord, call, called
from model.types import VirtualAddress
from model.window import Contradiction

PlaceOf = Callable[[TraceRecord], str]
"""Where a record's operation was called: function, file and line."""

_SHOWN_FIELDS = 8
_OBJECTS = ("heap object", "frame manager", "region manager")
_CONTEXT_BYTES = 16
_HEADER = HeapRules().header_bytes


def divergence_finding(
    divergence: Divergence, address: int, agreed: int, place: PlaceOf, *, interleaved: bool
) -> Finding:
    """The first divergent operation; `address` is its record's in the ring."""
    code, root, record = catalogue.TRACE_DIVERGENT, divergence.root, divergence.record
    kernel = "does nothing more" if record is None else _done(record)
    model = "does nothing more" if divergence.expected is None else _entry(divergence.expected)
    lines = [
        f"operation #{divergence.sequence} {called(record or root)}, called from {place(record or root)}"
    ]
    if record is not root:
        lines.append(f"part of   #{root.sequence} {called(root)}, called from {place(root)}")
    lines += [
        f"kernel   {kernel}",
        f"model    {model}",
        f"agreed   {agreed:,} operations before it",
    ]
    if is_refusal(divergence):
        lines.append(
            "reading  the kernel refuses what a sound heap gives: a header on its way was damaged before"
        )
    if interleaved:
        lines.append(
            "doubt    another CPU's operations lie among its own; the model runs one after the other"
        )
    data = {
        "sequence": divergence.sequence,
        "interleaved": interleaved,
        "operation": called(record or root),
        "caller": place(record or root),
        "kernel": None if record is None else record.result,
        "model": None if divergence.expected is None else divergence.expected[4],
        "kernel_did": kernel,
        "model_did": model,
        "part_of": None if record is root else root.sequence,
        "agreed": agreed,
    }
    commands = (f"x/8gx {address:#x}", "heapcheck")
    return Finding(code.code, code.title, address, tuple(lines), data, commands)


def first_divergence(divergence: Divergence, place: PlaceOf) -> str:
    """The divergence in one line, for the report's summary."""
    record, expected = divergence.record, divergence.expected
    head = f"first divergent operation #{divergence.sequence}: "
    if record is not None and expected is not None and _same_call(record, expected):
        where = f", called from {place(record)}"
        return f"{head}{called(record)} returned {record.result:#x}, the model says {expected[4]:#x}{where}"
    kernel = "nothing more" if record is None else _done(record)
    model = "nothing more" if expected is None else _entry(expected)
    root = divergence.root
    return f"{head}in {called(root)} the kernel did {kernel}, the model {model}, called from {place(root)}"


def _same_call(record: TraceRecord, entry: Entry) -> bool:
    return (record.operation, record.first, record.second, record.third) == entry[:4]


def _done(record: TraceRecord) -> str:
    return f"{called(record)} = {record.result:#x}"


def _entry(entry: Entry) -> str:
    return f"{call(entry[0], entry[1:4])} = {entry[4]:#x}"


def bad_record_finding(bad: BadRecord) -> Finding:
    """A record that cannot be."""
    code = catalogue.TRACE_RECORD
    lines = (
        f"record   #{bad.number} at {bad.address:#x}: {bad.why}",
        "reading  something wrote into the ring, or the variable that describes it is damaged",
    )
    data = {"sequence": bad.number, "why": bad.why}
    return Finding(code.code, code.title, bad.address, lines, data, (f"x/8gx {bad.address:#x}",))


def contradiction_finding(found: Contradiction, address: int, place: PlaceOf) -> Finding:
    """A record that no history explains."""
    code, record = catalogue.TRACE_IMPOSSIBLE, found.record
    lines = (
        f"operation {describe(record)}, called from {place(record)}",
        f"but      {found.why}",
        f"rule     docs/spec.md {found.section}",
    )
    data = {
        "sequence": record.sequence,
        "operation": called(record),
        "why": found.why,
        "caller": place(record),
    }
    return Finding(code.code, code.title, address, lines, data, (f"x/8gx {address:#x}",))


def damage_finding(
    mismatch: Mismatch,
    machine: FastMachine,
    records: Sequence[TraceRecord],
    bounds: Mapping[int, TraceRecord],
    until: TraceRecord | None,
    place: PlaceOf,
) -> Finding:
    """A structure that differs; `bounds`: the last to look at a header, `until`: the one refused."""
    code, piece = catalogue.TRACE_UNEXPLAINED, mismatch.piece
    start, end = mismatch.start, mismatch.end
    bytes_there = mismatch.found[start - piece.address : end - piece.address]
    where = f"{piece.noun} {piece.address:#x} +{start - piece.address:#x}"
    size = f"{end - start} byte{'s' * (end - start != 1)}"
    fields = mismatch.fields
    # The shape of a counter's bytes says nothing about who wrote them.
    words = "fields" if piece.noun in _OBJECTS else shape(bytes_there).words
    lines = [f"damage   {size} at {start:#x} ({where}): {words}"]
    details = []
    for field in fields[:_SHOWN_FIELDS]:
        found, expected = mismatch.values(field)
        details.append(f"{field.name:<8} found {found:#x}  the operations leave {expected:#x}")
    if len(fields) > _SHOWN_FIELDS:
        details.append(f"… and {len(fields) - _SHOWN_FIELDS} more fields")
    data: dict[str, object] = {
        "structure": piece.noun,
        "fields": [
            {"field": field.name, "found": found, "expected": expected}
            for field in fields
            for found, expected in (mismatch.values(field),)
        ],
        "damage": {"start": start, "end": end, "bytes": bytes_there.hex(), "shape": words},
    }
    if piece.layout is HEAP_BLOCK:
        lines += _block_lines(mismatch, machine.heap, records, place, data)
        lines.append(_when(mismatch, machine.heap, bounds.get(piece.address), until, place, data))
        low = max(0, start - piece.address - _CONTEXT_BYTES)
        right = {piece.address + at: piece.data[at] for at, mask in enumerate(piece.mask) if mask == 0xFF}
        details += hexdump(mismatch.found[low:], piece.address + low, (start, end), right)
    else:
        lines += details
        details = []
    physical = piece.noun == "page table"
    commands = (f"monitor xp /8gx {start & ~7:#x}",) if physical else (Watch(start & ~7, 8), "heapcheck")
    return Finding(code.code, code.title, piece.address, tuple(lines), data, commands, tuple(details))


def _block_lines(
    mismatch: Mismatch,
    heap: FastHeap,
    records: Sequence[TraceRecord],
    place: PlaceOf,
    data: dict[str, object],
) -> list[str]:
    """The damaged block and the one before it: who has them."""
    block = mismatch.piece.address
    lines = [f"block    {_owner(block, heap, records, place)}"]
    before = heap.before[block]
    touches = before != 0 and before + _HEADER + (heap.sizes[before] & ~1) == block
    if touches and mismatch.start == block:
        lines.append(f"suspect  linear overflow out of block {_owner(before, heap, records, place)}")
    data["suspect"] = before if touches and mismatch.start == block else None
    return lines


def _owner(block: int, heap: FastHeap, records: Sequence[TraceRecord], place: PlaceOf) -> str:
    word = heap.sizes[block]
    state = "used" if word & 1 else "free"
    known = history(records, block + _HEADER)
    text = f"{block:#x} ({state}, {word & ~1} bytes)"
    if known.allocated is not None:
        text += f", allocated by {describe(known.allocated)} from {place(known.allocated)}"
    if known.freed is not None:
        text += f", freed by #{known.freed.sequence} from {place(known.freed)}"
    return text


def _when(
    mismatch: Mismatch,
    heap: FastHeap,
    last: TraceRecord | None,
    until: TraceRecord | None,
    place: PlaceOf,
    data: dict[str, object],
) -> str:
    """Between which operations the damage must have happened."""
    found, expected = _block(mismatch, mismatch.found), _block(mismatch, mismatch.piece.data)
    data["after"] = data["before"] = None
    if not would_be_refused(found, expected, heap.heap_end):
        return "when     cannot be bounded: the damaged header still passes the kernel's own checks"
    data["before"] = until.sequence if until is not None else None
    end = "the end of the trace" if until is None else f"#{until.sequence}, which the kernel refused"
    if last is None:
        return f"when     before {end}; no recorded operation is sure to have looked at this header"
    data["after"] = last.sequence
    return (
        f"when     after #{last.sequence} {called(last)} from {place(last)}, "
        f"the last operation to look at this header, and before {end}"
    )


def _block(mismatch: Mismatch, data: bytes) -> HeapBlock:
    read = {member.name: HEAP_BLOCK.read(data, member.name) for member in HEAP_BLOCK.members}
    return HeapBlock(
        VirtualAddress(mismatch.piece.address),
        read["size"],
        read["is_free"],
        VirtualAddress(read["next"]),
        VirtualAddress(read["prev"]),
        read["magic"],
    )
