"""The Markdown files of the project, read as they are: captured sessions, command lines, links."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.paths import ROOT

DOCS = ROOT / "docs"

_CAPTURED = re.compile(r"^<!-- captured: ([^\n]+) -->\n```text\n(.*?)^```$", re.M | re.S)
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROMPTS = ("(gdb) ", "(lldb) ", "$ ")


def documents() -> list[Path]:
    """All documents whose commands a reader may type; the change log is history."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def name(path: Path) -> str:
    """How a document is called in messages."""
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Session:
    """A captured block: its place (`lab.documents.places`), and the body as it stands in the document."""

    place: str
    body: str

    @property
    def commands(self) -> list[str]:
        """What was typed, each with its prompt."""
        return [line for line in self.body.splitlines() if line.startswith(PROMPTS)]


@dataclass(frozen=True)
class Line:
    """One command line, and the number of its line; `whole` is a script, which may have many."""

    number: int
    text: str
    inline: bool = False
    whole: bool = False


def sessions(text: str) -> list[Session]:
    """The captured blocks of a document, in order."""
    return [Session(*found) for found in _CAPTURED.findall(text)]


def with_sessions(text: str, body_of: Callable[[Session], str]) -> str:
    """The document with other bodies in its captured blocks."""
    return _CAPTURED.sub(
        lambda found: f"<!-- captured: {found[1]} -->\n```text\n{body_of(Session(found[1], found[2]))}```",
        text,
    )


def strays(text: str) -> list[str]:
    """Lines with a prompt that stand in no captured block: nobody would hold them true."""
    rest = _CAPTURED.sub("", text)
    return [line.strip() for line in rest.splitlines() if line.strip().startswith(("(gdb) ", "(lldb) "))]


def lines(text: str) -> list[Line]:
    """The command lines of a document outside its sessions, in order of their place.

    A line of an indented block is one, up to three blanks, behind which it is explained; so is inline code;
    a block fenced as `sh` is one script.
    """
    blank = _CAPTURED.sub(_blanked, text)
    found = [(at.start(), Line(_number(text, at.start()), at[2], whole=True)) for at in _scripts(blank)]
    blank = _FENCE.sub(_blanked, blank)
    for at in _INDENTED.finditer(blank):
        if not _is_list(blank, at.start()):
            number = _number(text, at.start())
            for offset, row in enumerate(at[0].splitlines()):
                if command := re.split(r" {3,}", row.strip())[0]:
                    found.append((at.start() + offset, Line(number + offset, command)))
    blank = _INDENTED.sub(_blanked, blank)
    for at in _INLINE.finditer(blank):
        code = at[1].replace("\\|", "|")
        found.append((at.start(), Line(_number(text, at.start()), code, inline=True)))
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _scripts(text: str) -> Iterator[re.Match[str]]:
    return (at for at in _FENCE.finditer(text) if at[1] == "sh")


def _is_list(text: str, start: int) -> bool:
    """Whether an indented block goes on with the item of a list above it."""
    above = text[:start].rstrip().rsplit("\n\n", 1)[-1]
    return bool(re.match(r"\s*(?:[-*]|\d+\.) ", above))


def _blanked(found: re.Match[str]) -> str:
    """As many characters and lines, and nothing in them."""
    return re.sub(r"[^\n]", " ", found[0])


def _number(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
