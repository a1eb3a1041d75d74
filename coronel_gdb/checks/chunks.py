"""Findings about a heap with boundary tags: violations of one chunk become one finding, with the suspect."""

from collections.abc import Iterator, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.checks.damage import Field, is_plain
from coronel_gdb.checks.specimen import Specimen
from coronel_gdb.checks.suspect import Damage, Hypothesis, Suspicion, suspect, suspect_freed
from coronel_gdb.lift.chunks import LiftedArena
from coronel_gdb.report import Finding, Watch, Write
from model.invariants import chunks as rules_of_chunks
from model.invariants.base import Verdict, Violation
from model.records import Chunk, HeapBlock, HeapRules
from model.types import VirtualAddress

_WORD = 8
_SHOWN_BYTES = 48
_FREE, _USED = 1, 2  # stand for the magics that chunks do not have
_BY_FIELD = {"size": catalogue.CHUNK_SIZE, "prev_size": catalogue.CHUNK_TAG}
_LINKS = ("fd", "bk")
_PLAIN = {
    rules_of_chunks.UNMERGED: (
        catalogue.CHUNK_UNMERGED,
        "missing merge",
        "a free that did not coalesce, or a flag that was cleared",
    ),
    rules_of_chunks.BINNED: (
        catalogue.CHUNK_UNBINNED,
        "lost chunk",
        "a path that takes a chunk out of its bin, and neither gives it out nor puts it back",
    ),
    rules_of_chunks.MEMBER: (
        catalogue.CHUNK_MEMBER,
        "double free",
        "double free of this chunk, which was given out again since: its bin still has it",
    ),
}
_FIELDS = (
    rules_of_chunks.SIZE,
    rules_of_chunks.FLAGS,
    rules_of_chunks.PREV_SIZE,
    rules_of_chunks.FD,
    rules_of_chunks.BK,
)


def chunk_findings(lifted: LiftedArena, verdict: Verdict) -> list[Finding]:
    """One finding a damaged chunk, by address, then bins and the arena's own fields, then lost chunks."""
    by_subject: dict[int, list[Violation]] = {}
    for violation in verdict.violations:
        by_subject.setdefault(violation.subject, []).append(violation)
    findings = []
    free = lifted.free()
    for index, chunk in enumerate(lifted.chunks):
        violations = by_subject.pop(chunk.address, [])
        damaged = [violation for violation in violations if violation.invariant in _FIELDS]
        if damaged:
            findings.append(_Damaged(lifted, index, free, damaged).finding())
        findings += [_plain(lifted, v) for v in violations if v.invariant in _PLAIN]
    findings += [_of_arena(lifted, violation) for group in by_subject.values() for violation in group]
    if lifted.end is not None:
        findings.append(_lost(lifted))
    return findings


