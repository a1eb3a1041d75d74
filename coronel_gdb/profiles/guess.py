"""Which variables, structures and fields of a kernel may play the roles of a profile's sections.

A candidate is a variable, the structure behind it, and where a section has a second type, a structure that
the first one points to. Fields are given to roles by their names, the surest first; what a name alone does
not say, pointers do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coronel_gdb.layout.census import Census, Kind, Variable
from coronel_gdb.profiles.keys.catalogue import SECTIONS
from coronel_gdb.profiles.keys.key import Key, Role, Scheme, SectionKeys
from coronel_gdb.profiles.keys.key import Kind as KeyKind
from coronel_gdb.profiles.likeness import likeness, words

_HINTS = {
    "heap": "heap malloc block chunk arena",
    "user_heap": "user",
    "frames": "frame physical page pmm",
    "regions": "virt region vmm vm range",
    "processes": "process",
    "boot_map": "memory map",
    "trace": "trace",
    "page_entry": "page entry pte",
}
_COMMON = frozenset({"coronel", "list", "node"})
"""Words in the names of schemes that speak for none of them."""
_LEAST_FIELD = 0.6
_LEAST_REQUIRED = 0.6
_NOT_THEIRS = ("std::", "__")


@dataclass(frozen=True, slots=True)
class Fields:
    """Role → field of one structure, how sure that is (up to 1), and why where the name does not say it."""

    kind: str
    found: Mapping[str, str]
    sure: Mapping[str, float]
    why: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be a section: the symbol under its key, a type under each type key, and their fields.

    `path` leads from the variable to the second type; `score` is 1 where all that is required was found by
    name, and more for the rest.
    """

    section: SectionKeys
    scheme: Scheme
    symbol_key: str
    symbol: str
    points: bool
    fields: Mapping[str, Fields]
    path: str
    score: float


def candidates(census: Census) -> list[Candidate]:
    """The best of each section, no variable twice."""
    found = [
        one for section in SECTIONS for scheme in section.schemes for one in _of(census, section, scheme)
    ]
    found.sort(key=lambda one: (-one.score, len(one.symbol), one.symbol))
    taken: dict[str, Candidate] = {}
    symbols: set[str] = set()
    for one in found:
        if one.section.name not in taken and one.symbol not in symbols:
            taken[one.section.name] = one
            symbols |= {one.symbol} - {""}
    return [taken[section.name] for section in SECTIONS if section.name in taken]


def _of(census: Census, section: SectionKeys, scheme: Scheme) -> Iterator[Candidate]:
    types = [key for key in scheme.keys if key.kind is KeyKind.TYPE]
    if not types:
        return
    for key, symbol, variable in _roots(census, scheme):
        if symbol.startswith(_NOT_THEIRS) or variable.kind not in census.kinds:
            continue
        root = census.kinds[variable.kind]
        inner = _pointed(census, root) if len(types) > 1 else [("", "")]
        for path, second in inner:
            kinds = (variable.kind, second)
            fields = {
                type_key.name: _fields(census.kinds[kind], section, scheme, type_key)
                for type_key, kind in zip(types, kinds, strict=False)
            }
            if path:
                fields[types[0].name] = _with_head(fields[types[0].name], scheme, types[0], path, second)
            score = _score(section, scheme, fields, symbol)
            if score:
                yield Candidate(section, scheme, key, symbol, variable.points, fields, path, score)


def _roots(census: Census, scheme: Scheme) -> Iterator[tuple[str, str, Variable]]:
    """(key, symbol, variable) of all variables that the scheme can begin at; types where it needs none."""
    symbols = [key for key in scheme.keys if key.kind is KeyKind.SYMBOL]
    keys = [key for key in symbols if key.one_of] or symbols[:1]
    if not keys:
        for name in census.kinds:
            yield "", "", Variable(name, points=False)
    for name, variable in census.variables.items():
        symbol = census.symbol_of(name)
        for key in keys if symbol else ():
            if variable.points == ("points to" in key.meaning):
                yield key.name, symbol, variable


