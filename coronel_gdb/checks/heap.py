"""Findings about a heap: violations of one block become one finding, with the suspect beside it."""

from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.checks.damage import Field, Shape, expected_bytes, hexdump, is_plain, reach, shape
from coronel_gdb.checks.repair import is_sound_with
from coronel_gdb.checks.specimen import field_lines, suspicion_lines
from coronel_gdb.checks.suspect import Damage, Suspicion, suspect
from coronel_gdb.lift.chronicle import Owned
from coronel_gdb.lift.heap import LiftedHeap
from coronel_gdb.lift.image import Image
from coronel_gdb.profiles.schema import HeapProfile
from coronel_gdb.report import Finding, Watch, Write
from model.invariants import heap as rules_of_heap
from model.invariants.base import Invariant, Quirk, Verdict, Violation
from model.records import HeapBlock, HeapRules

_IN_RING_3 = {"heap_end": "heap_current"}
"""What a heap of ring 3 calls a field of the heap object."""
_COUNTERS = {"live": "num_allocations_ − num_frees_"}
_CONTEXT_BYTES = 16
_SHOWN_REFERENCES = 4
_LONGEST_WORDS = 60
_BY_FIELD = {
    "magic": catalogue.MAGIC,
    "is_free": catalogue.STATE,
    "size": catalogue.SIZE,
    "next": catalogue.LINK,
    "prev": catalogue.LINK,
    "address": catalogue.ALIGNMENT,
}


class History(Protocol):
    """Who had what in this heap."""

    def of(self, pointer: int) -> Sequence[str]:
        """Who allocated and freed the block with data at `pointer`, newest first, in words."""

    def formerly(self, start: int, end: int) -> Owned | None:
        """The freed block that held [start, end) last, when no live one does."""


class NoHistory:
    """For a target that keeps no trace."""

    def of(self, _: int) -> Sequence[str]:
        """Nothing is known."""
        return ("not known: the kernel keeps no trace",)

    def formerly(self, _start: int, _end: int) -> None:
        """Nothing is known."""
        return


_NO_HISTORY = NoHistory()


def heap_findings(
    lifted: LiftedHeap,
    verdict: Verdict,
    profile: HeapProfile,
    history: History = _NO_HISTORY,
    not_kept: Container[Invariant] = (),
) -> list[Finding]:
    """One finding a damaged block, in list order, then the heap's counters, then lost blocks.

    `not_kept` are rules about counters that a heap of this kind does not have.
    """
    by_subject: dict[int, list[Violation]] = {}
    for violation in verdict.violations:
        by_subject.setdefault(violation.subject, []).append(violation)
    counters = by_subject.pop(lifted.heap.address, [])
    findings = []
    verified = is_sound_with(lifted, verdict.violations, profile.rules, not_kept)
    positions = {block.address: index for index, block in enumerate(lifted.blocks)}
    for index, block in enumerate(lifted.blocks):
        violations = by_subject.get(block.address, [])
        unmerged = [v for v in violations if v.invariant is rules_of_heap.UNMERGED]
        damaged = [v for v in violations if v.invariant is not rules_of_heap.UNMERGED]
        if damaged:
            code = _code(damaged, leads_back=positions.get(block.next, index + 1) <= index)
            specimen = _Specimen(lifted, index, damaged, profile, history)
            findings.append(specimen.finding(code, verified=verified))
        findings += [_unmerged(block, violation) for violation in unmerged]
    findings += [_counter(violation, profile) for violation in counters]
    if lifted.end is not None and len(lifted.blocks) not in lifted.gaps:
        findings.append(_lost(lifted))
    return findings


def state_of(block: HeapBlock, rules: HeapRules) -> str:
    """State of a block by its magic, where blocks have one."""
    if not rules.has_magic:
        return {1: "free", 0: "used"}.get(block.is_free, "state unknown")
    return {rules.magic_free: "free", rules.magic_used: "used"}.get(block.magic, "state unknown")


