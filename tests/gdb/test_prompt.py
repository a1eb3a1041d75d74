"""What a user does at the prompt besides running a command: list, help, completion, missing packages."""

from pathlib import Path

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF, PACKAGES
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped


def completions(stopped: Stopped, text: str) -> list[str]:
    matches: list[str] = stopped.gdb.mi(f'-complete "{text}"')["matches"]
    return matches


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("heapch", "heapcheck"),
        ("coronel fr", "coronel frames"),
        ("heapcheck --", "heapcheck --json"),
        ("pagewalk --c", "pagewalk --cr3"),
        ("coronel pagewalk --j", "coronel pagewalk --json"),
        ("pagewalk g_kernel_h", "pagewalk g_kernel_heap"),
    ],
)
def test_tab_completes(healthy: Stopped, typed: str, offered: str) -> None:
    assert offered in completions(healthy, typed)


@pytest.mark.parametrize(
    "command", ["heapcheck", "pagewalk", "frames", "coronel status", "coronel heapcheck"]
)
def test_help_explains_with_an_example(healthy: Stopped, command: str) -> None:
    text = healthy.gdb.console(f"help {command}")
    for part in ("usage: ", "options:", "--json", "example: "):
        assert part in text


def test_without_the_environments_packages_commands_still_work(
    healthy: Stopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout whose GDB finds neither pyelftools nor tabulate: plainer, unverified, and said so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("coronel_gdb", "model"):
        (tmp_path / name).symlink_to(PACKAGES / name)
    script = tmp_path / "coronel_gdb" / "gdbinit.py"
    with Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as machine, Gdb(script=script) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        status = gdb.console("coronel status")
        assert gdb.evaluate("$coronel_exit") == 2
        assert "could not check pyelftools: not installed for this Python" in status
        assert "could not check tabulate: not installed for this Python; tables are plainer" in status
        assert "could not check packages: no environment at" in status
        assert "types from docs/spec.md, not verified: the Python package pyelftools is missing" in status
        for command in ("heapcheck", "frames"):
            assert gdb.console(f"{command} --json") == healthy.gdb.console(f"{command} --json")
        assert "rw- kernel" in gdb.console("pagewalk")
