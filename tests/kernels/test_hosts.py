"""The kernels in C on every host: LLDB, and dumps without a debugger, say what GDB says."""

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.cli import main
from lab.lldb import Lldb
from lab.stopped import Stopped
from tests.kernels.told import STRUCK, at, elf, truth

STOPS = {"runs": "bug=overflow seed=5 ops=1500", "tags": "bug=free_overflow seed=5 ops=1500"}
OWN = {"runs": "frames", "tags": "heapcheck --blocks --stats --map"}
DUMPS = {"elf": "", "kdump": "-z "}


@pytest.fixture(scope="module", params=STOPS)
def struck(request: pytest.FixtureRequest) -> Iterator[tuple[str, Stopped]]:
    with at(request.param, STOPS[request.param], STRUCK) as stopped:
        yield request.param, stopped


def on_dump(words: str, path: Path, kernel: Path | None) -> dict[str, Any]:
    where = ["--dump", str(path), *(("--kernel", str(kernel)) if kernel is not None else ())]
    shown = StringIO()
    with redirect_stdout(shown):
        code = main([*words.split(), *where, "--json"])
    report: dict[str, Any] = json.loads(shown.getvalue())
    assert report["exit_code"] == code
    return report


def lines(name: str, stopped: Stopped) -> list[str]:
    return [OWN[name], "memcheck", f"pagewalk {truth(stopped.gdb).victim:#x}"]


def without_backing(report: dict[str, Any]) -> dict[str, Any]:
    """No dump knows what the machine has at an address."""
    return report | {"facts": {name: value for name, value in report["facts"].items() if name != "owner"}}


def test_dumps(struck: tuple[str, Stopped], tmp_path: Path) -> None:
    name, stopped = struck
    files = {form: tmp_path / form for form in DUMPS}
    for form, option in DUMPS.items():
        assert stopped.machine.monitor(f'dump-guest-memory {option}"{files[form]}"') == ""
    small = tmp_path / "small"
    stopped.gdb.console(f"coronel save {small}", 60)
    assert small.stat().st_size < (32 << 20) // 100
    for line in lines(name, stopped):
        live = without_backing(json.loads(stopped.gdb.console(f"{line} --json")))
        for path, kernel in (*((path, elf(name)) for path in files.values()), (small, None)):
            assert without_backing(on_dump(line, path, kernel)) == live, f"{line} on {path.name}"


def test_whatis_on_a_dump(struck: tuple[str, Stopped], tmp_path: Path) -> None:
    name, stopped = struck
    path = tmp_path / "elf"
    assert stopped.machine.monitor(f'dump-guest-memory "{path}"') == ""
    victim = truth(stopped.gdb).victim
    live = stopped.report(f"coronel whatis {victim:#x}", 0)
    assert on_dump(f"whatis {victim:#x}", path, elf(name))["summary"] == live["summary"]
    assert ("free page" if name == "runs" else "of a free chunk") in live["summary"]


def test_lldb() -> None:
    """In a run of its own: QEMU's stub serves one debugger."""
    for name, append in STOPS.items():
        with at(name, append, STRUCK) as stopped:
            asked = lines(name, stopped)
            live = {line: json.loads(stopped.gdb.console(f"{line} --json")) for line in asked}
            stopped.gdb.run("disconnect")
            with Lldb() as debugger:
                debugger.attach(stopped.machine.gdb_socket, elf(name))
                for line in asked:
                    told = json.loads(debugger.console(f"{line} --json"))
                    # A watchpoint and a write are said in the debugger's own words.
                    assert in_any_words(told) == in_any_words(live[line]), line


def in_any_words(report: dict[str, Any]) -> dict[str, Any]:
    findings = [
        {key: value for key, value in finding.items() if key not in ("next_commands", "repair")}
        for finding in report["findings"]
    ]
    return report | {"findings": findings}
