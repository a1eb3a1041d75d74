"""Where a kernel keeps its trace and what it knew at its boot; a kernel without them fits a profile too."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.kept_facts import read_facts
from coronel_gdb.profiles.schema import Profile, Structure
from model import layouts
from model.layouts import Layout

if TYPE_CHECKING:
    from model.fast.blocks import HeapHabits


@dataclass(frozen=True, slots=True)
class TraceProfile:
    """The variable that describes the ring, its type, and the type of a record."""

    variable: str
    ring: Structure
    record: Structure


@dataclass(frozen=True, slots=True)
class BootProfile:
    """The variable with the memory map that the kernel copied, and its type."""

    variable: str
    map: Structure


@dataclass(frozen=True, slots=True)
class Quirk:
    """One known peculiarity of a kernel: what it does differently, and why that is known."""

    id: str
    habit: str
    value: int | bool
    text: str


@dataclass(frozen=True, slots=True)
class ReplayProfile:
    """All that a replay needs to know about a kernel besides the ordinary profile."""

    trace: TraceProfile
    boot: BootProfile | None
    quirks: tuple[Quirk, ...]
    source: str

    def habits(self) -> "HeapHabits":
        """The model's habits with every quirk."""
        from model.fast.blocks import HeapHabits  # here: most commands need the trace, few the model

        return HeapHabits(**{quirk.habit: quirk.value for quirk in self.quirks})  # type: ignore[arg-type]


def resolve_replay(profile: Profile, kernel: Path | None) -> ReplayProfile:
    """The sections `trace`, `boot_map` and `quirks` of a profile; `KernelError` without a trace section."""
    if "trace" not in profile.sections:
        raise KernelError(f"profile {profile.name} names no trace: nothing to replay")
    found, source = _layouts(profile, kernel)
    ring = _structure(profile, "trace", "type", "fields", found)
    record = _structure(profile, "trace", "record", "record_fields", found)
    if ring is None or record is None:
        raise KernelError(f"profile {profile.name} does not fit the kernel's types: its trace is another one")
    boot = (
        _structure(profile, "boot_map", "type", "fields", found) if "boot_map" in profile.sections else None
    )
    return ReplayProfile(
        TraceProfile(profile.text("trace", "variable"), ring, record),
        BootProfile(profile.text("boot_map", "symbol"), boot) if boot is not None else None,
        tuple(_quirks(profile)),
        source,
    )


def _layouts(profile: Profile, kernel: Path | None) -> tuple[Mapping[str, Layout], str]:
    declared = {layout.name: layout for layout in layouts.ALL}
    if kernel is None:
        return declared, "docs/spec.md, not verified: no kernel file"
    wanted = [profile.text("trace", "type"), profile.text("trace", "record")]
    if "boot_map" in profile.sections:
        wanted.append(profile.text("boot_map", "type"))
    try:
        return read_facts(kernel, wanted, ()).layouts, f"DWARF of {kernel.name}"
    except ImportError:
        return declared, "docs/spec.md, not verified: the Python package pyelftools is missing"


def _structure(
    profile: Profile, section: str, key: str, fields: str, found: Mapping[str, Layout]
) -> Structure | None:
    layout = found.get(profile.text(section, key))
    wanted = profile.places(section, fields)
    if layout is None or not {at.field for at in wanted.values()} <= {m.name for m in layout.members}:
        return None
    return Structure(layout, wanted)


def _quirks(profile: Profile) -> list[Quirk]:
    """The section `quirks`: id → habit, value, text; `KernelError` for a habit that the model lacks."""
    quirks: list[Quirk] = []
    listed = profile.sections.get("quirks", {})
    if not listed:
        return quirks
    from model.fast.blocks import HeapHabits

    plain = HeapHabits()
    for name, table in listed.items():
        if not isinstance(table, dict) or not {"habit", "value", "text"} <= set(table):
            raise KernelError(f"profile {profile.name}: quirk {name} needs habit, value and text")
        habit, value = str(table["habit"]), table["value"]
        known = HeapHabits.__slots__
        if habit not in known or type(value) is not type(getattr(plain, habit)):
            raise KernelError(
                f"profile {profile.name}: quirk {name}: the model has no habit {habit} = {value!r}; "
                f"it has {', '.join(known)}"
            )
        quirks.append(Quirk(name, habit, value, str(table["text"])))
    return quirks
