"""Find the profile that fits a kernel, and look up in the kernel's types what the profile names."""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from coronel_gdb.errors import KernelError, UsageError
from coronel_gdb.layout.facts import KernelFacts
from coronel_gdb.layout.kept_facts import read_facts
from coronel_gdb.own_file import contents
from coronel_gdb.profiles.keys.catalogue import SCHEMED
from coronel_gdb.profiles.keys.key import Key, Kind, Role, Scheme, SectionKeys
from coronel_gdb.profiles.schema import (
    HeapProfile,
    ListProfile,
    ProcessProfile,
    Profile,
    ResolvedProfile,
    Section,
    Structure,
    VariableProfile,
)
from model import layouts
from model.records import HeapRules
from model.types import VirtualAddress

_SPECIFIED = "docs/spec.md"
_MOST_BYTES = 1 << 20
_OPTIONAL = ("processes", "boot_map", "trace")


def built_in() -> Iterator[Profile]:
    """The profiles that come with the tool."""
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        yield parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Profile:
    """A profile from TOML; `KernelError` when it is none."""
    try:
        raw = tomllib.loads(text)
        sections = {k: v for k, v in raw.items() if isinstance(v, dict) and k != "match_types"}
        sizes = {str(name): int(size) for name, size in raw.get("match_types", {}).items()}
        return Profile(
            str(raw["name"]),
            tuple(map(str, raw["match"])),
            sections,
            sizes,
            frozenset(map(str, raw.get("lacks", ()))),
            specified=raw.get("specified") is True,
            linear_map=None if raw.get("linear_map") is None else int(raw["linear_map"]),
        )
    except (
        tomllib.TOMLDecodeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise KernelError(f"not a profile: {error}") from error


def read_profile(path: Path) -> Profile:
    """The profile in a file; `KernelError` when it cannot be read or is none."""
    try:
        text = contents(path.expanduser(), _MOST_BYTES, "profile")
    except UsageError as error:
        raise KernelError(str(error)) from error
    try:
        return parse(text.decode("utf-8"))
    except (KernelError, UnicodeDecodeError) as error:
        raise KernelError(f"{path}: {error}") from error


def find(
    symbol: Callable[[str], VirtualAddress | None], kernel: Path | None, more: Iterable[Profile] = ()
) -> Profile:
    """The profile that fits: the kernel has all its `match` symbols, and types of its sizes.

    Of several, of `more` and of the built-in ones, the one that asks for most. Types are only looked at where
    profiles ask for them.
    """
    missing = {}
    fitting: list[Profile] = []
    for profile in chain(more, built_in()):
        absent = [name for name in profile.match if symbol(name) is None]
        absent = absent or list(_other_sizes(profile, kernel))
        if not absent:
            fitting.append(profile)
        missing[profile.name] = absent
    if fitting:
        return max(fitting, key=lambda profile: (len(profile.match_types), len(profile.match)))
    detail = "; ".join(f"{name} needs {', '.join(absent)}" for name, absent in missing.items())
    raise KernelError(f"no profile fits this kernel's symbols ({detail})")


def _other_sizes(profile: Profile, kernel: Path | None) -> Iterator[str]:
    """The types that the kernel does not have in the size that the profile asks for."""
    if not profile.match_types:
        return
    found: Mapping[str, layouts.Layout] = {}
    if kernel is not None:
        with suppress(ImportError):  # a debugger's Python may lack pyelftools: then nothing is known of types
            found = read_facts(kernel, profile.match_types, ()).layouts
    for name, size in profile.match_types.items():
        if name not in found or found[name].size_bytes != size:
            yield f"{name} of {size} bytes"


def resolve(profile: Profile, kernel: Path | None) -> ResolvedProfile:
    """The profile with the layouts of the kernel's DWARF; `KernelError` names all that is missing.

    Without pyelftools (a debugger's Python may lack it) the layouts of docs/spec.md are assumed, and
    `source` says that nothing was verified.
    """
    chosen = {keys.name: _scheme(profile, keys) for keys in SCHEMED if keys.name in profile.sections}
    facts, source = _facts(profile, chosen, kernel)
    look = _Lookup(profile, facts)
    sections = {name: look.section(name, scheme) for name, scheme in chosen.items()}
    if look.missing:
        raise KernelError(
            f"profile {profile.name} does not fit the kernel's types: no {', no '.join(look.missing)}"
        )
    process = look.structure("processes", "type", "fields") if "processes" in profile.sections else None
    no_processes = f"the kernel has no {', no '.join(look.missing)}" if look.missing else ""
    boot_map = look.structure("boot_map", "type", "fields") if "boot_map" in profile.sections else None
    ring = look.structure("trace", "type", "fields") if "trace" in profile.sections else None
    leaks = profile.sections.get("leaks", {})
    return ResolvedProfile(
        profile.name,
        source,
        known_heap=_heap(sections.get("heap")),
        known_frames=_listed(sections.get("frames")),
        known_regions=_listed(sections.get("regions")),
        processes=ProcessProfile(profile.text("processes", "list"), process) if process else None,
        no_processes=no_processes or f"profile {profile.name} knows none",
        boot_map=VariableProfile(profile.text("boot_map", "symbol"), boot_map) if boot_map else None,
        ring=VariableProfile(profile.text("trace", "variable"), ring) if ring else None,
        image={role: str(name) for role, name in profile.sections.get("image", {}).items()},
        structures=None if source.startswith(_SPECIFIED) else facts.layouts,
        trace=str(leaks.get("trace", "")),
        notes={name: int(size) for name, size in profile.fields("leaks", "notes").items()} if leaks else {},
        activity={symbol: str(noun) for symbol, noun in profile.sections.get("activity", {}).items()},
        user_heap=_heap(sections.get("user_heap")),
        lacks=profile.lacks,
        specified=profile.specified,
        linear_map=profile.linear_map,
        sections=sections,
    )


def _scheme(profile: Profile, keys: SectionKeys) -> Scheme:
    """The scheme of a section; `KernelError` for one that there is not."""
    name = profile.sections[keys.name].get("scheme")
    scheme = keys.scheme(None if name is None else str(name))
    if scheme is None:
        known = ", ".join(one.name for one in keys.schemes)
        raise KernelError(f"profile {profile.name}: {keys.name} has no scheme {name}; it has {known}")
    return scheme


@dataclass(slots=True)
class _Lookup:
    """Looks up what a profile names; what there is not is collected in `missing`."""

    profile: Profile
    facts: KernelFacts
    missing: list[str] = field(default_factory=list)

    def section(self, name: str, scheme: Scheme) -> Section:
        """All keys of a section; a key or role that must be there and is not is missing as well."""
        table = self.profile.sections[name]
        names, structures, numbers, lists = {}, {}, {}, {}
        for key in scheme.keys:
            if key.name not in table:
                if self._is_missing(key, table):
                    self._miss(f"key {name}.{' or '.join(sorted((key.name, *key.one_of)))} in the profile")
            elif key.kind is Kind.SYMBOL:
                names[key.name] = str(table[key.name])
            elif key.kind is Kind.NUMBER:
                numbers[key.name] = self.number(name, key.name)
            elif key.kind is Kind.FIELDS:
                found = self.structure(name, key.of, key.name, scheme.required(key))
                if found is not None:
                    structures[key.of] = found
            elif key.kind in (Kind.WORDS, Kind.SYMBOLS):
                lists[key.name] = self._words(name, key.name, key.roles)
        if "lacks" in table:
            roles = {role.name: role for key in scheme.keys for role in key.roles}
            lists["lacks"] = self._words(name, "lacks", tuple(roles.values()))
        self._unknown_keys(name, scheme)
        return Section(self.profile.name, name, scheme.name, names, structures, numbers, lists)

    def structure(
        self, section: str, key: str, fields: str, required: frozenset[str] = frozenset()
    ) -> Structure | None:
        """A type seen through the roles of a table of fields."""
        name = self.profile.text(section, key)
        layout = self.facts.layouts.get(name)
        if layout is None:
            self.missing.append(f"type {name}")
            return None
        known = [member.name for member in layout.members]
        wanted = self.profile.places(section, fields)
        lost = [place.field for place in wanted.values() if place.field not in known]
        for one in lost:
            self.missing.append(f"{layout.name}::{one}{_near(one, known)}")
        unnamed = sorted(required - set(wanted))
        self.missing += [f"field for {section}.{fields}.{role} in the profile" for role in unnamed]
        return None if lost or unnamed else Structure(layout, wanted)

    def number(self, section: str, key: str) -> int:
        """A number, or the value of the constant that is named."""
        value = self.profile.sections[section][key]
        if isinstance(value, int):
            return value
        if str(value) not in self.facts.constants:
            self.missing.append(f"constant {value}")
        return self.facts.constants.get(str(value), 0)

    def _miss(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)

    @staticmethod
    def _is_missing(key: Key, table: Mapping[str, object]) -> bool:
        """Whether a key that is not there must be: of keys that stand for each other, one."""
        if key.one_of:
            return not any(other in table for other in key.one_of)
        return not key.absent

    def _words(self, section: str, key: str, allowed: tuple[Role, ...] = ()) -> frozenset[str]:
        words = self.profile.sections[section][key]
        if not isinstance(words, list):
            raise KernelError(f"profile {self.profile.name}: {section}.{key} is no list")
        known = [role.name for role in allowed]
        for word in words if allowed else ():
            if word not in known:
                raise KernelError(
                    f"profile {self.profile.name}: {section}.{key} has no {word}; there is {', '.join(known)}"
                )
        return frozenset(map(str, words))

    def _unknown_keys(self, section: str, scheme: Scheme) -> None:
        """A key with a slip of the pen would go unnoticed."""
        keys = [key.name for key in scheme.keys] + ["scheme", "lacks"]
        for name in self.profile.sections[section]:
            if name not in keys:
                what = f"profile {self.profile.name}: {section} has no key {name}"
                raise KernelError(what + _near(name, keys))


def _near(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # here: where all fits, nobody asks

    near = get_close_matches(name, known, 1)
    return f" (near: {near[0]})" if near else ""


def _heap(section: Section | None) -> HeapProfile | None:
    if section is None or not {"type", "block"} <= set(section.structures):
        return None
    numbers, block = section.numbers, section.structures["block"]
    rules = HeapRules(
        header_bytes=numbers.get("header_bytes", block.size_bytes),
        alignment_bytes=numbers["alignment_bytes"],
        minimum_bytes=numbers["minimum_bytes"],
        magic_free=numbers.get("magic_free", 0),
        magic_used=numbers.get("magic_used", 0),
        has_magic="magic_free" in numbers,
        state_apart=block.members.get("magic") != block.members.get("is_free"),
        expansion_bytes=numbers.get("expansion_bytes"),
        fixed_heap_end=section.has_quirk("fixed_heap_end"),
        headers_in_total_free=section.has_quirk("headers_in_total_free"),
    )
    return HeapProfile(section.symbol, section.structures["type"], block, rules, section)


def _listed(section: Section | None) -> ListProfile | None:
    if section is None or not {"type", "node"} <= set(section.structures):
        return None
    return ListProfile(section.symbol, section.structures["type"], section.structures["node"], section)


def _facts(profile: Profile, chosen: Mapping[str, Scheme], kernel: Path | None) -> tuple[KernelFacts, str]:
    types, constants = [], []
    for name, scheme in chosen.items():
        table = profile.sections[name]
        for key in scheme.keys:
            if key.name in table and key.kind is Kind.TYPE:
                types.append(profile.text(name, key.name))
            elif key.name in table and key.kind is Kind.NUMBER and isinstance(table[key.name], str):
                constants.append(profile.text(name, key.name))
    types += [profile.text(section, "type") for section in _OPTIONAL if section in profile.sections]
    if profile.specified:  # all that is laid out there, in the same pass: `layout` compares it
        types += [layout.name for layout in layouts.ALL]
    if kernel is None:
        return _declared(constants), f"{_SPECIFIED}, not verified: no kernel file"
    try:
        return read_facts(kernel, types, constants), f"DWARF of {kernel.name}"
    except ImportError:
        return _declared(constants), f"{_SPECIFIED}, not verified: the Python package pyelftools is missing"


def _declared(constants: list[str]) -> KernelFacts:
    """The layouts of docs/spec.md §10, as the model declares them."""
    rules = HeapRules()
    magics = {"HEAP_MAGIC_FREE": rules.magic_free, "HEAP_MAGIC_USED": rules.magic_used}
    known = {name: magics[name] for name in constants if name in magics}
    return KernelFacts("", {layout.name: layout for layout in layouts.ALL}, known)