def _pointed(census: Census, root: Kind) -> list[tuple[str, str]]:
    """(member, structure) that a structure points to, each structure once."""
    first: dict[str, str] = {}
    for path, kind in root.points.items():
        if kind in census.kinds:
            first.setdefault(kind, path)
    return [(path, kind) for kind, path in first.items()]


def _fields(kind: Kind, section: SectionKeys, scheme: Scheme, type_key: Key) -> Fields:
    # `heap_start` is `start` in a heap of its own, `first_block` the `first` where blocks are all there is.
    understood = [section.name, *(key.name for key in scheme.keys if key.kind is KeyKind.TYPE)]
    roles = [role for key in scheme.keys if key.of == type_key.name for role in key.roles]
    names = [member.name for member in kind.layout.members]
    pairs = sorted(
        (
            (likeness(role.name, name, understood), -len(name), role.name, name)
            for role in roles
            for name in names
        ),
        reverse=True,
    )
    found: dict[str, str] = {}
    sure: dict[str, float] = {}
    why: dict[str, str] = {}
    for score, _, role, name in pairs:
        if score >= _LEAST_FIELD and role not in found and name not in found.values():
            found[role], sure[role] = name, score
            if words(role) != words(name.rpartition(".")[2]):
                why[role] = "by its name"
    for role, name, reason in _by_structure(kind, roles, found):
        found[role], sure[role], why[role] = name, _LEAST_FIELD, reason
    return Fields(kind.layout.name, found, sure, why)


def _by_structure(
    kind: Kind, roles: Sequence[Role], found: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """What the names did not say: the only field that is left, the only pointer to its own kind."""
    missing = [role for role in roles if not role.absent and role.name not in found]
    if len(missing) != 1:
        return
    rest = [member.name for member in kind.layout.members if member.name not in found.values()]
    own = [name for name in rest if kind.points.get(name) == kind.layout.name]
    if len(own) == 1 and missing[0].meaning.startswith("address"):
        yield missing[0].name, own[0], "the only pointer to another one of its kind"
    elif len(rest) == 1:
        yield missing[0].name, rest[0], "the only field that is left"


def _with_head(fields: Fields, scheme: Scheme, type_key: Key, path: str, second: str) -> Fields:
    """A list's head has any name; what the list's nodes are reached by is one."""
    roles = [role for key in scheme.keys if key.of == type_key.name for role in key.roles]
    heads = [role for role in roles if not role.absent and role.meaning.startswith("address of the first")]
    missing = [role.name for role in heads if role.name not in fields.found]
    if len(missing) != 1 or path in fields.found.values():
        return fields
    (role,) = missing
    return Fields(
        fields.kind,
        {**fields.found, role: path},
        {**fields.sure, role: _LEAST_FIELD},
        {**fields.why, role: f"it points to {second}"},
    )


def _score(section: SectionKeys, scheme: Scheme, fields: Mapping[str, Fields], symbol: str) -> float:
    """0 for what is no candidate: too few of the roles, or no name that speaks for the section."""
    required = 0
    found: list[float] = []
    extra: list[float] = []
    for key in scheme.keys:
        if key.of in fields:
            for role in key.roles:
                sure = fields[key.of].sure.get(role.name)
                required += not role.absent
                if sure is not None:
                    (extra if role.absent else found).append(sure)
    if not required or len(found) / required < _LEAST_REQUIRED:
        return 0.0
    hints = words(f"{_HINTS.get(section.name, section.name)} {scheme.name}") - _COMMON
    named = words(" ".join([symbol, *(one.kind for one in fields.values())]))
    hinted = len(hints & named)
    if not hinted or (not symbol and hinted < 2):
        return 0.0
    hidden = 0.2 * ("(anonymous" in symbol)
    return sum(found) / required + 0.05 * sum(extra) + 0.1 * min(hinted, 2) - hidden
