"""`command script import coronel_gdb/lldbinit.py` in LLDB: loads the coronel commands from this checkout."""

import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_PROBLEMS = []

# LLDB has put this folder on the path, where its modules would hide others of their names.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != _ROOT / "coronel_gdb"]
if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
    # LLDB embeds the system's Python: lend it the packages of the project's environment.
    _wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _found = sorted((_ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    sys.path.extend(map(str, _found))
    if not _found:
        _PROBLEMS.append(("packages", f"no environment at {_ROOT / '.venv'}: run `make setup`"))
    elif _wanted not in {path.parent.name for path in _found}:
        _versions = ", ".join(path.parent.name for path in _found)
        _PROBLEMS.append(
            ("packages", f"LLDB embeds {_wanted}, the environment has {_versions}: compiled packages fail")
        )


def __lldb_init_module(debugger: Any, session: dict[str, object]) -> None:  # the name is LLDB's
    """Install the commands in the debugger that imports this file."""
    from coronel_gdb.backends.lldb_commands import install

    install(debugger, session, tuple(_PROBLEMS))
