"""`source gdbinit.py` in GDB: loads the coronel commands from this checkout."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parent / "coronel_gdb" / "gdbinit.py"))
