"""The pages that are written from the code: what the tool says of itself, and what it holds as data."""

import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from coronel_gdb.cli import main as coronel
from coronel_gdb.profiles.keys.catalogue import as_markdown as profile_keys
from lab.documents.document import DOCS, Session, sessions, with_sessions
from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT
from model.invariants.catalogue import as_markdown

COMMANDS = DOCS / "commands.md"
INVARIANTS = DOCS / "invariants.md"
PROFILES = DOCS / "profiles.md"
_PROFILE_KEYS = "## Reference\n"

_EXAMPLES = {
    "processes": ("processes, trace=65536", ("(gdb) processes",)),
    "snapshot": ("corrupted", ("(gdb) snapshot save before.snapshot", "(gdb) snapshot diff before.snapshot")),
    "status": ("corrupted", ("(gdb) pipe coronel status | head -n 7",)),
    "watch-heap": ("healthy", ("(gdb) coronel watch-heap", "(gdb) coronel watch-heap --off")),
    "report": ("corrupted", ("$ coronel report bug.coronel -o report.html",)),
    "triage": ("corrupted", ("$ coronel triage crashes",)),
    "profile": (
        "corrupted",
        ("$ coronel profile check coronel_gdb/profiles/coronel.toml --kernel kernel.elf",),
    ),
    "completion": ("corrupted", ("$ coronel completion bash | head -n 3",)),
}
"""Where the help's own example, without `--json`, would show little or needs something before it."""

_HEAD = """\
# Commands

All of them by one form: what it does, where it is, how it is called, what it shows. This page is written by
`make capture`, from what `help COMMAND` says in GDB and `coronel help COMMAND` on the command line, and from
what each shows of a kernel that has damaged its heap.

## What all have in common

| | |
| --- | --- |
| `--json` | the report as JSON, whatever the host |
| `--verbose` | everything that is known of each finding |
| `--profile FILE` | say with this profile what is what in the kernel ([Profiles](profiles.md)) |
| exit code 0 | checked, and clean |
| exit code 1 | checked, with findings |
| exit code 2 | could not check: one line says what and what to do; never counts as healthy |

In GDB the exit code is `$coronel_exit`, in LLDB the `script` variable `coronel_exit`, on the command line the
shell's. Addresses and numbers may be expressions of the debugger's. No command writes to the target.

On the command line a command has these besides:

"""
_COMMON = ("--verbose", "--json", "--profile")
"""Options of every command, told once."""


@dataclass(frozen=True)
class Help:
    """What a command says of itself."""

    name: str
    where: str
    text: str

    @property
    def _parts(self) -> list[str]:
        return self.text.partition("\n\nwithout a debugger: ")[0].strip().split("\n\n")

    @property
    def summary(self) -> str:
        """Its first line."""
        return self._parts[0]

    @property
    def usage(self) -> str:
        """How it is called, empty when it says nothing of that."""
        part = next((part for part in self._parts if part.startswith("usage: ")), "")
        return " ".join(part.removeprefix("usage: ").split())

    @property
    def details(self) -> list[str]:
        """Its paragraphs."""
        known = ("usage: ", "options:", "example: ")
        return [part for part in self._parts[1:] if not part.startswith(known)]

    @property
    def options(self) -> list[tuple[str, str]]:
        """Its own options, and what each is for."""
        part = next((part for part in self._parts if part.startswith("options:")), "")
        return [(name, text) for name, text in _pairs(part) if name.partition(" ")[0] not in _COMMON]

    @property
    def example(self) -> str:
        """The line that its help gives, without what makes it JSON; its name when it gives none."""
        _, given, line = self.text.rpartition("\nexample: ")
        return line.strip().replace(" --json", "") if given else f"coronel {self.name}"


