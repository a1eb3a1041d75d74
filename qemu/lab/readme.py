"""`make readme`: capture the sessions of README.md and docs/replay.md anew; a test holds them true."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT
from lab.programs import modules
from lab.stopped import MIXED_THEN_OVERFLOW, Stopped, at_checkpoint

README = ROOT / "README.md"
REPLAY = ROOT / "docs" / "replay.md"


@dataclass(frozen=True)
class Session:
    """A captured block: the document, the kernel's command line and checkpoint, and what is typed there."""

    document: Path
    append: str
    checkpoint: int
    commands: tuple[str, ...]
    programs: tuple[str, ...] = ()


SESSIONS = {
    "healthy": Session(
        README, MIXED_THEN_OVERFLOW, 1, ("heapcheck", "pagewalk g_kernel_heap->first_block_", "frames")
    ),
    "corrupted": Session(README, MIXED_THEN_OVERFLOW, 2, ("heapcheck",)),
    "replay-sound": Session(REPLAY, MIXED_THEN_OVERFLOW, 1, ("replay",)),
    "replay-damaged": Session(REPLAY, MIXED_THEN_OVERFLOW, 2, ("replay",)),
    "replay-divergent": Session(REPLAY, "scenario=overflow,mixed seed=5 ops=60", 2, ("replay --minimize",)),
    "replay-misuse": Session(REPLAY, "scenario=double_free", 1, ("replay",)),
    "replay-processes": Session(
        REPLAY, "scenario=processes trace=65536", 1, ("replay",), ("smash", "churn", "pause x")
    ),
    "replay-lost": Session(REPLAY, "scenario=mixed seed=7 ops=400 trace=128", 1, ("replay",)),
}
"""Name of the block → what is shown in it."""

_BLOCK = "<!-- captured: {name} -->\n```text\n{body}```\n"


def capture(stopped: Stopped, commands: Sequence[str]) -> str:
    """Return the session as a terminal shows it."""
    return "\n".join(f"(gdb) {command}\n{stopped.gdb.console(command)}" for command in commands)


def captured_anew(session: Session) -> str:
    """Boot the kernel for a session and return what it shows."""
    with at_checkpoint(session.checkpoint, session.append, extra=modules(session.programs)) as stopped:
        return capture(stopped, session.commands)


def session_in_document(name: str) -> str:
    """Return the body of the captured block of that name."""
    found = _pattern(name).search(SESSIONS[name].document.read_text())
    return found[1] if found else ""


def main(_arguments: Sequence[str] = ()) -> int:
    """Rewrite the captured blocks."""
    for name, session in SESSIONS.items():
        block = _BLOCK.format(name=name, body=captured_anew(session))
        text = session.document.read_text()
        text = _pattern(name).sub(lambda _, block=block: block, text)  # type: ignore[misc]  # bound per round
        session.document.write_text(text)
    return 0


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_BLOCK.format(name=name, body="(.*?)"), re.S)
