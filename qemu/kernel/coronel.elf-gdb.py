"""GDB's auto-load script: lies next to coronel.elf (as a link) and loads the commands with it.

GDB runs it only from folders it trusts: `add-auto-load-safe-path` the build folder once in ~/.gdbinit.
"""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[2] / "gdbinit.py"))
