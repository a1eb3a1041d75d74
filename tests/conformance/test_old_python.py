"""A debugger whose Python is too old for this package: one plain line, and the debugger goes on."""

import subprocess

import pytest

from lab.lldb import LLDB
from lab.paths import GDB_SCRIPT, LLDB_SCRIPT

OLD = "import sys; sys.version_info = (3, 10, 12, 'final', 0)"
DEBUGGERS = {
    "GDB": ["gdb", "-nx", "-q", "-batch", "-ex", f"python {OLD}", "-ex", f"source {GDB_SCRIPT}"],
    "LLDB": [LLDB, "-b", "-x", "-o", f"script {OLD}", "-o", f"command script import {LLDB_SCRIPT}"],
}


@pytest.mark.parametrize("name", DEBUGGERS)
def test_one_line_says_so(name: str) -> None:
    done = subprocess.run(DEBUGGERS[name], check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == (
        f"coronel: {name} embeds Python 3.10, the commands need 3.11: "
        "use a newer debugger, or `coronel` from a newer Python, which needs none\n"
    )
    assert "Traceback" not in done.stdout
