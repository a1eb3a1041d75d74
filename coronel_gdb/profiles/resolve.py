"""Find the profile that fits a kernel, and look up in the kernel's types what the profile names."""

import tomllib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.facts import KernelFacts
from coronel_gdb.profiles.schema import (
    BootMapProfile,
    HeapProfile,
    ListProfile,
    ProcessProfile,
    Profile,
    ResolvedProfile,
    Structure,
)
from model import layouts
from model.records import HeapRules
from model.types import VirtualAddress

_SPECIFIED = "docs/spec.md"
_OPTIONAL = ("processes", "boot_map")
_NODE_SECTIONS = {"frames": "node", "regions": "node", "heap": "block"}


def built_in() -> Iterator[Profile]:
    """The profiles that come with the tool."""
    for entry in sorted(resources.files(__package__).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            yield parse(entry.read_text())


def parse(text: str) -> Profile:
    """A profile from TOML; `KernelError` when it is none."""
    try:
        raw = tomllib.loads(text)
        return Profile(
            raw["name"], tuple(raw["match"]), {k: v for k, v in raw.items() if isinstance(v, dict)}
        )
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise KernelError(f"not a profile: {error}") from error


def find(symbol: Callable[[str], VirtualAddress | None]) -> Profile:
    """The first built-in profile all of whose `match` symbols the kernel has."""
    missing = {}
    for profile in built_in():
        absent = [name for name in profile.match if symbol(name) is None]
        if not absent:
            return profile
        missing[profile.name] = absent
    detail = "; ".join(f"{name} needs {', '.join(absent)}" for name, absent in missing.items())
    raise KernelError(f"no profile fits this kernel's symbols ({detail})")


def resolve(profile: Profile, kernel: Path | None) -> ResolvedProfile:
    """The profile with the layouts of the kernel's DWARF; `KernelError` names all that is missing.

    Without pyelftools (a debugger's Python may lack it) the layouts of docs/spec.md are assumed, and
    `source` says that nothing was verified.
    """
    facts, source = _facts(profile, kernel)
    missing: list[str] = []

    def structure(section: str, key: str, fields: str) -> Structure | None:
        name = profile.text(section, key)
        layout = facts.layouts.get(name)
        if layout is None:
            missing.append(f"type {name}")
            return None
        known = [member.name for member in layout.members]
        wanted = profile.fields(section, fields)
        for field in wanted.values():
            if field not in known:
                near = get_close_matches(field, known, 1)
                missing.append(f"{name}::{field}" + (f" (near: {near[0]})" if near else ""))
        return Structure(layout, wanted) if all(field in known for field in wanted.values()) else None

    def constant(section: str, key: str) -> int:
        name = profile.text(section, key)
        if name not in facts.constants:
            missing.append(f"constant {name}")
        return facts.constants.get(name, 0)

    heap, block = structure("heap", "type", "fields"), structure("heap", "block", "block_fields")
    manager, node = structure("frames", "type", "fields"), structure("frames", "node", "node_fields")
    regions, region = structure("regions", "type", "fields"), structure("regions", "node", "node_fields")
    magic_free, magic_used = constant("heap", "magic_free"), constant("heap", "magic_used")
    if missing or not (heap and block and manager and node and regions and region):
        raise KernelError(
            f"profile {profile.name} does not fit the kernel's types: no {', no '.join(missing)}"
        )

    def optional(section: str) -> Structure | None:
        return structure(section, "type", "fields") if section in profile.sections else None

    process = optional("processes")
    no_processes = f"the kernel has no {', no '.join(missing)}" if missing else ""
    boot_map = optional("boot_map")
    rules = HeapRules(
        block.size_bytes,
        profile.number("heap", "alignment_bytes"),
        profile.number("heap", "minimum_bytes"),
        magic_free,
        magic_used,
    )
    leaks = profile.sections.get("leaks", {})
    return ResolvedProfile(
        profile.name,
        source,
        HeapProfile(profile.text("heap", "pointer"), heap, block, rules),
        ListProfile(profile.text("frames", "pointer"), manager, node),
        ListProfile(profile.text("regions", "pointer"), regions, region),
        ProcessProfile(profile.text("processes", "list"), process) if process else None,
        no_processes or f"the profile {profile.name} knows none",
        BootMapProfile(profile.text("boot_map", "symbol"), boot_map) if boot_map else None,
        {role: str(name) for role, name in profile.sections.get("image", {}).items()},
        None if source.startswith(_SPECIFIED) else facts.layouts,
        str(leaks.get("trace", "")),
        {name: int(size) for name, size in profile.fields("leaks", "notes").items()} if leaks else {},
        {symbol: str(noun) for symbol, noun in profile.sections.get("activity", {}).items()},
    )


def _facts(profile: Profile, kernel: Path | None) -> tuple[KernelFacts, str]:
    types, constants = [], [profile.text("heap", "magic_free"), profile.text("heap", "magic_used")]
    for section, node in _NODE_SECTIONS.items():
        types += [profile.text(section, "type"), profile.text(section, node)]
    types += [profile.text(section, "type") for section in _OPTIONAL if section in profile.sections]
    # All that the specification lays out, in the same pass: `layout` compares it.
    types += [layout.name for layout in layouts.ALL]
    if kernel is None:
        return _declared(constants), f"{_SPECIFIED}, not verified: no kernel file"
    try:
        from coronel_gdb.layout.dwarf import read_facts
    except ImportError:
        return _declared(constants), f"{_SPECIFIED}, not verified: the Python package pyelftools is missing"
    return read_facts(kernel, types, constants), f"DWARF of {kernel.name}"


def _declared(constants: list[str]) -> KernelFacts:
    """The layouts of docs/spec.md §10, as the model declares them."""
    rules = HeapRules()
    magics = dict(zip(constants, (rules.magic_free, rules.magic_used), strict=True))
    return KernelFacts("", {layout.name: layout for layout in layouts.ALL}, magics)
