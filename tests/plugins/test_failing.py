"""A plugin that fails costs itself alone, and `coronel status` names it; nobody ever sees a traceback."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.api import API_VERSION
from coronel_gdb.plugins import commands
from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF, ROOT
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped
from tests.plugins.installing import coronel, with_packages, write_plugin

API = "from coronel_gdb.api import *\nfrom coronel_gdb.api import __all__\n"
COMMAND = 'Command("{name}", "Summary.", "Details.", "{name}", {options}, lambda c, o: {report})'


def command(name: str, options: str = "()", report: str = 'Report("r", "fine", checked=1)') -> str:
    return API + "COMMANDS = [" + COMMAND.format(name=name, options=options, report=report) + "]\n"


UNFIT = {
    "syntax": ("def f(:\n", "not used: SyntaxError: invalid syntax (plugin_syntax.py, line 1)"),
    "absent": (
        "import no_such_package\n",
        "not used: ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "leaves": ("raise SystemExit('bye')\n", "not used: SystemExit: bye"),
    "lines": ("raise ValueError('two\\nlines')\n", "not used: ValueError: two lines"),
    "future": (
        f"API_VERSION = {API_VERSION + 1}\nCOMMANDS = 'whatever'\n",
        f"not used: is for version {API_VERSION + 1} of the plugin interface, and this is {API_VERSION}",
    ),
    "empty": (
        "",
        "not used: plugin_empty has none of COMMANDS, CHECKS, PROFILES, RENDERERS, DUMP_READERS",
    ),
    "words": (
        "API_VERSION = '1'\n",
        f"not used: is for version '1' of the plugin interface, and this is {API_VERSION}",
    ),
    "attribute": (
        "def __getattr__(name): raise RuntimeError(name)\n",
        "not used: RuntimeError: API_VERSION",
    ),
    "unhashable": (
        API + 'CHECKS = [Check(["x"], (), print)]\n',
        "not used: TypeError: ",
    ),
    "scalar": ("COMMANDS = 'heapcheck'\n", "not used: COMMANDS is str, not a tuple or list"),
    "items": ("CHECKS = ['heap']\n", "not used: CHECKS holds str, not Check"),
    "taken": (command("heapcheck"), "not used: there is a command heapcheck already"),
    "reserved": (command("help"), "not used: there is a command help already"),
    "untypable": (command("Two words"), "not used: command 'Two words' is no name: [a-z][a-z0-9-]*"),
    "option": (
        command("optional", '(Option("--json", "mine"),)'),
        "not used: command optional: ArgumentError: argument --json: conflicting option string: --json",
    ),
    "third": (command("shared"), "not used: there is a command shared already"),
    "code": (
        API + 'CHECKS = [Check("x", (Code("HEAP001", "", ""),), print)]\n',
        "not used: there is a code HEAP001 already",
    ),
    "row": (
        API + 'CHECKS = [Check("kernel heap", (), print)]\n',
        "not used: there is a check kernel heap already",
    ),
    "form": (
        API + 'RENDERERS = [Renderer("json", print)]\n',
        "not used: there is a format json already",
    ),
    "reader": (
        API + 'DUMP_READERS = [DumpReader("x", b"", print)]\n',
        "not used: dump reader x: magic is not 1 to 16 bytes",
    ),
    "elf": (
        API + 'DUMP_READERS = [DumpReader("x", bytes.fromhex("7f454c46"), print)]\n',
        "not used: there is a magic 7f 45 4c 46 already",
    ),
    "toml": (
        "from pathlib import Path\nPROFILES = [Path(__file__)]\n",
        "not used: PROFILES: plugin_toml.py: not a profile: ",
    ),
    "nowhere": (
        "from pathlib import Path\nPROFILES = [Path('/nowhere.toml')]\n",
        "not used: PROFILES: /nowhere.toml cannot be read: ",
    ),
}
"""Name → the module, and what `coronel status` says; `second` comes before `third` and has its name."""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw"
    path.write_bytes(bytes(4096))
    return path


def not_checked(report: dict[str, Any]) -> dict[str, str]:
    return {row["what"]: row["why"] for row in report["not_checked"] if row["what"].startswith("plugin ")}


def test_what_does_not_fit_is_named_and_the_rest_works(raw: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    write_plugin(packages, "second", command("shared"))
    for name, (code, _) in UNFIT.items():
        write_plugin(packages, name, code)
    half = packages / "half-1.dist-info"
    half.mkdir()
    (half / "entry_points.txt").write_text("[coronel_gdb.plugins]\nno equals sign\n")
    done = coronel("status", "--dump", raw, "--json", packages=packages)
    status = json.loads(done.stdout)
    assert done.stderr == ""
    (why,) = [row["why"] for row in status["not_checked"] if row["what"] == f"plugins in {half}"]
    assert why.startswith("not used: TypeError: ")
    found = not_checked(status)
    assert found.keys() == {f"plugin {name}" for name in UNFIT}
    for name, (_, why) in UNFIT.items():
        assert found[f"plugin {name}"].startswith(why), name
        assert "\n" not in found[f"plugin {name}"]
    assert "unhashable type: 'list'" in found["plugin unhashable"]  # Python 3.14 says more in front
    assert status["facts"]["plugin second 2.1"] == "command shared"
    done = coronel("shared", "--dump", raw, packages=packages)
    assert (done.returncode, done.stdout, done.stderr) == (0, "r: fine\n", "")
    overview = coronel("--help", packages=packages).stdout
    assert all(f"  {one.name} " in overview for one in commands())


RUNNING = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "leaves": ("exit(3)", "SystemExit: 3"),
    "prints": ("print('noise') or None", "it returned NoneType, not a Report"),
    "nothing": ("None", "it returned NoneType, not a Report"),
    "unshown": ('Report("r", "x", tables=[Table("t", ("a",), [(1, 2)])])', "ValueError: zip() argument 2"),
    "unjson": ('Report("r", "x", facts=[("a", {1, 2})])', "TypeError: Object of type set is not JSON"),
}


@pytest.mark.parametrize("name", RUNNING)
def test_a_command_that_fails_is_one_line(raw: Path, tmp_path: Path, name: str) -> None:
    expression, why = RUNNING[name]
    write_plugin(tmp_path / "packages", "fails", command("boom", report=expression))
    done = coronel("boom", "--dump", raw, packages=tmp_path / "packages")
    assert (done.returncode, done.stdout) == (2, "")
    error = done.stderr.removeprefix("noise\n")
    assert error.startswith(f"boom: plugin fails: command boom failed: {why}")
    assert error.count("\n") == 1


FINDING = 'Finding({code}, "title", {subject}, ("line",), {{}})'
CHECKED = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "none": ("None", "it returned NoneType, not a Report"),
    "undeclared": (FINDING.format(code='"HEAP001"', subject="1"), "HEAP001 is none of its codes"),
    "shapeless": (FINDING.format(code='"MINE001"', subject="None"), "TypeError: unsupported format string"),
}


def test_a_check_that_fails_is_a_row_and_loses_nothing(
    corrupted: Stopped, dump: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    for number, (name, (expression, _)) in enumerate(CHECKED.items()):
        code = "MINE001" if name == "shapeless" else f"MINE01{number}"
        body = f'Report("c", "x", findings=[{expression}])' if "Finding" in expression else expression
        check = f'Check("{name}", (Code("{code}", "t", "m"),), lambda survey: {body})'
        write_plugin(packages, name, f"{API}CHECKS = [{check}]\n")
    done = coronel("memcheck", "--dump", dump, "--kernel", KERNEL_ELF, "--json", packages=packages)
    found, plain = json.loads(done.stdout), json.loads(corrupted.gdb.console("memcheck --json"))
    assert (done.returncode, done.stderr) == (1, "")
    assert found["findings"] == plain["findings"]
    assert found["checked"] == plain["checked"]
    rows = {row["check"]: row for row in found["tables"][0]["rows"]}
    for name, (_, why) in CHECKED.items():
        assert rows[name]["verdict"] == "not checked"
        assert rows[name]["summary"].startswith(f"plugin {name}: check {name} failed: {why}")
    assert {row["what"] for row in found["not_checked"]} >= set(CHECKED)


@pytest.mark.parametrize(
    ("expression", "why"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("b'bytes'", "it made bytes, not text")],
)
def test_a_format_that_fails_is_one_line(raw: Path, tmp_path: Path, expression: str, why: str) -> None:
    packages = tmp_path / "packages"
    write_plugin(packages, "form", f'{API}RENDERERS = [Renderer("odd", lambda r, look: {expression})]\n')
    done = coronel("status", "--dump", raw, "--format", "odd", packages=packages)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"status: plugin form: format odd failed: {why}\n"


READERS = {
    "opens": ("1 / 0", "ZeroDivisionError: division by zero"),
    "makes": ("source", "it made FileSource, not a Dump"),
    "short": ("Dump('odd', Memory(b'x'))", "not the 4096 bytes that were asked for"),
    "faults": ("Dump('odd', Memory(None))", "TypeError: object of type 'NoneType' has no len()"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_fails_is_one_line(tmp_path: Path, name: str) -> None:
    expression, why = READERS[name]
    code = API + "class Memory:\n    def __init__(self, data): self.data = data\n"
    code += "    def read(self, address, size_bytes): len(self.data); return self.data\n"
    code += "    def ranges(self): return [(0, 1 << 20)]\n"
    code += f'DUMP_READERS = [DumpReader("odd", b"ODD", lambda source: {expression})]\n'
    write_plugin(tmp_path / "packages", "odd", code)
    path = tmp_path / "dump"
    path.write_bytes(b"ODD dump")
    done = coronel("pagewalk", "0", "--dump", path, "--cr3", "0x1000", packages=tmp_path / "packages")
    assert done.returncode == 2
    assert f"dump reader odd failed: {why}" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_in_gdb_a_failure_is_an_error_and_stays_in_status(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    write_plugin(packages, "fails", command("boom", report="1 / 0"))
    write_plugin(packages, "absent", "import no_such_package\n")
    with (
        Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as machine,
        Gdb(script=GDB_SCRIPT, environment=with_packages(packages)) as gdb,
    ):
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        absent = "could not check plugin absent: not used: ModuleNotFoundError: No module named"
        failed = "could not check plugin fails: command boom failed: ZeroDivisionError: division by zero"
        status = gdb.console("coronel status")
        assert absent in status
        assert failed not in status
        with pytest.raises(GdbCommandError, match="plugin fails: command boom failed"):
            gdb.console("boom")
        assert gdb.evaluate("$coronel_exit") == 2
        status = gdb.console("coronel status")
        assert absent in status
        assert failed in status
        assert " is sound" in gdb.console("heapcheck")


def test_without_plugins_nothing_is_imported_to_find_out(tmp_path: Path) -> None:
    seen = "import json, sys; from coronel_gdb.plugins import load; load(); print(json.dumps([*sys.modules]))"
    costly = {"importlib.metadata", "coronel_gdb.api"}
    for packages, loaded in ((tmp_path / "none", set()), (tmp_path / "one", costly)):
        if loaded:
            write_plugin(packages, "one", command("one"))
        done = subprocess.run(
            [sys.executable, "-c", seen],
            capture_output=True,
            text=True,
            check=True,
            env=with_packages(packages),
            cwd=ROOT,
        )
        assert costly & set(json.loads(done.stdout)) == loaded