class _Specimen:
    """One damaged header with everything that is told about it."""

    def __init__(
        self,
        lifted: LiftedHeap,
        index: int,
        violations: Sequence[Violation],
        profile: HeapProfile,
        history: History,
    ) -> None:
        self.history = history
        self.lifted, self.index, self.violations, self.profile = lifted, index, violations, profile
        self.block = lifted.blocks[index]
        self.fields = sorted(
            _fields(self.block, violations, profile, lifted.image), key=lambda field: field.address
        )
        self.start = min(field.changed[0] for field in self.fields)
        self.end = max(field.changed[1] for field in self.fields)
        self.bytes = lifted.image.bytes_at(self.start, self.end - self.start) or b""
        self.shape: Shape = shape(self.bytes, self.fields[0] if len(self.fields) == 1 else None)
        self.run = reach(lifted.image, self.start, self.end, self.shape.kind)
        damage = Damage(self.block, self.start, self.end, self.run, self.shape, is_plain(self.bytes[0]))
        formerly = history.formerly(self.start, self.end)
        self.suspicion: Suspicion = suspect(damage, lifted.blocks[:index][::-1], profile.rules, formerly)

    def finding(self, code: Code, *, verified: bool) -> Finding:
        """The report: what is damaged, who is suspected, what to do next; the rest on request."""
        header, repair = self.profile.rules.header_bytes, list(self.repair())
        names = " ".join(field.name for field in self.fields)
        size = self.end - self.start
        words = self.shape.words
        words = words if len(words) <= _LONGEST_WORDS else f'{words[: _LONGEST_WORDS - 2]}…"'
        lines = (
            f"damage   {size} byte{'s' * (size > 1)} at {self.start:#x} "
            f"(header +{self.start - self.block.address:#x}: {names}): {words}",
            f"suspect  {self.suspicion.best.text}",
        )
        data = {
            "block": self.block.address,
            "state": state_of(self.block, self.profile.rules),
            "fields": [field.data() for field in self.fields],
            "damage": {
                "start": self.start,
                "end": self.end,
                "bytes": self.bytes.hex(),
                "shape": self.shape.words,
                "run": list(self.run),
            },
            "suspect": self.suspicion.best.data(header),
            "rivals": [rival.data(header) for rival in self.suspicion.rivals],
        }
        watch = Watch(self.start & ~7, 8)
        details = tuple(self.details())
        note = (
            "verified on a copy: all invariants hold then" if verified else "not everything is repaired then"
        )
        subject = self.block.address
        return Finding(code.code, code.title, subject, lines, data, (watch,), details, tuple(repair), note)

    def details(self) -> Iterator[str]:
        """Everything else, most important first."""
        header = self.profile.rules.header_bytes
        size = next((field.expected for field in self.fields if field.name == "size"), None)
        extent = self.block.size_bytes if size is None else int.from_bytes(size, "little")
        end = self.block.address + header + extent
        state = state_of(self.block, self.profile.rules)
        yield f"object   block {self.block.address:#x}..{end:#x}, {state}, {extent:,} bytes of data"
        yield from field_lines(self.fields)
        yield from suspicion_lines(self.suspicion)
        for violation in self.violations:
            rule = violation.invariant
            yield f"rule     {rule.id}: {rule.formula} ({rule.reason})"
        yield from self.neighbours()
        culprit = self.suspicion.best.block
        if culprit is not None and culprit != self.block.address:
            yield from (f"culprit  {line}" for line in self.history.of(culprit + header))
        yield from (f"history  {line}" for line in self.history.of(self.block.address + header))
        yield self.references()
        image = self.lifted.image
        first = max(image.start, self.block.address - _CONTEXT_BYTES)
        memory = image.bytes_at(first, self.block.address + header + _CONTEXT_BYTES - first)
        if memory:
            yield from hexdump(memory, first, (self.start, self.end), expected_bytes(self.fields))

    def neighbours(self) -> Iterator[str]:
        """The blocks on both sides."""
        blocks = self.lifted.blocks
        for where, index in (("before", self.index - 1), ("after", self.index + 1)):
            if 0 <= index < len(blocks):
                block = blocks[index]
                state = state_of(block, self.profile.rules)
                yield f"{where:<8} block {block.address:#x}, {state}, {block.size_bytes:,} bytes"

    def references(self) -> str:
        """Who in the heap still points to the block's data."""
        data = self.block.address + self.profile.rules.header_bytes
        image = self.lifted.image
        found = [at for at in image.find(data.to_bytes(8, "little"), image.start) if at % 8 == 0]
        shown = ", ".join(f"{at:#x}" for at in found[:_SHOWN_REFERENCES])
        return f"pointers {len(found)} in the heap point to its data" + (f": {shown}" if shown else "")

    def repair(self) -> Iterator[Write]:
        """The writes that give each damaged field the value it must have."""
        for field in self.fields:
            if field.expected is not None and field.name != "address":
                yield Write(field.address, field.expected)


