"""All that a profile names and a kernel lacks, or that a section needs and the profile does not name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.facts import KernelFacts
from coronel_gdb.profiles.keys.catalogue import SCHEMED, SECTIONS
from coronel_gdb.profiles.keys.key import COMMON, Key, Kind, Scheme, SectionKeys
from coronel_gdb.profiles.likeness import near
from coronel_gdb.profiles.schema import Place, Profile

if TYPE_CHECKING:
    from coronel_gdb.layout.census import Census

_FORMS: Mapping[Kind, type | tuple[type, ...]] = {
    Kind.SYMBOL: str,
    Kind.SYMBOLS: list,
    Kind.TYPE: str,
    Kind.FIELDS: dict,
    Kind.NUMBER: (int, str),
    Kind.WORDS: list,
    Kind.TEXT: str,
    Kind.TABLE: dict,
}


@dataclass(frozen=True, slots=True)
class Missing:
    """`where` in the profile something is wrong, what that is, and names that may have been meant."""

    where: str
    what: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A section, key or role that the profile leaves out, as it may, and what happens without it."""

    where: str
    without: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a kernel has: the layouts and constants that the profile asks for, and all names there are."""

    facts: KernelFacts
    census: "Census"


def read_known(profile: Profile, kernel: Path) -> Known:
    """Read it; `KernelError` when the file cannot be used."""
    from coronel_gdb.layout.census import read_census
    from coronel_gdb.layout.kept_facts import read_facts

    types, constants = set(profile.match_types), set()
    for _, table, key in _keys(profile):
        value = table.get(key.name)
        if isinstance(value, str) and key.kind is Kind.TYPE:
            types.add(value)
        elif isinstance(value, str) and key.kind is Kind.NUMBER:
            constants.add(value)
    return Known(read_facts(kernel, types, constants), read_census(kernel))


def missing(profile: Profile, known: Known | None) -> Iterator[Missing]:
    """Everything that does not fit; without a kernel, what the profile alone shows."""
    names = [section.name for section in SECTIONS]
    for name in profile.sections:
        if name not in names:
            yield Missing(name, "there is no such section", near(name, names))
    for word in sorted(profile.lacks - set(names)):
        yield Missing("lacks", f"there is no section {word}", near(word, names))
    if known is not None:
        for symbol in profile.match:
            yield from _symbol("match", symbol, known)
        for kind, size in profile.match_types.items():
            layout = known.facts.layouts.get(kind)
            if layout is None:
                yield Missing("match_types", f"the kernel has no type {kind}", near(kind, known.census.kinds))
            elif layout.size_bytes != size:
                yield Missing("match_types", f"{kind} has {layout.size_bytes} bytes, not {size}")
    for section in SECTIONS:
        if section.name in profile.sections:
            yield from _section(profile, section, known)


def unnamed(profile: Profile) -> Iterator[Unnamed]:
    """What the profile leaves out and does not say that the kernel lacks."""
    for section in SECTIONS:
        if section.name not in profile.sections and section.name not in profile.lacks:
            yield Unnamed(section.name, section.absent)
    for where, table, key in _keys(profile):
        lacks = _words(table.get("lacks"))
        if key.name not in table:
            if key.absent and not key.one_of and key.name not in lacks:
                yield Unnamed(f"{where}.{key.name}", key.absent)
        elif key.kind is Kind.FIELDS:
            fields = _words(table[key.name])
            for role in key.roles:
                if role.absent and role.name not in fields | lacks:
                    yield Unnamed(f"{where}.{key.name}.{role.name}", role.absent)


def _words(value: object) -> frozenset[str]:
    """What a list holds, or the keys of a table."""
    return frozenset(map(str, value)) if isinstance(value, list | dict) else frozenset()


def _scheme(profile: Profile, section: SectionKeys) -> Scheme | None:
    name = profile.sections[section.name].get("scheme")
    return section.scheme(None if name is None else str(name))


def _keys(profile: Profile) -> Iterator[tuple[str, Mapping[str, object], Key]]:
    """(section, its table, key) of all keys that its scheme has."""
    for section in SECTIONS:
        scheme = _scheme(profile, section) if section.name in profile.sections else None
        for key in scheme.keys if scheme else ():
            yield section.name, profile.sections[section.name], key


def _section(profile: Profile, section: SectionKeys, known: Known | None) -> Iterator[Missing]:
    table, scheme = profile.sections[section.name], _scheme(profile, section)
    if scheme is None:
        names = [one.name for one in section.schemes]
        what = f"there is no scheme {table['scheme']}; there is {', '.join(names)}"
        yield Missing(f"{section.name}.scheme", what, near(str(table["scheme"]), names))
        return
    if scheme.keys:
        allowed = [key.name for key in (*scheme.keys, *(COMMON if section in SCHEMED else ()))]
        for name in table:
            if name not in allowed:
                yield Missing(f"{section.name}.{name}", "there is no such key", near(name, allowed))
    for key in scheme.keys:
        where = f"{section.name}.{key.name}"
        if key.name in table:
            yield from _key(where, key, table, known)
        elif key.one_of:
            if key.name > max(key.one_of) and not any(other in table for other in key.one_of):
                yield Missing(where, f"not named, nor {' or '.join(key.one_of)}: {key.meaning}")
        elif not key.absent:
            yield Missing(where, f"not named: {key.meaning}")


def _key(where: str, key: Key, table: Mapping[str, object], known: Known | None) -> Iterator[Missing]:
    value = table[key.name]
    if not isinstance(value, _FORMS[key.kind]) or isinstance(value, bool):
        yield Missing(where, f"{value!r} is no {key.kind.value}")
    elif key.kind is Kind.FIELDS:
        yield from _fields(where, key, table, known)
    elif isinstance(value, list):
        yield from _list(where, key, value, known)
    elif key.kind is Kind.TABLE:
        for name, number in value.items() if isinstance(value, dict) else ():
            if not isinstance(number, int):
                yield Missing(f"{where}.{name}", f"{number!r} is no number")
    elif known is None or key.kind is Kind.TEXT:
        return
    elif key.kind is Kind.SYMBOL:
        yield from _symbol(where, str(value), known)
    elif key.kind is Kind.TYPE and str(value) not in known.facts.layouts:
        yield Missing(where, f"the kernel has no type {value}", near(str(value), known.census.kinds))
    elif key.kind is Kind.NUMBER and not isinstance(value, int) and value not in known.facts.constants:
        yield Missing(where, f"the kernel has no constant {value}", near(str(value), known.census.constants))


def _list(where: str, key: Key, value: list[object], known: Known | None) -> Iterator[Missing]:
    words = [role.name for role in key.roles]
    for one in map(str, value):
        if key.kind is Kind.SYMBOLS and known is not None:
            yield from _symbol(where, one, known)
        elif key.kind is Kind.WORDS and words and one not in words:
            yield Missing(where, f"there is no {one}; there is {', '.join(words)}", near(one, words))


def _symbol(where: str, name: str, known: Known) -> Iterator[Missing]:
    if name not in known.census.symbols:
        yield Missing(where, f"the kernel has no symbol {name}", near(name, known.census.symbols))


def _fields(where: str, key: Key, table: Mapping[str, object], known: Known | None) -> Iterator[Missing]:
    fields, roles = table[key.name], [role.name for role in key.roles]
    if not isinstance(fields, dict):
        return
    layout = known.facts.layouts.get(str(table.get(key.of))) if known else None
    members = [member.name for member in layout.members] if layout else []
    for role, value in fields.items():
        if role not in roles:
            yield Missing(f"{where}.{role}", "there is no such role", near(role, roles))
            continue
        try:
            name = Place.parse(value).field
        except KernelError as error:
            yield Missing(f"{where}.{role}", str(error))
            continue
        if layout is not None and name not in members:
            yield Missing(f"{where}.{role}", f"{layout.name} has no field {name}", near(name, members))
    for needed in key.roles:
        if not needed.absent and needed.name not in fields:
            spare = _spare(members, fields.values())
            yield Missing(f"{where}.{needed.name}", f"not named: {needed.meaning}", near(needed.name, spare))


def _spare(members: Iterable[str], values: Iterable[object]) -> list[str]:
    """The fields that play no role yet."""
    used = {value if isinstance(value, str) else str(value) for value in values}
    return [name for name in members if name not in used]