def written_pages() -> Iterator[tuple[Path, str]]:
    """Every page that is written from the code, and its text; captured blocks keep what they hold."""
    yield INVARIANTS, as_markdown()
    yield PROFILES, with_profile_keys(PROFILES.read_text())
    yield COMMANDS, _kept(COMMANDS, _commands())


def with_profile_keys(text: str) -> str:
    """docs/profiles.md with all behind its last heading written from the code."""
    return f"{text.partition(_PROFILE_KEYS)[0]}{_PROFILE_KEYS}\n{profile_keys()}\n"


def helps() -> list[Help]:
    """Every command there is on any surface, as the tool itself lists and explains it."""
    found = []
    with Gdb(script=GDB_SCRIPT) as gdb:
        listed = re.findall(r"^(?:coronel )?([\w-]+) {2,}", gdb.console("coronel"), re.M)
        for name in listed:
            found.append(Help(name, "", gdb.console(f"help coronel {name}")))
    everywhere = _named(_said("--help"))
    found = [
        Help(each.name, "GDB, LLDB, command line" if each.name in everywhere else "GDB", each.text)
        for each in found
    ]
    for name in everywhere:
        if name not in listed:
            found.append(Help(name, "command line", _said("help", name) or everywhere[name]))
    return found


def command_line_options() -> list[tuple[str, str]]:
    """What `coronel --help` lists under `options`."""
    return _pairs(_said("--help").partition("\noptions:\n")[2].partition("\n\n")[0])


def _commands() -> str:
    parts = [_HEAD, *_rows(command_line_options())]
    parts.append("\n`coronel completion bash` prints a completion script; `coronel --version` the version.\n")
    for each in helps():
        parts.append(f"\n## `{each.name}`\n\n{each.summary} In: {each.where}.\n")
        if each.usage:
            parts.append(f"\n```text\n{each.usage}\n```\n")
        parts += [f"\n{_prose(paragraph)}\n" for paragraph in each.details]
        if each.options:
            parts += ["\n", *_rows(each.options)]
        prompt = "$" if each.where == "command line" else "(gdb)"
        place, lines = _EXAMPLES.get(each.name, ("corrupted", (f"{prompt} {_typed(each)}",)))
        parts.append(
            f"\n<!-- captured: {place} -->\n```text\n" + "".join(f"{line}\n" for line in lines) + "```\n"
        )
    return "".join(parts)


def _typed(each: Help) -> str:
    """Its example as typed in GDB, where some names are taken and stand behind `coronel`."""
    alone = each.example.split()[0] == each.name and each.name in ("layout", "status", "whatis", "save")
    return f"coronel {each.example}" if alone else each.example


def _rows(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "| option | what it does |\n| --- | --- |\n"
    for name, text in pairs:
        yield f"| `{_cell(name)}` | {_cell(text)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """Help text as Markdown: what Markdown would take for a mark is escaped outside of code."""
    return re.sub(r"(`[^`]*`)|([<*])", lambda at: at[1] or f"\\{at[2]}", text)


def _named(overview: str) -> dict[str, str]:
    return dict(_pairs(overview.partition("\ncommands:\n")[2].partition("\n\n")[0]))


def _pairs(part: str) -> list[tuple[str, str]]:
    """Names and texts of a list in a help text; a text may go on in lines that are indented further."""
    joined = re.sub(r"\n {3,}", " ", part)
    return [(row[1], row[2]) for row in re.finditer(r"^  (\S.*?) {2,}(.*)$", joined, re.M)]


def _said(*words: str) -> str:
    """What the command line prints, nothing when it refuses."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        code = coronel(words)
    return out.getvalue() if code == 0 else ""


def _kept(path: Path, text: str) -> str:
    """The text with the bodies of the captured blocks that the file has already."""
    there = sessions(path.read_text()) if path.exists() else []
    bodies = {(old.place, tuple(old.commands)): old.body for old in there}

    def body(new: Session) -> str:
        return bodies.get((new.place, tuple(new.commands)), new.body)

    return with_sessions(text, body)
