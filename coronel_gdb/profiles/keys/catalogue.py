"""All sections of a profile, and their reference as a document."""

from collections.abc import Iterator
from typing import Final

from coronel_gdb.profiles.keys.frames import FRAMES
from coronel_gdb.profiles.keys.heap import HEAP, USER_HEAP
from coronel_gdb.profiles.keys.key import COMMON, Key, Kind, SectionKeys
from coronel_gdb.profiles.keys.others import (
    ACTIVITY,
    BOOT_MAP,
    IMAGE,
    LEAKS,
    PAGE_ENTRY,
    PROCESSES,
    QUIRKS,
    TRACE,
)
from coronel_gdb.profiles.keys.regions import REGIONS

TOP: Final = (
    Key("name", Kind.TEXT, "the profile's name, as reports give it"),
    Key("match", Kind.SYMBOLS, "symbols that a kernel must have for this profile to fit"),
    Key(
        "match_types",
        Kind.TABLE,
        "type = size in bytes that a kernel's debug information must have for this profile to fit",
        "the symbols decide",
    ),
    Key(
        "specified",
        Kind.FLAG,
        "true where docs/spec.md is the kernel's own specification, address map and page table entries too",
        "`coronel layout` could not check; `memcheck` leaves out what rests on that address map",
    ),
    Key(
        "linear_map",
        Kind.NUMBER,
        "virtual address where physical 0 is mapped; a page that is mapped there is nobody's by that",
        "every mapped page has an owner; the map of docs/spec.md §2 where the kernel is built by it",
    ),
    Key(
        "lacks",
        Kind.WORDS,
        "sections that this kernel is known not to have: what needs them is not asked",
        "a section that is not there is unknown: what needs it is reported as not checkable (exit code 2)",
    ),
)
SCHEMED: Final = (HEAP, USER_HEAP, FRAMES, REGIONS)
"""Sections of which there is more than one form."""
SECTIONS: Final = (
    *SCHEMED,
    PROCESSES,
    IMAGE,
    ACTIVITY,
    BOOT_MAP,
    LEAKS,
    TRACE,
    QUIRKS,
    PAGE_ENTRY,
)


def section(name: str) -> SectionKeys | None:
    """What is declared about a section, None for one that no profile may have."""
    return next((one for one in SECTIONS if one.name == name), None)


def as_markdown() -> str:
    """The reference: every key and role, with what happens when it is absent."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ("### At the top", "", *_table(TOP))
    for one in SECTIONS:
        yield from ("", f"### `[{one.name}]`", "", f"{_sentence(one.meaning)} Without it: {one.absent}.")
        if one in SCHEMED:
            yield from ("", *_table(COMMON))
        for scheme in one.schemes:
            if scheme.name:
                yield from ("", f'#### `scheme = "{scheme.name}"`', "", _sentence(scheme.meaning))
            if scheme.keys:
                yield from ("", *_table(scheme.keys))


def _table(keys: tuple[Key, ...]) -> Iterator[str]:
    yield "| key | is | names | when absent |"
    yield "| --- | --- | --- | --- |"
    for key in keys:
        yield f"| `{key.name}` | {key.kind.value} | {key.meaning} | {key.absent or 'not a profile'} |"
        for role in key.roles:
            absent = role.absent or "not a profile"
            what = "word" if key.kind is Kind.WORDS else "field"
            yield f"| `{key.name}.{role.name}` | {what} | {role.meaning} | {absent} |"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
