"""Findings that follow from another one are told below it: one bug, one finding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from coronel_gdb.report import Finding
from model.types import PAGE_BYTES

# Nothing can be found where a pointer to it is wrong.
_OF_MANAGERS = frozenset(
    {
        *(f"FRAME{number:03}" for number in range(1, 20)),
        *(f"HEAP{number:03}" for number in range(1, 14)),
        *(f"REGION{number:03}" for number in range(1, 9)),
        *(f"SPACE{number:03}" for number in range(1, 8)),
        *("LAYOUT002", "LAYOUT003", "LAYOUT004", "LAYOUT005", "LAYOUT007", "LOCK001"),
        *("PAGE006", "PAGE011", "PAGE012", "PROC001", "PROC003", "PROC004"),
    }
)  # fmt: skip
# What one kind of damage leads to. The cause names the culprit best; the rest is its consequence.
_LEADS_TO: Mapping[str, frozenset[str]] = {
    "BOOT001": _OF_MANAGERS,
    "BOOT002": frozenset({"BOOT001", "FRAME015", "FRAME017", "FRAME018", "LAYOUT007", "PAGE011"}),
    "SPACE001": frozenset({"LAYOUT002", "HEAP013", "SPACE002", "FRAME017", "PAGE002"}),
    "SPACE002": frozenset({"SPACE001"}),
    "SPACE004": frozenset({"PROC003"}),
    "SPACE005": frozenset({"PROC003"}),
    "SPACE006": frozenset({"PROC003"}),
    "SPACE007": frozenset({"SPACE004", "SPACE005", "PROC003"}),
    "FRAME002": frozenset({"FRAME003"}),
    "FRAME003": frozenset({"FRAME010"}),
    "FRAME004": frozenset({"FRAME005", "FRAME006", "FRAME015"}),
    "FRAME006": frozenset({"FRAME005", "FRAME015"}),
    "FRAME007": frozenset({"FRAME005", "FRAME006", "FRAME015"}),
    "FRAME008": frozenset({"REGION006"}),
    "FRAME011": frozenset(
        {"SPACE001", "FRAME017", "LAYOUT002", "LAYOUT003", "PAGE002", "PAGE011", "PAGE012"}
    ),
    "FRAME013": frozenset({"LAYOUT005"}),
    "FRAME018": frozenset(
        {"FRAME001", "FRAME002", "FRAME003", "FRAME005", "FRAME006", "FRAME007", "FRAME015", "FRAME017"}
    ),
    "FRAME019": frozenset({"FRAME005", "FRAME006", "FRAME015"}),
    "PAGE011": frozenset({"PAGE006", "LAYOUT002", "LAYOUT003", "LAYOUT004", "SPACE003"}),
    "REGION003": frozenset({"REGION004", "REGION005", "REGION006"}),
    "REGION004": frozenset({"REGION005", "REGION006"}),
    "HEAP011": frozenset({"HEAP012"}),  # a free that was refused leaves its block to nobody
    "LAYOUT001": frozenset({"LAYOUT002", "LAYOUT003", "LAYOUT004", "LAYOUT005"}),
    "PROC001": frozenset({"FRAME015", "HEAP012", "PROC004"}),
    "PROC004": frozenset({"FRAME015", "HEAP012"}),
    "RUN001": frozenset({"RUN004", "RUN005"}),
    "RUN002": frozenset({"RUN004", "RUN005"}),
    "RUN003": frozenset({"RUN004", "RUN005"}),
    "CHUNK006": frozenset({"CHUNK010"}),
    "CHUNK009": frozenset({"CHUNK010"}),
    "CHUNK011": frozenset({"CHUNK005", "CHUNK008", "CHUNK009", "CHUNK010"}),
    "PROC002": frozenset({"PROC003"}),
}
_WHOLE = frozenset(
    {
        "BOOT001",
        "BOOT002",
        "FRAME018",
        "FRAME019",
        "HEAP011",
        "FRAME004",
        "FRAME006",
        "FRAME007",
        "REGION003",
        "REGION004",
        "LAYOUT001",
        "PROC001",
        "PROC004",
        "RUN001",
        "RUN002",
        "RUN003",
        "CHUNK006",
        "CHUNK009",
        "CHUNK011",
    }
)


def fold(findings: Sequence[Finding]) -> tuple[list[Finding], int]:
    """The findings without repetitions, each consequence below its cause; and how many of those there are.

    A consequence has a page or frame in common with its cause, or its cause is about a whole structure.
    """
    distinct = list({(finding.code, finding.subject): finding for finding in findings}.values())
    places = [set(_pages(finding)) for finding in distinct]
    cause_of: dict[int, int] = {}
    for cause, first in enumerate(distinct):
        for other, second in enumerate(distinct):
            if other == cause or second.code not in _LEADS_TO.get(first.code, ()):
                continue
            common = first.code in _WHOLE or places[cause] & places[other]
            if common and _root(cause, cause_of) != other:
                cause_of.setdefault(other, cause)
    below: dict[int, list[Finding]] = {}
    for other in cause_of:
        below.setdefault(_root(other, cause_of), []).append(distinct[other])
    causes = [
        _with_consequences(finding, below.get(number, []))
        for number, finding in enumerate(distinct)
        if number not in cause_of
    ]
    return causes, len(cause_of)


def _root(number: int, cause_of: Mapping[int, int]) -> int:
    while number in cause_of:
        number = cause_of[number]
    return number


def _pages(finding: Finding) -> Iterator[int]:
    """Every page or frame that the finding names."""
    yield from _addresses(finding.subject)
    yield from _addresses(finding.data)


def _addresses(value: object) -> Iterator[int]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        if value >= PAGE_BYTES:
            yield value // PAGE_BYTES
    elif isinstance(value, Mapping):
        for name, item in value.items():
            # Roots are in every place of a space, entries are no addresses: neither ties two findings.
            if name not in ("root", "entry", "process", "found", "expected", "frames"):
                yield from _addresses(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _addresses(item)


def _with_consequences(finding: Finding, below: Sequence[Finding]) -> Finding:
    if not below:
        return finding
    lines = [f"derived  {other.code} {other.title} at {other.subject:#x}" for other in below]
    derived = [{"code": other.code, "title": other.title, "subject": other.subject} for other in below]
    return replace(finding, lines=(*finding.lines, *lines), data={**finding.data, "derived": derived})