def _fields(
    block: HeapBlock, violations: Sequence[Violation], profile: HeapProfile, image: Image
) -> Iterator[Field]:
    wanted: dict[int, bytes] = {}  # two roles may share a field: the second keeps what the first mends
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
        raw = image.bytes_at(address, size) or violation.found.to_bytes(size, "little")
        found = profile.block.with_value(violation.field, raw, violation.found)
        expected: bytes | None = None
        if violation.expected is not None:
            kept = wanted.get(address, raw)
            expected = wanted[address] = profile.block.with_value(violation.field, kept, violation.expected)
        yield Field(violation.field, address, found, expected, violation.because, violation.invariant.id)


def _code(violations: Sequence[Violation], *, leads_back: bool) -> Code:
    """The kind of damage; `leads_back` says whether the block's next comes earlier in the list."""
    fields = {violation.field for violation in violations}
    if len(fields) > 1:
        return catalogue.HEADER
    (field,) = fields
    return catalogue.CYCLE if field == "next" and leads_back else _BY_FIELD[field]


def _unmerged(block: HeapBlock, violation: Violation) -> Finding:
    code = catalogue.UNMERGED
    lines = (f"block    {block.address:#x} is free ({block.size_bytes} bytes); {violation.because}",)
    return Finding(code.code, code.title, block.address, lines, {"block": block.address})


def _counter(violation: Violation, profile: HeapProfile) -> Finding:
    code = catalogue.COUNTER
    members = profile.heap.members
    member = members.get(violation.field) or members.get(_IN_RING_3.get(violation.field, ""))
    name = member.name if member is not None else _COUNTERS.get(violation.field, violation.field)
    say = "" if violation.expected is None else f", the blocks say {violation.expected:#x}"
    lines = (
        f"{name} is {violation.found:#x}{say}: {violation.because}",
        "the block list is the witness here; the counter is what is off",
    )
    data = {
        "field": violation.field,
        "found": violation.found,
        "expected": violation.expected,
        "invariant": violation.invariant.id,
    }
    if member is None or violation.expected is None:
        return Finding(code.code, code.title, violation.subject, lines, data)
    address = violation.subject + member.offset_bytes
    write = Write(address, violation.expected.to_bytes(member.size_bytes, "little"))
    note = "the field's own value again"
    watch = (Watch(address, member.size_bytes),)
    return Finding(code.code, code.title, violation.subject, lines, data, watch, (), (write,), note)


def quirk_fact(quirk: Quirk, profile: HeapProfile) -> tuple[str, str]:
    """What the kernel is known to do wrong, in the kernel's own names, as a fact of a report."""
    member = profile.heap.members.get(quirk.field)
    words = f"{quirk.found:#x}, not {quirk.right:#x}: {quirk.because}; statistics wrong, list sound"
    return f"quirk {member.name if member else quirk.field}", words


def _lost(lifted: LiftedHeap) -> Finding:
    code = catalogue.LOST
    last = lifted.blocks[-1].address if lifted.blocks else lifted.heap.first_block
    lines = (f"{lifted.end}; {len(lifted.blocks)} blocks were found before", f"last block {last:#x}")
    return Finding(code.code, code.title, last, lines, {"last_block": last, "reason": lifted.end})
