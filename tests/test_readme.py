"""README.md shows what really comes out, and names only what there is."""

import re
import subprocess

import pytest

from lab.paths import GDB_SCRIPT, PACKAGES, ROOT
from lab.readme import README, SESSIONS, capture, captured_anew, session_in_document
from lab.stopped import MIXED_THEN_OVERFLOW, Stopped

SHARED = {1: "healthy", 2: "corrupted"}


@pytest.mark.parametrize("name", SESSIONS)
def test_the_captured_sessions_are_true(name: str, request: pytest.FixtureRequest) -> None:
    session = SESSIONS[name]
    if session.append == MIXED_THEN_OVERFLOW:
        stopped: Stopped = request.getfixturevalue(SHARED[session.checkpoint])
        shown = capture(stopped, session.commands)
    else:
        shown = captured_anew(session)
    assert session_in_document(name) == shown, "run `make readme`"


def test_every_command_of_the_table_has_help_and_is_listed(healthy: Stopped) -> None:
    table = README.read_text().split("## Commands")[1].split("Every command")[0]
    listed = healthy.gdb.console("coronel")
    commands = set(re.findall(r"^\| `((?:coronel )?[\w-]+)", table, re.M)) - {"coronel"}
    assert commands == {
        *("memcheck", "heapcheck", "pagewalk", "frames", "regions", "processes", "replay", "snapshot"),
        *("coronel layout", "coronel save", "coronel status", "coronel watch-heap", "coronel whatis"),
    }
    for command in commands:
        assert re.search(f"^{command} ", listed, re.M)
        assert "usage: " in healthy.gdb.console(f"help {command}")


def test_every_make_target_in_the_documents_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"(?:^    |`)make ([a-z]+)", (ROOT / document).read_text(), re.M):
            assert re.search(f"^{target}:", makefile, re.M), f"{document}: make {target}"


def test_the_command_for_one_test_runs_it() -> None:
    found = re.search(r"^    (\.venv/bin/python -m pytest .*)$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert found
    done = subprocess.run(found[1].split(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert " 1 passed" in done.stdout


@pytest.mark.skipif(PACKAGES != ROOT, reason="the script loads the checkout that built the kernel")
def test_the_auto_load_script_next_to_the_kernel_loads_the_commands() -> None:
    elf = ROOT / "build" / "kernel" / "coronel.elf"
    safe = ["-iex", f"add-auto-load-safe-path {ROOT}"]
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *safe, "-ex", f"file {elf}", "-ex", "coronel"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "heapcheck " in done.stdout, done.stdout + done.stderr
    assert GDB_SCRIPT.name in (ROOT / "qemu" / "kernel" / "coronel.elf-gdb.py").read_text()
