"""Each package that is optional, hidden in turn: `coronel status` says what is lost, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import GDB_SCRIPT, KERNEL_ELF, PACKAGES, ROOT
from lab.scenarios import Scenario
from lab.stopped import MIXED_THEN_OVERFLOW
from tests.conformance.stops import Stop, standing

SOUND = Stop("mixed", Scenario("mixed", MIXED_THEN_OVERFLOW))
LOSS = {
    "pyelftools": "types that no earlier run has kept are taken from docs/spec.md instead of DWARF",
    "tabulate": "tables are plainer",
    "numpy": "large structures take longer",
    "cramjam": "pages of kdumps compressed with snappy or zstd cannot be read",
    "lzallright": "pages of kdumps compressed with lzo cannot be read",
}
MODULE = {"pyelftools": "elftools"}
"""Where its name is another."""
LINES = ("heapcheck", "frames", "regions", "processes", "pagewalk", "replay", "memcheck", "coronel layout")
NEEDS = {"pyelftools": {"memcheck", "replay", "coronel layout"}}
"""Commands that check the kernel's own types: without them they say what could not be checked."""
SITE = next((ROOT / ".venv" / "lib").glob("python3.*/site-packages"))


def checkout(folder: Path, without: str = "", broken: str = "") -> Path:
    """A script in a checkout whose environment lacks a package, or has one that cannot be imported."""
    for name in ("coronel_gdb", "model"):
        (folder / name).symlink_to(PACKAGES / name)
    site = folder / SITE.relative_to(ROOT)
    site.mkdir(parents=True)
    for entry in SITE.iterdir():
        if without and entry.name.startswith((without, MODULE.get(without, without))):
            continue
        if entry.name == broken:
            (site / broken).mkdir()
            (site / broken / "__init__.py").write_text("raise ImportError('made for another Python')")
        else:
            (site / entry.name).symlink_to(entry)
    script = folder / "gdbinit.py"
    script.write_text(f"import runpy\nrunpy.run_path({str(folder / 'coronel_gdb' / 'gdbinit.py')!r})\n")
    return script


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with standing(SOUND) as stood:
        yield stood.machine


@pytest.fixture(scope="module")
def expected(machine: Machine) -> dict[str, str]:
    """Line → its JSON with all packages."""
    with Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        return {line: gdb.console(f"{line} --json", 60) for line in LINES}


@pytest.mark.parametrize("package", LOSS)
def test_without_it_that_alone_is_lost(
    package: str,
    machine: Machine,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An earlier run has kept the types.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Gdb(script=checkout(tmp_path, without=package)) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        status = gdb.console("coronel status")
        said = [line for line in status.splitlines() if line.startswith("could not check")]
        assert said == [f"could not check {package}: not installed for this Python; {LOSS[package]}"]
        assert gdb.evaluate("$coronel_exit") == 2
        for line in LINES:
            if line in NEEDS.get(package, ()):
                gdb.console(line)
                assert gdb.evaluate("$coronel_exit") == 2, line
            else:
                assert gdb.console(f"{line} --json", 60) == expected[line], line


def test_one_that_cannot_be_imported_says_why(
    machine: Machine, expected: dict[str, str], tmp_path: Path
) -> None:
    """As where GDB embeds another Python than the environment's: compiled packages fail there."""
    with Gdb(script=checkout(tmp_path, broken="numpy")) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        assert (
            "could not check numpy: ImportError: made for another Python; large structures take longer"
            in (gdb.console("coronel status"))
        )
        assert gdb.console("heapcheck --json") == expected["heapcheck"]
        gdb.console("set coronel numpy off")
        assert "could not check" not in gdb.console("coronel status")
