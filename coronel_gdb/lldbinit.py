"""`command script import lldbinit.py` in LLDB loads the commands. `coronel lldbinit` prints that in full."""

import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
# LLDB has put this folder on the path, where its modules would hide others of their names.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))


def __lldb_init_module(debugger: Any, session: dict[str, object]) -> None:  # the name is LLDB's
    """Install the commands in the debugger that imports this file."""
    from coronel_gdb.environment import lend, too_old

    if why := too_old("LLDB"):
        sys.stderr.write(why)
        return

    from coronel_gdb.backends.lldb_commands import install

    install(debugger, session, lend("LLDB"))
