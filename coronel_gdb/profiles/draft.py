"""A first draft of a profile as TOML: what was found and why, and a TODO for all that was not."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from coronel_gdb.layout.census import Census
from coronel_gdb.profiles.guess import Candidate, Fields, candidates
from coronel_gdb.profiles.keys.catalogue import SCHEMED, SECTIONS
from coronel_gdb.profiles.keys.key import Key, Kind, Role, SectionKeys
from coronel_gdb.profiles.likeness import near, words

_CALLS = frozenset(
    ["malloc", "calloc", "realloc", "aligned_alloc", "alloc", "free", "kalloc", "kmalloc", "kfree"]
)
_MOST_ALIGNED = 16
_MAGIC = 1 << 24
"""Constants from here on may be magics; smaller ones are sizes and numbers."""


def draft(census: Census, kernel: Path) -> str:
    """The file; lines to be looked at again begin with `# TODO`."""
    return "\n".join(_lines(census, kernel)) + "\n"


def _lines(census: Census, kernel: Path) -> Iterator[str]:
    found = {one.section.name: one for one in candidates(census)}
    match = [found[keys.name].symbol for keys in SCHEMED if keys.name in found]
    yield f"# A first draft from the debug information of {kernel.name}. Left: roles; right: names there."
    yield "# What is here was found by its name, where nothing else is said. Look at all, at each TODO too."
    yield "# `coronel profile check` says what does not fit. The keys and roles: docs/profiles.md."
    yield ""
    yield f"name = {_quoted(kernel.stem)}"
    yield f"match = {json.dumps(match)}" + ("" if match else "  # TODO symbols that only this kernel has")
    for section in SECTIONS:
        if section.name in found:
            yield from _section(census, found[section.name])
        elif section.name == "image":
            yield from _image(census, section)
        elif section.name == "leaks" and "trace" in found:
            yield from ("", "[leaks]", f"trace = {_quoted(found['trace'].symbol)}")
        else:
            yield from ("", f"# TODO [{section.name}]  # {section.meaning}; without it: {section.absent}")


def _section(census: Census, one: Candidate) -> Iterator[str]:
    types = _types(one)
    root, *others = one.fields.values()
    chain = f"{one.symbol} {'points to' if one.points else 'is'} {root.kind}" if one.symbol else root.kind
    chain += "".join(f", whose {one.path} points to {other.kind}" for other in others)
    yield from ("", f"# {chain}.", f"[{one.section.name}]")
    if one.scheme.name and one.scheme is not one.section.schemes[0]:
        yield f"scheme = {_quoted(one.scheme.name)}"
    tables = []
    for key in one.scheme.keys:
        if key.kind is Kind.FIELDS:
            tables.append(key)
        elif key.name == one.symbol_key:
            yield f"{key.name} = {_quoted(one.symbol)}"
        elif key.name in types:
            yield f"{key.name} = {_quoted(types[key.name])}"
        elif key.kind is Kind.NUMBER:
            yield _number(census, one, key)
        elif key.kind is Kind.SYMBOLS:
            yield from _entries(census, one, key)
        elif key.kind is Kind.WORDS:
            known = ", ".join(role.name for role in key.roles)
            yield f"# TODO {key.name} = []  # {key.meaning}: {known}"
        elif one.symbol_key not in key.one_of:  # the other way to name the variable
            yield _todo(key, '""')
    for key in tables:
        yield from ("", f"[{one.section.name}.{key.name}]")
        fields = one.fields[key.of]
        for role in key.roles:
            yield _role(census, fields, role)


def _types(one: Candidate) -> dict[str, str]:
    """The types by their keys; a template is named by the variable, it has too many spellings."""
    named = {}
    star, arrow = ("*", "->") if one.points else ("", ".")
    for number, (key, fields) in enumerate(one.fields.items()):
        named[key] = fields.kind
        if "<" in fields.kind:
            way = f"{star}{one.symbol}" if not number else f"*{one.symbol}{arrow}{one.path}"
            named[key] = f"decltype({way})"
    return named


def _role(census: Census, fields: Fields, role: Role) -> str:
    if role.name in fields.found:
        why = fields.why.get(role.name)
        line = f"{role.name} = {_quoted(fields.found[role.name])}"
        return line + (f"  # guessed, {why}: {role.meaning}" if why else "")
    names = [m.name for m in census.kinds[fields.kind].layout.members if m.name not in fields.found.values()]
    return _todo(role, '""', near(role.name, names) or tuple(names[:6]))


def _todo(what: Key | Role, value: str, others: tuple[str, ...] = ()) -> str:
    hint = f"; may be {', '.join(others)}" if others else ""
    without = f"without it: {what.absent}" if what.absent else "needed"
    return f"# TODO {what.name} = {value}  # {what.meaning} ({without}){hint}"


def _number(census: Census, one: Candidate, key: Key) -> str:
    """The constant that has the key's words in its name, of the section's types rather than of others."""
    kinds = [fields.kind for fields in one.fields.values()]
    node, wanted = kinds[-1], words(key.name)
    fitting = []
    for name in census.constants:
        scope, _, last = name.rpartition("::")
        theirs = words(name) | ({"used"} if "allocated" in words(name) else frozenset())
        fits = wanted <= theirs or words(last) == wanted - {"size"}
        foreign = scope in census.kinds and scope not in kinds
        if fits and not foreign and not name.startswith("std::"):
            own = len(words(one.section.name) & theirs) + (name.split("::")[0] == node.split("::")[0])
            fitting.append((scope not in kinds, -own, len(theirs), name))
    if fitting:
        best, *rest = [name for *_, name in sorted(fitting)]
        note = f"  # or {', '.join(rest[:3])}" if rest else ""
        return f"{key.name} = {_quoted(best)}{note}"
    size = census.kinds[node].layout.size_bytes
    aligned = min(_MOST_ALIGNED, size & -size)
    guesses = {"alignment_bytes": aligned, "minimum_bytes": aligned if "data" in key.meaning else size}
    if key.name in guesses and not key.absent:
        return f"{key.name} = {guesses[key.name]}  # guessed: {node} has {size} bytes; {key.meaning}"
    large = [name for name, value in census.constants.items() if value >= _MAGIC]
    return _todo(key, "0", tuple(large[:6]) if "magic" in key.name else ())


def _entries(census: Census, one: Candidate, key: Key) -> Iterator[str]:
    owners = {fields.kind for fields in one.fields.values()}
    names = sorted(
        name
        for name in census.functions
        if name.rpartition("::")[0] in owners and name.rpartition("::")[2] in _CALLS
    )
    yield f"{key.name} = {json.dumps(names)}" if names else _todo(key, "[]")


def _image(census: Census, section: SectionKeys) -> Iterator[str]:
    """Symbols that have the very words of a role, as their whole name or its last part."""
    yield from ("", "# Symbols by what they are.", f"[{section.name}]")
    by_words: Mapping[frozenset[str], list[str]] = {}
    for name in sorted(census.symbols - census.functions):
        for part in {name, name.rpartition("::")[2]}:
            by_words.setdefault(words(part), []).append(name)  # type: ignore[attr-defined]
    for key in section.schemes[0].keys:
        names = by_words.get(words(key.name), [])
        yield f"{key.name} = {_quoted(names[0])}" if names else _todo(key, '""')


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
