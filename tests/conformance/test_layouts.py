"""DWARF as this project reads it, as GDB reads it and as LLDB reads it: one layout of every structure."""

import json
import subprocess
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.layout.kept_facts import read_facts
from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.paths import KERNEL_ELF, ROOT
from model import layouts
from model.layouts import Layout, Member
from tests.coronel_gdb.test_dwarf import SOURCE

GDB_TYPES = ROOT / "qemu" / "lab" / "inside" / "gdb_types.py"


def normalised(name: str, seen: list[Any]) -> Layout:
    """A debugger's view, [size, lengths, members], by the rules of `layout.dwarf`: flattened to integers."""
    size_bytes, _, parts = seen
    members = sorted(_members(parts, "", 0), key=lambda member: member.offset_bytes)
    return Layout(name, size_bytes, tuple(members))


def _members(parts: list[Any], prefix: str, base: int) -> Iterator[Member]:
    for name, offset, size_bytes, lengths, inner in parts:
        at = base + offset
        if not name:  # a base class, or an anonymous union: its fields belong to the outer one
            yield from _members(inner, prefix, at)
        elif not inner:
            yield Member(prefix + name, at, size_bytes, prod(lengths))
        elif lengths or _wraps_one(inner, size_bytes):
            first = next(_members(inner, "", 0))
            yield Member(prefix + name, at, first.size_bytes, prod(lengths) * size_bytes // first.size_bytes)
        else:
            yield from _members(inner, f"{prefix}{name}.", at)


def _wraps_one(parts: list[Any], size_bytes: int) -> bool:
    inner = list(_members(parts, "", 0))
    return len(inner) == 1 and inner[0].size_bytes * inner[0].count == size_bytes


def as_gdb_sees(program: Path, names: list[str]) -> dict[str, Layout]:
    with Gdb(script=GDB_TYPES) as gdb:
        gdb.mi(f"-file-exec-and-symbols {program}")
        return {
            name: normalised(name, json.loads(gdb.console(f'python coronel_type("{name}")')))
            for name in names
        }


def as_lldb_sees(program: Path, names: list[str]) -> dict[str, Layout]:
    with Lldb(script=None) as lldb:
        lldb.console(f"target create {program}")
        seen = {name: lldb.type_of(name) for name in names}
        assert lldb.type_of("frame") is None, "its whole name is physical::frame"
    return {name: normalised(name, view) for name, view in seen.items() if view is not None}


NAMES = [layout.name for layout in layouts.ALL]


@pytest.mark.parametrize("debugger", [as_gdb_sees, as_lldb_sees], ids=["gdb", "lldb"])
def test_a_debugger_sees_the_layouts_of_the_model(debugger: Any) -> None:
    assert debugger(KERNEL_ELF, NAMES) == {layout.name: layout for layout in layouts.ALL}


@pytest.mark.parametrize("debugger", [as_gdb_sees, as_lldb_sees], ids=["gdb", "lldb"])
def test_bases_unions_and_static_members_are_seen_alike(
    debugger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, program = tmp_path / "thing.cpp", tmp_path / "thing"
    source.write_text(SOURCE)
    subprocess.run(["g++", "-std=c++20", "-g", "-no-pie", "-o", program, source], check=True)
    facts = read_facts(program, ["outer::thing"], [])
    assert debugger(program, ["outer::thing"]) == dict(facts.layouts)
