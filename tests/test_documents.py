"""The documents show what really comes out, name only what there is, and every command line in them runs."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.documents.document import Session, documents, lines, name, strays, with_sessions
from lab.documents.lines import NOT_RUN, Unknown, dialect, problem_of_form, reason_not_to_run, run_line
from lab.documents.reference import written_pages
from lab.documents.sessions import boots, captured_at
from lab.documents.stage import Dumps, run, staged
from lab.paths import GDB_SCRIPT, PACKAGES, ROOT
from lab.stopped import Stopped

WITH_LINES = [path for path in documents() if any(dialect(line) for line in lines(path.read_text()))]


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dumps]:
    folder = tmp_path_factory.mktemp("dumps")
    yield Dumps(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("boot", boots())
def test_the_captured_sessions_are_true(boot: str, dumps: Dumps) -> None:
    for path, session, shown in captured_at(*boots()[boot], dumps):
        assert session.commands, f"{name(path)}: a captured block without a command"
        assert session.body == shown, f"{name(path)}: run `make capture`"


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Inline code that an earlier document had, too."""
    return set()


@pytest.mark.parametrize("path", WITH_LINES, ids=name)
def test_every_command_line_runs(path: Path, dumps: Dumps, done: set[str]) -> None:
    problems = []
    with staged("make debug", dumps) as stage:
        for line in lines(path.read_text()):
            kind = dialect(line)
            if kind is None or (line.inline and line.text in done):
                continue
            done.add(line.text)
            listed = reason_not_to_run(line) is not None
            problem = problem_of_form(stage, line) if listed else run_line(stage, line, kind)
            if problem is not None:
                problems.append(f"{name(path)}:{line.number}: `{line.text}`: {problem}")
    assert not problems, "\n".join(problems)


def test_a_line_that_nobody_knows_how_to_run_fails() -> None:
    (line,) = lines("Text.\n\n    frobnicate --everything   which is no program of ours\n")
    with pytest.raises(Unknown, match="frobnicate --everything"):
        dialect(line)
    assert strays("```text\n(gdb) heapcheck\n```\n") == ["(gdb) heapcheck"]


def test_sessions_are_captured_and_none_is_made_up() -> None:
    assert {name(path): strays(path.read_text()) for path in documents() if strays(path.read_text())} == {}


def test_every_line_that_is_not_run_is_there() -> None:
    texts = {line.text for path in documents() for line in lines(path.read_text())}
    unused = [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, text) for text in texts)]
    assert unused == []


def test_the_written_pages_say_what_the_code_says() -> None:
    for path, text in written_pages():
        assert with_sessions(path.read_text(), _typed) == with_sessions(text, _typed), "run `make capture`"


def test_a_debug_session_starts_and_ends() -> None:
    done = run("make debug SCENARIO=mixed,underflow", ROOT)
    assert done.returncode == 0
    assert "coronel_checkpoint (number=1" in done.stdout


def test_every_command_of_the_readme_has_help_and_is_listed(healthy: Stopped) -> None:
    table = (ROOT / "README.md").read_text().split("## Commands")[1].split("Every command")[0]
    listed = healthy.gdb.console("coronel")
    commands = set(re.findall(r"^\| `((?:coronel )?[\w-]+)", table, re.M)) - {"coronel"}
    assert commands == set(re.findall(r"^((?:coronel )?[\w-]+) {2,}", listed, re.M))
    for command in commands:
        assert "usage: " in healthy.gdb.console(f"help {command}")


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


def _typed(session: Session) -> str:
    return "\n".join(session.commands)
