"""`source gdbinit.py` in GDB: loads the coronel commands from this checkout."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_PROBLEMS = []

if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
    # GDB embeds the system's Python: lend it the packages of the project's environment.
    _wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _found = sorted((_ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    sys.path.extend(map(str, _found))
    if not _found:
        _PROBLEMS.append(("packages", f"no environment at {_ROOT / '.venv'}: run `make setup`"))
    elif _wanted not in {path.parent.name for path in _found}:
        _versions = ", ".join(path.parent.name for path in _found)
        _PROBLEMS.append(
            ("packages", f"GDB embeds {_wanted}, the environment has {_versions}: compiled packages fail")
        )

from coronel_gdb.backends.gdb_commands import install  # noqa: E402 - after the path is set

install(tuple(_PROBLEMS))
