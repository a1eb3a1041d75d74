"""One damaged structure with everything that is told about it, whatever kind of structure it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coronel_gdb.checks.catalogue import Code
from coronel_gdb.checks.damage import Field, Shape, expected_bytes, hexdump, reach, shape
from coronel_gdb.checks.suspect import Suspicion
from coronel_gdb.lift.image import Image
from coronel_gdb.report import Finding, Watch, Write
from model.invariants.base import Violation

_CONTEXT_BYTES = 16
_LONGEST_WORDS = 60
_WORD = 8
_SHOWN_BYTES = 16


@dataclass(slots=True)
class Specimen:
    """The damaged fields of the structure at `subject`, which reports call by its `noun` (`chunk`).

    `shown` are the addresses [first, end) of memory that --verbose prints.
    """

    noun: str
    subject: int
    fields: Sequence[Field]
    violations: Sequence[Violation]
    image: Image
    shown: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """Addresses [first, end) of the bytes that differ."""
        changed = [field.changed for field in self.fields]
        return min(first for first, _ in changed), max(end for _, end in changed)

    @property
    def bytes(self) -> bytes:
        """What stands there."""
        start, end = self.extent
        return self.image.bytes_at(start, end - start) or b"".join(field.found for field in self.fields)

    @property
    def shape(self) -> Shape:
        """What those bytes look like."""
        return shape(self.bytes, self.fields[0] if len(self.fields) == 1 else None)

    @property
    def run(self) -> tuple[int, int]:
        """The whole run of such bytes."""
        return reach(self.image, *self.extent, self.shape.kind)

    def finding(
        self, code: Code, suspicion: Suspicion, state: str, suspect_data: Mapping[str, object]
    ) -> Finding:
        """The report: what is damaged, who is suspected, what to do next; the rest on request."""
        start, end = self.extent
        names = " ".join(dict.fromkeys(field.name for field in self.fields))
        words = self.shape.words
        words = words if len(words) <= _LONGEST_WORDS else f'{words[: _LONGEST_WORDS - 2]}…"'
        size = end - start
        lines = (
            f"damage   {size} byte{'s' * (size > 1)} at {start:#x} "
            f"({self.noun} +{start - self.subject:#x}: {names}): {words}",
            f"suspect  {suspicion.best.text}",
        )
        data = {
            self.noun: self.subject,
            "state": state,
            "fields": [field.data() for field in self.fields],
            "damage": {
                "start": start,
                "end": end,
                "bytes": self.bytes.hex(),
                "shape": self.shape.words,
                "run": list(self.run),
            },
            "suspect": suspect_data,
        }
        repair = tuple(
            Write(field.address, field.expected) for field in self.fields if field.expected is not None
        )
        note = "each of these fields as everything else implies it" if repair else ""
        watch = Watch(start & ~(_WORD - 1), _WORD)
        details = tuple(self._details(suspicion))
        return Finding(code.code, code.title, self.subject, lines, data, (watch,), details, repair, note)

    def _details(self, suspicion: Suspicion) -> Iterator[str]:
        yield from field_lines(self.fields)
        yield from suspicion_lines(suspicion)
        yield from rule_lines(self.violations)
        yield "history  not known: the kernel keeps no trace"
        first = max(self.image.start, self.shown[0] - _CONTEXT_BYTES)
        last = min(self.image.end, self.shown[1] + _CONTEXT_BYTES)
        memory = self.image.bytes_at(first, last - first)
        if memory:
            yield from hexdump(memory, first, self.extent, expected_bytes(self.fields))


def field_lines(fields: Sequence[Field]) -> Iterator[str]:
    """What was found in each field, what must stand there, and why."""
    width = max(8, *(len(field.name) for field in fields))
    for field in fields:
        wanted = "" if field.expected is None else f"  expected {_words(field.expected)}"
        because = f": {field.because}" if field.because else ""
        yield f"{field.name:<{width}} found {_words(field.found)}{wanted}{because}"


def _words(data: bytes) -> str:
    """A word as a number, of a longer field its first bytes."""
    if len(data) <= _WORD:
        return f"{int.from_bytes(data, 'little'):#x}"
    more = " …" if len(data) > _SHOWN_BYTES else ""
    return f"{data[:_SHOWN_BYTES].hex(' ')}{more}"


def suspicion_lines(suspicion: Suspicion) -> Iterator[str]:
    """Who else it can have been, and who not."""
    for rival in suspicion.rivals:
        yield f"rival    {rival.text}"
    for other in suspicion.rejected:
        yield f"not      {other.text}: {other.rejected}"


def rule_lines(violations: Sequence[Violation]) -> Iterator[str]:
    """The invariants that are broken."""
    for rule in dict.fromkeys(violation.invariant for violation in violations):
        yield f"rule     {rule.id}: {rule.formula} ({rule.reason})"
