"""What a user of GDB types every day means the same after the commands are loaded: GDB itself is asked."""

from collections.abc import Iterator

import pytest

from coronel_gdb.backends.surface import PREFIXED_ONLY
from coronel_gdb.plugins import commands
from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT

NAMES = [command.name for command in commands()]
SHORT = [name for name in NAMES if name not in PREFIXED_ONLY]
WORDS = sorted({name[:length] for name in [*NAMES, "coronel"] for length in range(1, len(name) + 1)})
EVERY_DAY = ("f", "fr", "frame", "l", "lay", "layout", "p", "r", "re", "he", "h", "m", "mem", "c", "cor", "s")


def meaning(gdb: Gdb, word: str) -> str:
    """What its help begins with: it differs from command to command. Nothing for no command."""
    try:
        text = gdb.console(f"help {word}")
    except GdbCommandError as error:
        return "ambiguous" if "mbiguous" in error.message else ""
    first, *others = text.splitlines()
    aliases = ", " in first and not first.endswith(".")  # they may be more than before
    return others[0] if aliases else first


@pytest.fixture(scope="module")
def plain() -> Iterator[Gdb]:
    with Gdb() as gdb:
        yield gdb


@pytest.fixture(scope="module")
def loaded() -> Iterator[Gdb]:
    with Gdb(script=GDB_SCRIPT) as gdb:
        yield gdb


@pytest.mark.parametrize("word", sorted({*WORDS, *EVERY_DAY}))
def test_a_word_that_had_a_meaning_keeps_it(plain: Gdb, loaded: Gdb, word: str) -> None:
    before = meaning(plain, word)
    if before not in ("", "ambiguous"):
        assert meaning(loaded, word) == before


def test_abbreviations_do_what_they_did(plain: Gdb, loaded: Gdb) -> None:
    for line in ("fr", "cor /nonexistent", "layout src", "lay no_such"):
        said = []
        for gdb in (plain, loaded):
            try:
                said.append(gdb.console(line))
            except GdbCommandError as error:
                said.append(error.message)
        assert said[0] == said[1], line


def test_short_names_are_there_and_no_other(loaded: Gdb, plain: Gdb) -> None:
    summaries = {command.name: command.summary for command in commands()}
    for name in NAMES:
        assert meaning(loaded, f"coronel {name}") == summaries[name]
        assert (meaning(loaded, name) == summaries[name]) == (name in SHORT)
    assert meaning(loaded, "layout") == meaning(plain, "layout") == "Change the layout of windows."


def test_a_command_of_another_extension_is_not_hidden() -> None:
    with Gdb() as gdb:
        gdb.console("python type('T', (gdb.Command,), {'__doc__': 'Theirs.'})('pagewalk', gdb.COMMAND_DATA)")
        gdb.console(f"source {GDB_SCRIPT}")
        assert meaning(gdb, "pagewalk") == "Theirs."
        assert meaning(gdb, "coronel pagewalk").startswith("Translate an address")
        assert "coronel pagewalk " in gdb.console("coronel")


def test_loaded_twice_nothing_is_lost(plain: Gdb) -> None:
    with Gdb(script=GDB_SCRIPT) as gdb:
        before = gdb.console("coronel")
        gdb.console(f"source {GDB_SCRIPT}")
        assert gdb.console("coronel") == before
        assert meaning(gdb, "fr") == meaning(plain, "fr")
