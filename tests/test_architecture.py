"""What the linters and import contracts of `make test` cannot say about the tree."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.paths import ROOT

ROOMS = ("coronel_gdb", "examples", "model", "qemu", "tests", "scripts", "docs", ".ci")
MADE_BY_PEOPLE = {".py", ".sh", ".toml", ".md", ".cpp", ".hpp", ".c", ".h", ".S", ".s", ".ld", ".mk", ""}
LINES_MAX = 400
# Prose is read, not maintained line by line: the specification is one text by intent.
UNLIMITED = {".md"}
SCRIPTS = [ROOT / "gdbinit.py", ROOT / "coronel_gdb" / "gdbinit.py", ROOT / "coronel_gdb" / "lldbinit.py"]
# A path of one machine: a home, or a folder that only a certain checkout has.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")


def files() -> Iterator[Path]:
    """Every text file of the checkout that people write."""
    # `.git` is a file in a linked work tree.
    top = (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    yield from (path for path in top if path.suffix in MADE_BY_PEOPLE)
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and path.suffix in MADE_BY_PEOPLE and "__pycache__" not in path.parts:
                yield path


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """The top-level names a Python file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_a_file_is_a_noun() -> None:
    lengths = {
        name(path): len(path.read_text().splitlines()) for path in files() if path.suffix not in UNLIMITED
    }
    assert {path: lines for path, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_path_of_one_machine() -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_debuggers_are_imported_by_their_hosts_alone() -> None:
    # The contracts watch coronel_gdb and model; this watches the rest of the tree as well. What the
    # laboratory runs inside a debugger is the only other place.
    hosts = {ROOT / "coronel_gdb" / "backends", ROOT / "qemu" / "lab" / "inside"}
    found = [
        name(path)
        for path in files()
        if path.suffix == ".py" and not hosts & set(path.parents) and imported(path) & {"gdb", "lldb"}
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "model").rglob("*.py")), ids=name)
def test_the_model_needs_the_standard_library_alone(path: Path) -> None:
    assert imported(path) - sys.stdlib_module_names <= {"model"}


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_that_a_debugger_loads_is_small(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 35
    assert not imported(script) & {"subprocess", "socket", "urllib", "http"}


def test_examples_use_the_interface_of_plugins_alone() -> None:
    found = {
        (name(path), node.module)
        for path in (ROOT / "examples").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith(("coronel_gdb", "model"))
    }
    assert {module for _, module in found} == {"coronel_gdb.api"}
