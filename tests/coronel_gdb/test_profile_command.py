"""`coronel profile`: a draft that works, and a check that finds each slip of the pen."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.cli import main
from coronel_gdb.layout.census import read_census
from coronel_gdb.profiles import resolve
from coronel_gdb.profiles.draft import draft
from coronel_gdb.profiles.missing import Known, missing, read_known, unnamed
from coronel_gdb.profiles.schema import Profile
from lab.paths import KERNEL_ELF, ROOT
from lab.stopped import Stopped

CORONEL = [sys.executable, "-m", "coronel_gdb.cli"]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [*CORONEL, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture(scope="module")
def built_in() -> Profile:
    (profile,) = (profile for profile in resolve.built_in() if profile.name == "coronel")
    return profile


@pytest.fixture(scope="module")
def known(built_in: Profile) -> Known:
    return read_known(built_in, KERNEL_ELF)


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("draft") / "mine.toml"
    done = run("profile", "new", "--kernel", KERNEL_ELF)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(done.stdout)
    return path


def test_the_draft_has_what_the_profile_of_this_kernel_has(built_in: Profile, drafted: Path) -> None:
    found = tomllib.loads(drafted.read_text())
    assert found["match"] == [built_in.sections[name]["pointer"] for name in ("heap", "frames", "regions")]
    for section in ("heap", "frames", "regions", "processes", "trace", "boot_map", "page_entry"):
        for key, value in built_in.sections[section].items():
            if key == "entries":
                assert set(found[section][key]) == set(value)  # type: ignore[call-overload]
            else:
                assert found[section][key] == value, f"{section}.{key}"
    unknown = {"second_cpu"}  # second_cpu::g_state: no name says that
    assert found["image"] == {k: v for k, v in built_in.sections["image"].items() if k not in unknown}
    assert "# TODO second_cpu" in drafted.read_text()
    assert "# TODO [activity]" in drafted.read_text()


def test_the_draft_fits_and_gives_the_same_reports(corrupted: Stopped, dump: Path, drafted: Path) -> None:
    done = run("profile", "check", drafted, "--kernel", KERNEL_ELF)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("profile: coronel: nothing is missing\n")
    options = ("--profile", drafted, "--dump", dump, "--kernel", KERNEL_ELF)
    done = run("heapcheck", "--verbose", *options)
    assert (done.stdout, done.returncode) == (corrupted.gdb.console("heapcheck --verbose"), 1)
    for command in ("frames", "regions", "processes", "replay"):
        by_draft = json.loads(corrupted.gdb.console(f"{command} --json --profile {drafted}"))
        by_us = json.loads(corrupted.gdb.console(f"{command} --json"))
        # Only a profile that says `specified` has the rules of docs/spec.md's address map.
        assert by_draft.pop("checked") <= by_us.pop("checked")
        assert by_draft == by_us


def test_in_gdb_it_is_an_option_and_a_setting(corrupted: Stopped, drafted: Path, tmp_path: Path) -> None:
    gdb = corrupted.gdb
    other = tmp_path / "other.toml"
    other.write_text(drafted.read_text().replace('name = "coronel"', 'name = "other"'))
    report = gdb.console("heapcheck --verbose")
    assert gdb.console(f"heapcheck --verbose --profile {other}") == report
    assert "\n  profile     coronel, types" in gdb.console("coronel status")
    gdb.console(f"set coronel profile {other}")
    try:
        assert "\n  profile     other, types" in gdb.console("coronel status")
        assert gdb.console("heapcheck --verbose") == report
        assert gdb.console("show coronel profile") == f"The profile of the kernel: {other}.\n"
    finally:
        gdb.console("set coronel profile")
    assert "\n  profile     coronel, types" in gdb.console("coronel status")


def leaves(table: dict[str, Any], where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, value) of every name of the kernel's that a profile holds."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*where, key))
        elif isinstance(value, str):
            yield (*where, key), value


def with_leaf(table: dict[str, Any], path: tuple[str, ...], value: str) -> dict[str, Any]:
    first, *rest = path
    return {**table, first: with_leaf(table[first], tuple(rest), value) if rest else value}


KERNELS = {
    "coronel": ("kernel/coronel.elf", 112, set()),
    "coronel-older": ("older/coronel-older.elf", 60, {("regions", "type"), ("regions", "node")}),
    "runs": ("runs/runs.elf", 7, set()),
    "tags": ("tags/tags.elf", 17, set()),
}
"""Profile → its kernel, how many of its names a draft has at least, and where it says them otherwise."""


def names(table: Mapping[str, Any], where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """(path, value) of all that a profile says, lists as sets."""
    for key, value in table.items():
        if isinstance(value, dict) and "field" not in value:
            yield from names(value, (*where, key))
        else:
            yield (*where, key), frozenset(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_fits_its_profile_and_a_draft_contradicts_neither(name: str) -> None:
    place, least, otherwise = KERNELS[name]
    elf = ROOT / "build" / place
    (profile,) = (profile for profile in resolve.built_in() if profile.name == name)
    known = read_known(profile, elf)
    assert list(missing(profile, known)) == []
    found = dict(names(tomllib.loads(draft(known.census, elf))))
    said = dict(names(profile.sections))
    both = found.keys() & said.keys()
    assert {path for path in both if found[path] != said[path]} == otherwise
    assert len(both) >= least


def test_there_is_a_kernel_for_every_profile() -> None:
    assert {profile.name for profile in resolve.built_in()} == KERNELS.keys()


def test_what_may_be_left_out_is_told(built_in: Profile) -> None:
    assert {one.where for one in unnamed(built_in)} >= {"quirks", "heap.header_bytes", "user_heap"}


def test_every_name_is_looked_up_and_its_right_one_is_near(built_in: Profile, known: Known) -> None:
    sections = {
        name: dict(table)
        for name, table in built_in.sections.items()
        if name not in ("activity", "leaks", "quirks")  # keys there are the kernel's names
    }
    tried = 0
    for path, value in leaves(sections):
        wrong = value[:2] + value[3:]
        changed = Profile(built_in.name, built_in.match, with_leaf(sections, path, wrong))
        found = {one.where: one for one in missing(changed, known)}
        assert found.keys() == {".".join(path)}, path
        assert value in found[".".join(path)].near, f"{path}: {found}"
        tried += 1
    assert tried > 90


def test_every_role_that_is_needed_is_asked_for(built_in: Profile, known: Known) -> None:
    needed = 0
    for section, fields in (("heap", "block_fields"), ("frames", "node_fields"), ("regions", "node_fields")):
        table: dict[str, Any] = dict(built_in.sections[section])
        for role in table[fields]:
            fewer = {**table, fields: {name: at for name, at in table[fields].items() if name != role}}
            changed = Profile(built_in.name, built_in.match, {**built_in.sections, section: fewer})
            (one,) = missing(changed, known)
            assert one.where == f"{section}.{fields}.{role}"
            assert table[fields][role] in one.near
            needed += 1
    assert needed == 11


BROKEN = {
    "section": ("[heep]\nx = 1\n", ["heep: there is no such section (heap)"]),
    "key": ("[image]\ntext_strat = 'x'\n", ["image.text_strat: there is no such key (text_start"]),
    "type": ("[image]\ntext_start = 3\n", ["image.text_start: 3 is no symbol ()"]),
    "scheme": ("[heap]\nscheme = 'coronal'\n", ["heap.scheme: there is no scheme coronal; there is coronel"]),
    "word": ("[regions]\nquirks = ['zero_size']\n", ["regions.quirks: there is no zero_size; there is"]),
    "list": ("[regions]\nquirks = 'zero_sized'\n", ["regions.quirks: 'zero_sized' is no list of words"]),
    "fields": ("[heap]\nfields = 3\n", ["heap.fields: 3 is no table"]),
    "role": (
        "[heap.fields]\nheap_strat = 'x'\n",
        ["heap.fields.heap_strat: there is no such role (heap_start"],
    ),
    "place": (
        "[heap.fields]\nheap_start = { field = 'x', bit = 99 }\n",
        ["heap.fields.heap_start: {'field': 'x', 'bit': 99} is no field"],
    ),
    "root": ("[heap]\ntype = 'x'\n", ["heap.pointer: not named, nor object", "heap.block: not named"]),
    "notes": ("[leaks]\nnotes = { a = 'b' }\n", ["leaks.notes.a: 'b' is no number"]),
    "lacks": ("lacks = ['heep']\n", ["lacks: there is no section heep (heap)"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_profile_that_is_wrong_in_itself(
    name: str, tmp_path: Path, corrupted: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    text, rows = BROKEN[name]
    path = tmp_path / "broken.toml"
    path.write_text(f'name = "broken"\nmatch = []\n{text}')
    assert main(["profile", "check", str(path), "--json"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    report = json.loads(said.out)
    found = [f"{row['where']}: {row['what']} ({row['near']})" for row in report["tables"][0]["rows"]]
    for row in rows:
        assert any(one.startswith(row) for one in found), found
    refused = json.loads(corrupted.gdb.console(f"heapcheck --json --profile {path}"))
    assert refused["error"].startswith(f"profile broken: {found[0].rpartition(' (')[0]}")
    assert refused["error"].endswith(f"(`coronel profile check {path}` lists all that is wrong)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "profile: `coronel profile new --kernel ELF`, `coronel profile check FILE"),
        (["old"], "profile: `coronel profile new --kernel ELF`"),
        (["new"], "profile: `new` reads a kernel: name it with --kernel KERNEL.elf"),
        (["new", "--kernel", "/none"], "no kernel file at /none"),
        (["new", "--kernel", "{toml}"], "the kernel file {toml} is no 64-bit ELF file"),
        (["new", "--kernel", "{stripped}"], "{stripped} has no debug information: build the kernel with -g"),
        (["check"], "profile: name the file to check"),
        (["check", "/none.toml"], "cannot read /none.toml: No such file or directory"),
        (["check", "{stripped}"], "{stripped}: "),
        (["check", "{toml}", "--kernel", "{toml}"], "{toml} is not a usable ELF file"),
        (["check", "{toml}", "--dump", "x"], "profile: it looks at files alone"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"toml": tmp_path / "some.toml", "stripped": tmp_path / "stripped.elf"}
    names["toml"].write_text('name = "some"\nmatch = []\n')
    subprocess.run(["objcopy", "--strip-debug", KERNEL_ELF, names["stripped"]], check=True)
    assert main(["profile", *(word.format(**names) for word in words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message.format(**names) in said.err
    assert said.err.count("\n") == 1


def test_a_structure_without_a_name_is_called_by_its_variable(tmp_path: Path) -> None:
    """A kernel of another shape, in C, with words of its own."""
    source = tmp_path / "mini.c"
    source.write_text(
        """
        typedef unsigned long u64;
        struct chunk { u64 length; struct chunk *previous, *next; unsigned cookie; unsigned char free; };
        enum { CHUNK_MAGIC_FREE = 0x0DDBA11, CHUNK_MAGIC_ALLOCATED = 0xBADCAFE };
        struct { u64 begin, end, bytes; struct chunk *head; } arena_heap;
        void *arena_malloc(u64 n) { return n == CHUNK_MAGIC_FREE ? 0 : arena_heap.head; }
        int kind(unsigned m) { return m == CHUNK_MAGIC_ALLOCATED; }
        """
    )
    elf = tmp_path / "mini.elf"
    options = ["-g", "-O1", "-nostdlib", "-static", "-Wl,-e,arena_malloc"]
    subprocess.run(["gcc", *options, source, "-o", elf], check=True, timeout=60)
    text = draft(read_census(elf), elf)
    heap = tomllib.loads(text)["heap"]
    assert (heap["object"], heap["type"], heap["block"]) == ("arena_heap", "decltype(arena_heap)", "chunk")
    assert (heap["magic_free"], heap["magic_used"]) == ("CHUNK_MAGIC_FREE", "CHUNK_MAGIC_ALLOCATED")
    assert heap["block_fields"] == {
        "size": "length", "is_free": "free", "next": "next", "prev": "previous", "magic": "cookie"
    }  # fmt: skip
    assert heap["fields"]["heap_end"] == "end"
    path = tmp_path / "mini.toml"
    path.write_text(text)
    done = run("profile", "check", path, "--kernel", elf)
    assert done.returncode == 0, done.stdout


def test_its_help_asks_for_no_dump(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--dump" not in said
    assert "--kernel ELF" in said
    assert said.endswith("\nexample: coronel profile check mine.toml --kernel kernel.elf\n")


def test_the_document_names_both_commands() -> None:
    text = (ROOT / "docs" / "profiles.md").read_text()
    for line in ("coronel profile new --kernel", "coronel profile check "):
        assert line in text
