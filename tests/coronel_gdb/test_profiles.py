"""Profiles: what fits, what is named, and what is said about all that is absent."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.frames import COMMAND as FRAMES
from coronel_gdb.commands.heapcheck import COMMAND as HEAPCHECK
from coronel_gdb.commands.memcheck import COMMAND as MEMCHECK
from coronel_gdb.commands.regions import COMMAND as REGIONS
from coronel_gdb.errors import KernelError
from coronel_gdb.layout.kept_facts import read_facts
from coronel_gdb.profiles.keys.catalogue import SECTIONS, section
from coronel_gdb.profiles.keys.key import Kind
from coronel_gdb.profiles.resolve import built_in, find, parse, resolve
from coronel_gdb.profiles.schema import Place, Profile, ResolvedProfile, Structure
from coronel_gdb.report import Report
from lab.documents.reference import PROFILES, with_profile_keys
from model.layouts import Layout, Member
from model.machine import Machine
from model.multiboot import MapEntry

MIB = 1 << 20
SOURCE = """
namespace kernel {
template <typename T> struct list { T first_; T last_; };
struct item { item* next; unsigned long start; };
struct manager { int pad; list<item*> free_; };
struct block {
    static constexpr unsigned free_magic = 0xDEADBEEF;
    static const unsigned used_magic;
    unsigned long size;
    unsigned flags;
};
const unsigned block::used_magic = 0xCAFEBABE;
manager* g_manager;
}
struct { kernel::block* dummy_; long word; } g_kmem;
int main() {
    return static_cast<int>(g_kmem.word) + (kernel::g_manager != nullptr) + (kernel::block::used_magic == 3);
}
"""


def coronel() -> Profile:
    return next(profile for profile in built_in() if profile.name == "coronel")


def changed(
    without: str = "",
    fields: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    keys: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> ResolvedProfile:
    """The profile of the kernel here without a section, without fields of some, with other keys of some."""
    profile = coronel()
    sections = {name: dict(table) for name, table in profile.sections.items() if name != without}
    for name, roles in fields.items():
        named = profile.fields(name)
        sections[name]["fields"] = {role: named[role] for role in named if role not in roles}
    for name, table in keys.items():
        sections[name] |= table
    return resolve(Profile("other", profile.match, sections, specified=True), None)


def asked(command: Command, profile: ResolvedProfile) -> Report:
    context = Context(MachineTarget(Machine.boot([MapEntry(MIB, 15 * MIB)], trace_records=64)))
    context.__dict__["profile"] = profile  # where the property keeps what it found
    return command.run(context, command.parse([]))


@pytest.mark.parametrize(("command", "noun"), [(HEAPCHECK, "heap"), (FRAMES, "frames"), (REGIONS, "regions")])
def test_a_profile_without_a_section_says_so_in_one_line(command: Command, noun: str) -> None:
    profile = changed(without=noun)
    with pytest.raises(KernelError, match=f"^profile other knows no {noun}$"):
        asked(command, profile)
    report = asked(MEMCHECK, profile)
    told = [(absent.what, absent.why) for absent in report.not_checked]
    assert ("kernel heap" if noun == "heap" else noun, f"profile other knows no {noun}") in told
    assert report.exit_code == 2
    assert report.checked > 50


@pytest.mark.parametrize(
    ("command", "section_name", "role", "formula"),
    [
        (HEAPCHECK, "heap", "total_free", "total_free_ = sum of size over free blocks"),
        (HEAPCHECK, "heap", "num_frees", "num_allocations_ − num_frees_ = number of used blocks"),
        (HEAPCHECK, "heap", "errors", "calls that were refused"),
        (FRAMES, "frames", "free_count", "free_count_ = nodes in the list"),
        (FRAMES, "frames", "physical_end", "a page of memory leads to RAM"),
        (REGIONS, "regions", "count", "count_ = nodes in the list"),
        (REGIONS, "regions", "spare_count", "spare_count_ = nodes from spare_ on, each once"),
        (REGIONS, "regions", "end", "start_ <= start and start + size <= end_"),
    ],
)
def test_a_role_without_a_name_is_not_checkable_and_never_assumed(
    command: Command, section_name: str, role: str, formula: str
) -> None:
    complete = asked(command, changed())
    report = asked(command, changed(fields={section_name: (role,)}))
    assert not report.findings
    told = {(absent.what, absent.why) for absent in report.not_checked}
    told -= {(absent.what, absent.why) for absent in complete.not_checked}
    assert told == {(formula, f"profile other names no {role}")}
    lacking = changed(fields={section_name: (role,)}, keys={section_name: {"lacks": [role]}})
    assert asked(command, lacking).not_checked == complete.not_checked


def test_what_a_kernel_is_known_to_lack_is_not_asked() -> None:
    profile = coronel()
    sections = {name: table for name, table in profile.sections.items() if name != "processes"}
    lacks = frozenset({"processes"})
    known = resolve(Profile("other", profile.match, sections, lacks=lacks, specified=True), None)
    report = asked(MEMCHECK, known)
    assert ("processes", "none", 0, "this kernel has no processes") in report.tables[0].rows
    assert "processes" not in {absent.what for absent in report.not_checked}


def test_a_slip_of_the_pen_is_named() -> None:
    with pytest.raises(KernelError, match=r"heap has no key alignment \(near: alignment_bytes\)"):
        changed(keys={"heap": {"alignment": 16}})
    with pytest.raises(KernelError, match="heap has no scheme tree; it has coronel"):
        changed(keys={"heap": {"scheme": "tree"}})
    with pytest.raises(KernelError, match=r"memory::heap::heap_ende_ \(near: heap_end_\)"):
        changed(keys={"heap": {"fields": coronel().fields("heap") | {"heap_end": "heap_ende_"}}})
    with pytest.raises(KernelError, match=r"no field for heap.fields.heap_end in the profile"):
        changed(fields={"heap": ("heap_end",)})
    with pytest.raises(KernelError, match=r"heap\.quirks has no slow; there is fixed_heap_end"):
        changed(keys={"heap": {"quirks": ["slow"]}})
    with pytest.raises(KernelError, match=r"heap\.lacks has no erors; there is heap_start"):
        changed(keys={"heap": {"lacks": ["erors"]}})
    with pytest.raises(KernelError, match="is no field: a name"):
        changed(keys={"heap": {"block_fields": {"magic": {"bit": 3}}}})
    without = {name: table for name, table in coronel().sections["heap"].items() if name != "pointer"}
    with pytest.raises(KernelError, match=r"no key heap\.object or pointer in the profile"):
        resolve(Profile("other", (), {**coronel().sections, "heap": without}), None)


def test_no_profile_fits_and_why() -> None:
    with pytest.raises(KernelError, match="coronel needs g_kernel_heap, g_physical_manager"):
        find(lambda _: None, None)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    source, result = folder / "kernel.cpp", folder / "kernel"
    source.write_text(SOURCE)
    command = ["g++", "-std=c++20", "-g", "-O0", "-no-pie", "-Wl,--build-id"]
    subprocess.run([*command, "-o", result, source], check=True)
    return result


def test_a_type_is_found_through_a_variable(program: Path) -> None:
    names = ["decltype(*kernel::g_manager)", "decltype(*kernel::g_manager->free_.first_)", "decltype(g_kmem)"]
    found = read_facts(program, [*names, "decltype(*g_kmem.word)", "decltype(g_none)"], ()).layouts
    assert {name: [m.name for m in layout.members] for name, layout in found.items()} == {
        names[0]: ["pad", "free_.first_", "free_.last_"],
        names[1]: ["next", "start"],
        names[2]: ["dummy_", "word"],
    }


def test_constants_of_a_class_and_in_rodata(program: Path) -> None:
    names = ["kernel::block::free_magic", "kernel::block::used_magic"]
    found = read_facts(program, (), [*names, "kernel::g_manager"]).constants
    assert found == {names[0]: 0xDEADBEEF, names[1]: 0xCAFEBABE}


def test_a_role_may_be_some_bits_of_a_field() -> None:
    layout = Layout("block", 16, (Member("size", 0, 4), Member("flags", 4, 4), Member("next", 8, 8)))
    structure = Structure(
        layout,
        {
            "size": Place.parse("size"),
            "is_free": Place.parse({"field": "flags", "bit": 0}),
            "magic": Place.parse({"field": "flags", "mask": 0xFF000000}),
            "next": Place.parse("next"),
        },
    )
    data = bytes.fromhex("40000000 010000aa 1122334455667788")
    assert structure.decode(data) == {
        "size": 0x40,
        "is_free": 1,
        "magic": 0xAA000000,
        "next": 0x8877665544332211,
    }
    assert structure.with_value("magic", data[4:8], 0x55000000) == bytes.fromhex("01000055")
    assert structure.with_value("is_free", data[4:8], 0) == bytes.fromhex("000000aa")


def test_every_key_of_the_built_in_profiles_is_declared() -> None:
    for profile in built_in():
        for name, table in profile.sections.items():
            declared = section(name)
            assert declared is not None, f"{profile.name}: {name}"
            scheme = declared.scheme(str(table["scheme"]) if "scheme" in table else None)
            assert scheme is not None
            for key in scheme.keys:
                if key.kind is Kind.FIELDS and key.name in table:
                    roles = {role.name for role in key.roles}
                    assert set(profile.places(name, key.name)) <= roles, f"{profile.name}: {name}.{key.name}"
    assert {"heap", "frames", "regions", "processes"} <= {one.name for one in SECTIONS}


def test_the_reference_is_written_from_the_code() -> None:
    text = PROFILES.read_text()
    assert text == with_profile_keys(text), "run `make capture`"


def test_what_is_no_profile_says_so() -> None:
    for text in ("match = 3", 'name = "x"', 'name = "x"\nmatch = []\nmatch_types = 4'):
        with pytest.raises(KernelError, match="not a profile"):
            parse(text)
