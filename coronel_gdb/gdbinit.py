"""`source gdbinit.py` in GDB: loads the coronel commands. `coronel gdbinit` prints that line in full."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).absolute().parents[1])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from coronel_gdb.environment import lend, too_old  # noqa: E402 - after the path is set

if why := too_old("GDB"):
    sys.stderr.write(why)
else:
    _PROBLEMS = lend("GDB")

    from coronel_gdb.backends.gdb_commands import install

    install(_PROBLEMS)
