"""The captured sessions of the documents, typed anew at their places."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.documents.document import Session, documents, name, sessions
from lab.documents.stage import Dumps, Stage, staged
from lab.paths import ROOT

_CHANGING = (
    (re.compile(r"\(pid \d+\)"), "(pid 4711)"),
    (re.compile(r"looked at by  \d+ process\w*"), "looked at by  2 processes"),
    (re.compile(r"^save: \d+ KiB", re.M), "save: … KiB"),
    (re.compile(r"^  file  [\d,]+ bytes$", re.M), "  file  … bytes"),  # compressed
    (re.compile(rf"{re.escape(str(ROOT))}/"), ""),
    (re.compile(r"/\S*coronel-lab-\w+/"), ""),
    (re.compile(r"(GDB|LLDB|python|lldb version) +\d+\.\d+(\.\d+)?"), r"\1 …"),
)
"""What differs from run to run, or from machine to machine."""
_RESUMES = re.compile(r"\((?:gdb|lldb)\) (?:continue|reverse-|step|next|finish|process continue)")


def boots() -> dict[str, tuple[str, list[tuple[Path, Session]]]]:
    """All captured blocks in the order in which they are typed, by what is booted for them, and its place.

    Documents share a kernel that stands still; one that lets it run has its own.
    """
    found: dict[str, tuple[str, list[tuple[Path, Session]]]] = {}
    for path in documents():
        blocks = sessions(path.read_text())
        moved = {block.place for block in blocks if any(_RESUMES.match(line) for line in block.commands)}
        for block in blocks:
            label = f"{block.place}, for {name(path)}" if block.place in moved else block.place
            found.setdefault(label, (block.place, []))[1].append((path, block))
    return found


def captured(stage: Stage, session: Session) -> str:
    """The body of a block as its place shows it now."""
    typed: dict[str, Callable[[str], str]] = {
        "(gdb) ": stage.typed_in_gdb,
        "(lldb) ": stage.typed_in_lldb,
        "$ ": lambda command: stage.in_shell(command).stdout,
    }
    parts = []
    for line in session.commands:
        prompt = next(prompt for prompt in typed if line.startswith(prompt))
        shown = typed[prompt](line.removeprefix(prompt))
        for pattern, word in _CHANGING:
            shown = pattern.sub(word, shown.replace(f"{stage.folder}/", ""))
        # Blanks at the ends of lines, and empty lines at the end, are not to be seen on a terminal either.
        parts.append("\n".join([line, *(row.rstrip() for row in shown.rstrip().splitlines())]) + "\n")
    # Commands that show nothing stand together.
    return "".join(part + "\n" * (part.count("\n") > 1) for part in parts[:-1]) + parts[-1]


def captured_at(
    place: str, blocks: list[tuple[Path, Session]], dumps: Dumps
) -> Iterator[tuple[Path, Session, str]]:
    """Boot a place once and type all its blocks there, one after the other."""
    with staged(place, dumps) as stage:
        for path, session in blocks:
            yield path, session, captured(stage, session)
