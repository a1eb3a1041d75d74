"""`make readme`: capture the sessions in README.md anew; a test holds the file against the real output."""

import re
from collections.abc import Sequence

from lab.paths import ROOT
from lab.stopped import MIXED_THEN_OVERFLOW, Stopped, at_checkpoint

README = ROOT / "README.md"
SESSIONS = {
    "healthy": (1, ("heapcheck", "pagewalk g_kernel_heap->first_block_", "frames")),
    "corrupted": (2, ("heapcheck",)),
}
"""Name in README.md → the checkpoint, and what is typed there."""

_BLOCK = "<!-- captured: {name} -->\n```text\n{body}```\n"


def capture(stopped: Stopped, commands: Sequence[str]) -> str:
    """Return the session as a terminal shows it."""
    return "\n".join(f"(gdb) {command}\n{stopped.gdb.console(command)}" for command in commands)


def session_in_readme(name: str) -> str:
    """Return the body of the captured block of that name."""
    found = _pattern(name).search(README.read_text())
    return found[1] if found else ""


def main(_arguments: Sequence[str] = ()) -> int:
    """Rewrite the captured blocks."""
    text = README.read_text()
    for name, (checkpoint, commands) in SESSIONS.items():
        with at_checkpoint(checkpoint, MIXED_THEN_OVERFLOW) as stopped:
            block = _BLOCK.format(name=name, body=capture(stopped, commands))
        text = _pattern(name).sub(lambda _, block=block: block, text)  # type: ignore[misc]  # bound per round
    README.write_text(text)
    return 0


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_BLOCK.format(name=name, body="(.*?)"), re.S)
