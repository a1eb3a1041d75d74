"""TAB completes every option of every command, and what each takes, in both debuggers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coronel_gdb.backends.surface import PREFIXED_ONLY
from coronel_gdb.commands.command import Command
from coronel_gdb.plugins import commands
from lab.gdbmi import Gdb
from lab.lldb import Lldb
from lab.paths import GDB_SCRIPT, KERNEL_ELF

Complete = Callable[[str], set[str]]
"""What is typed → what is offered for its last word."""

ALL = list(commands())


@pytest.fixture(scope="module", params=["gdb", "lldb"])
def complete(request: pytest.FixtureRequest) -> Iterator[Complete]:
    if request.param == "gdb":
        with Gdb(script=GDB_SCRIPT) as gdb:
            gdb.mi(f"-file-exec-and-symbols {KERNEL_ELF}")
            yield lambda text: {
                match.rpartition(" ")[2] for match in gdb.mi(f'-complete "{text}"')["matches"]
            }
    else:
        with Lldb() as lldb:
            lldb.console(f"target create {KERNEL_ELF}")
            yield lambda text: set(lldb.complete(text))


def names(command: Command) -> list[str]:
    own = command.name in PREFIXED_ONLY or command.name == "whatis"  # GDB's own `whatis` is another
    return [f"coronel {command.name}", *([] if own else [command.name])]


def test_names(complete: Complete) -> None:
    assert {command.name for command in ALL} <= complete("coronel ")
    assert "heapcheck" in complete("heapch")


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
def test_options(complete: Complete, command: Command) -> None:
    options = set(command.option_names())
    assert {"--json", "--verbose"} <= options
    for name in names(command):
        assert complete(f"{name} --") == options
        for option in options:
            begun = option if option[:-1] in options else option[:-1]
            assert option in complete(f"{name} --verbose {begun}")


def test_words_that_an_option_takes(complete: Complete) -> None:
    assert complete("pagewalk --access ") == {"r", "w", "x"}
    assert complete("coronel pagewalk --json --cpl ") == {"0", "3"}


def test_files(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "one.coronel").touch()
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "stop-1").touch()
    for line in ("coronel save", "snapshot save", "snapshot diff", "pagewalk --save", "pagewalk --diff"):
        assert f"{tmp_path}/one.coronel" in complete(f"{line} {tmp_path}/one.c")
        assert f"{tmp_path}/only/" in complete(f"{line} {tmp_path}/onl")
        assert f"{tmp_path}/only/stop-1" in complete(f"{line} {tmp_path}/only/stop-")


def test_nothing_where_nothing_is_taken(complete: Complete) -> None:
    assert complete("heapcheck g_kernel_h") == set()
    assert complete("frames --nonsense") == set()