class _Damaged:
    """One damaged chunk; to those who judge it, its size is the header of a block behind it.

    What a caller has of a chunk reaches over the prev_size of the next one up to its size.
    """

    def __init__(
        self, lifted: LiftedArena, index: int, free: Sequence[bool], violations: Sequence[Violation]
    ) -> None:
        self.lifted, self.index, self.free, self.violations = lifted, index, free, violations
        self.chunk = lifted.chunks[index]
        fields = sorted(_fields(self.chunk, violations, lifted), key=lambda field: field.address)
        first = self.chunk.address
        self.specimen = Specimen(
            "chunk", first, fields, violations, lifted.image, (first, first + _SHOWN_BYTES)
        )
        self.names = {field.name for field in fields}

    def finding(self) -> Finding:
        suspicion = self.suspicion()
        best = suspicion.best
        chunk = None if best.block is None else best.block - self.lifted.fields.size
        data = None if chunk is None else chunk + self.lifted.fields.fd
        state = "free" if self.free[self.index] else "used"
        state = "top" if self.chunk.address == self.lifted.arena.top else state
        about = {"kind": best.kind, "chunk": chunk, "data": data, "direction": best.direction}
        return self.specimen.finding(self.code(), suspicion, state, about)

    def code(self) -> Code:
        """The kind of damage."""
        if all(name in _LINKS for name in self.names):
            return catalogue.CHUNK_CYCLE if self.links_itself() else catalogue.CHUNK_LINK
        if len(self.names) > 1:
            return catalogue.CHUNK_HEADER
        is_flags = all(violation.invariant is rules_of_chunks.FLAGS for violation in self.violations)
        return catalogue.CHUNK_FLAGS if is_flags else _BY_FIELD[next(iter(self.names))]

    def links_itself(self) -> bool:
        """Whether the chunk follows itself in its bin: freeing it a second time does that."""
        return self.chunk.address in (self.chunk.fd, self.chunk.bk)

    def suspicion(self) -> Suspicion:
        """Who did it, by the place of the damage: a header, a free chunk's links, or its boundary tag."""
        specimen, rules, before = self.specimen, self.rules(), self.before()
        extent, run = specimen.extent, specimen.run
        plain = is_plain(specimen.bytes[0])
        if self.links_itself() and self.names <= set(_LINKS):
            return self.freed_twice()
        block = self.block(self.index)
        if self.names == {"prev_size"} and before:
            # The boundary tag lies in the data of the free chunk in front.
            damage = Damage(before[0], *extent, run, specimen.shape, plain)
            return suspect_freed(damage, self.name(before[0], rules), before[1:], rules, self.name)
        if self.names <= set(_LINKS) and self.free[self.index]:
            damage = Damage(block, *extent, run, specimen.shape, plain)
            return suspect_freed(damage, self.name(block, rules), before, rules, self.name)
        damage = Damage(block, *extent, run, specimen.shape, plain)
        return suspect(damage, before, rules, None, self.name)

    def freed_twice(self) -> Suspicion:
        """Both frees linked the chunk in."""
        text = f"double free of chunk {self.chunk.address:#x}: its second free put it in front of itself"
        block = self.chunk.address + self.lifted.fields.size
        return Suspicion(Hypothesis("double free", text, block), (), ())

    def rules(self) -> HeapRules:
        return HeapRules(_WORD, 1, 1, _FREE, _USED)

    def before(self) -> list[HeapBlock]:
        """The chunks in front, the nearest first."""
        return [self.block(index) for index in range(self.index - 1, max(-1, self.index - 9), -1)]

    def block(self, index: int) -> HeapBlock:
        """A chunk as a block whose header is the size field and whose data ends at the next one."""
        chunk, nowhere = self.lifted.chunks[index], VirtualAddress(0)
        size = max(0, self.lifted.size_of(index) - _WORD)
        magic = _FREE if self.free[index] else _USED
        place = VirtualAddress(chunk.address + self.lifted.fields.size)
        return HeapBlock(place, size, int(self.free[index]), nowhere, nowhere, magic)

    def name(self, block: HeapBlock, _: HeapRules) -> str:
        state = "free" if block.is_free else "used"
        size = block.size_bytes + _WORD
        return f"chunk {block.address - self.lifted.fields.size:#x} ({state}, {size} bytes)"


def _fields(chunk: Chunk, violations: Sequence[Violation], lifted: LiftedArena) -> Iterator[Field]:
    for violation in violations:
        address = chunk.address + getattr(lifted.fields, violation.field)
        found = violation.found.to_bytes(_WORD, "little")
        expected = None if violation.expected is None else violation.expected.to_bytes(_WORD, "little")
        yield Field(violation.field, address, found, expected, violation.because, violation.invariant.id)


def _plain(lifted: LiftedArena, violation: Violation) -> Finding:
    code, kind, text = _PLAIN[violation.invariant]
    chunk = violation.subject
    lines = (f"chunk    {chunk:#x}: {violation.because}", f"suspect  {text}")
    suspect = {"kind": kind, "chunk": chunk, "data": None, "direction": None}
    data = {"chunk": chunk, "invariant": violation.invariant.id, "suspect": suspect}
    watch = (Watch(chunk + lifted.fields.size, _WORD),)
    return Finding(code.code, code.title, chunk, lines, data, watch, (_rule(violation),))


def _of_arena(lifted: LiftedArena, violation: Violation) -> Finding:
    """A head of a bin, top, or a counter: the chunks are the witness."""
    is_head = violation.field in _LINKS
    code = catalogue.CHUNK_LINK if is_head else catalogue.CHUNK_COUNTER
    noun = f"{violation.field} of bin {violation.subject:#x}" if is_head else violation.field
    wanted = "" if violation.expected is None else f", expected {violation.expected:#x}"
    lines = (
        f"{noun} is {violation.found:#x}{wanted}: {violation.because}",
        _rule(violation),
    )
    data = {
        "field": violation.field,
        "found": violation.found,
        "expected": violation.expected,
        "invariant": violation.invariant.id,
    }
    if not is_head or violation.expected is None:
        return Finding(code.code, code.title, violation.subject, lines, data)
    address = violation.subject + getattr(lifted.fields, violation.field)
    write = (Write(address, violation.expected.to_bytes(_WORD, "little")),)
    watch = (Watch(address, _WORD),)
    note = "the bin's ring is whole then"
    return Finding(code.code, code.title, violation.subject, lines, data, watch, (), write, note)


def _lost(lifted: LiftedArena) -> Finding:
    code = catalogue.CHUNK_LOST
    last = lifted.chunks[-1].address if lifted.chunks else lifted.arena.start
    lines = (f"{lifted.end}; {len(lifted.chunks)} chunks were found before", f"last chunk {last:#x}")
    return Finding(code.code, code.title, last, lines, {"last_chunk": last, "reason": lifted.end})


def _rule(violation: Violation) -> str:
    return f"rule     {violation.invariant.formula} ({violation.invariant.reason})"
