"""Findings about a heap: violations of one block become one finding, with the suspect beside it."""

from collections.abc import Iterator, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.checks.damage import Field, hexdump, shape
from coronel_gdb.lift.heap import LiftedHeap
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.report import Finding
from model.invariants import heap as rules_of_heap
from model.invariants.base import Verdict, Violation
from model.records import HeapBlock, HeapRules

_CONTEXT_BYTES = 16
_BY_FIELD = {
    "magic": catalogue.MAGIC,
    "is_free": catalogue.STATE,
    "size": catalogue.SIZE,
    "next": catalogue.LINK,
    "prev": catalogue.LINK,
    "address": catalogue.ALIGNMENT,
}


def heap_findings(lifted: LiftedHeap, verdict: Verdict, profile: HeapProfile) -> list[Finding]:
    """One finding a damaged block, in list order, then the heap's counters, then lost blocks."""
    by_subject: dict[int, list[Violation]] = {}
    for violation in verdict.violations:
        by_subject.setdefault(violation.subject, []).append(violation)
    counters = by_subject.pop(lifted.heap.address, [])
    findings = []
    positions = {block.address: index for index, block in enumerate(lifted.blocks)}
    for index, block in enumerate(lifted.blocks):
        before = lifted.blocks[index - 1] if index else None
        violations = by_subject.get(block.address, [])
        unmerged = [v for v in violations if v.invariant is rules_of_heap.UNMERGED]
        damaged = [v for v in violations if v.invariant is not rules_of_heap.UNMERGED]
        if damaged:
            code = _code(damaged, leads_back=positions.get(block.next, index + 1) <= index)
            findings.append(_block_finding(lifted, block, before, code, damaged, profile))
        findings += [_unmerged(block, violation) for violation in unmerged]
    findings += [_counter(violation, profile) for violation in counters]
    if lifted.end is not None:
        findings.append(_lost(lifted))
    return findings


def state_of(block: HeapBlock, rules: HeapRules) -> str:
    """State of a block by its magic."""
    return {rules.magic_free: "free", rules.magic_used: "used"}.get(block.magic, "state unknown")


def _block_finding(
    lifted: LiftedHeap,
    block: HeapBlock,
    before: HeapBlock | None,
    code: Code,
    violations: Sequence[Violation],
    profile: HeapProfile,
) -> Finding:
    fields = sorted(_fields(lifted, block, violations, profile), key=lambda field: field.address)
    start = min(field.changed[0] for field in fields)
    end = max(field.changed[1] for field in fields)
    damaged = lifted.image.bytes_at(start, end - start) or b""
    text, suspect = _suspect(block, before, start, end, profile)
    lines = [
        f"damage   {end - start} bytes at {start:#x} (header +{start - block.address:#x}): {shape(damaged)}"
    ]
    width = max(len(field.name) for field in fields)
    for field in fields:
        found = int.from_bytes(field.found, "little")
        wanted = "" if field.expected is None else f"  expected {int.from_bytes(field.expected, 'little'):#x}"
        lines.append(
            f"{field.name:<{max(width, 8)}} found {found:#x}{wanted}"
            + (f": {field.because}" if field.because else "")
        )
    lines.append(f"suspect  {text}")
    context = max(lifted.image.start, block.address - _CONTEXT_BYTES)
    memory = lifted.image.bytes_at(
        context, block.address + profile.rules.header_bytes + _CONTEXT_BYTES - context
    )
    dump = hexdump(memory, context, (start, end)) if memory else []
    return Finding(
        code.code,
        code.title,
        block.address,
        (*lines, *dump),
        {
            "block": block.address,
            "state": state_of(block, profile.rules),
            "fields": [field.data() for field in fields],
            "damage": {"start": start, "end": end, "bytes": damaged.hex(), "shape": shape(damaged)},
            "suspect": suspect,
        },
        (f"watch -l *(unsigned long *){start & ~7:#x}", f"x/16gx {block.address:#x}"),
    )


def _fields(
    lifted: LiftedHeap, block: HeapBlock, violations: Sequence[Violation], profile: HeapProfile
) -> Iterator[Field]:
    for violation in violations:
        if violation.field == "address":
            yield Field(
                "address",
                block.address,
                block.address.to_bytes(8, "little"),
                None,
                "",
                violation.invariant.id,
            )
            continue
        member = profile.block.members[violation.field]
        size = member.size_bytes
        address = block.address + member.offset_bytes
        found = violation.found.to_bytes(size, "little")
        expected = None if violation.expected is None else violation.expected.to_bytes(size, "little")
        yield Field(violation.field, address, found, expected, violation.because, violation.invariant.id)


def _code(violations: Sequence[Violation], *, leads_back: bool) -> Code:
    """The kind of damage; `leads_back` says whether the block's next comes earlier in the list."""
    fields = {violation.field for violation in violations}
    if len(fields) > 1:
        return catalogue.HEADER
    (field,) = fields
    return catalogue.CYCLE if field == "next" and leads_back else _BY_FIELD[field]


def _suspect(
    block: HeapBlock, before: HeapBlock | None, start: int, end: int, profile: HeapProfile
) -> tuple[str, dict[str, object]]:
    """Who wrote here, by where the damage begins and ends, as text and as data; or "cannot tell"."""
    header = profile.rules.header_bytes
    touched = before is not None and before.address + header + before.size_bytes == block.address
    if before is not None and touched and start == block.address:
        what = f"{state_of(before, profile.rules)}, {before.size_bytes} bytes"
        text = (
            f"linear overflow out of block {before.address:#x} ({what}): "
            f"its data ends where the damage begins, at {block.address:#x}"
        )
        return text, {"kind": "linear overflow", "block": before.address, "data": before.address + header}
    last_field = max(member.end_bytes for member in profile.block.members.values())
    if end >= block.address + last_field and start > block.address:
        text = f"underflow out of this block's own data at {block.address + header:#x}: the damage ends there"
        return text, {"kind": "underflow", "block": block.address, "data": block.address + header}
    text = "cannot tell: the damage begins at no block's edge, so a stray pointer wrote here"
    return text, {"kind": "unknown", "block": None, "data": None}


def _unmerged(block: HeapBlock, violation: Violation) -> Finding:
    code = catalogue.UNMERGED
    lines = (f"block    {block.address:#x} is free ({block.size_bytes} bytes); {violation.because}",)
    return Finding(code.code, code.title, block.address, lines, {"block": block.address})


def _counter(violation: Violation, profile: HeapProfile) -> Finding:
    code = catalogue.COUNTER
    names = {role: member.name for role, member in profile.heap.members.items()}
    names |= {"live": "num_allocations_ − num_frees_", "num_blocks": "num_blocks_"}
    name = names.get(violation.field, violation.field)
    lines = (
        f"{name} is {violation.found:#x}, the blocks say {violation.expected or 0:#x}: {violation.because}",
        "the block list is the witness here; the counter is what is off",
    )
    data = {"field": violation.field, "found": violation.found, "expected": violation.expected}
    return Finding(
        code.code, code.title, violation.subject, lines, {**data, "invariant": violation.invariant.id}
    )


def _lost(lifted: LiftedHeap) -> Finding:
    code = catalogue.LOST
    last = lifted.blocks[-1].address if lifted.blocks else lifted.heap.first_block
    lines = (f"{lifted.end}; {len(lifted.blocks)} blocks were found before", f"last block {last:#x}")
    return Finding(code.code, code.title, last, lines, {"last_block": last, "reason": lifted.end})
