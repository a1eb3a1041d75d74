"""Which command line of a document is run where; which one is not run, and why."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from coronel_gdb.plugins import commands
from lab.documents.document import Line, documents, sessions
from lab.documents.stage import Stage, run
from lab.paths import ROOT

OURS: Final = frozenset(command.name for command in commands()) - {"layout", "save", "status", "whatis"}
"""Commands that are typed without `coronel` before them, in GDB too, which has the others itself."""

HEADS: Final = {
    "shell": ("eval", "gdb", "lldb-19", "pip", "pipx", "qemu-system-x86_64", "makedumpfile", "sudo"),
    "checkout": ("make", ".venv/bin/python", "PYTHONPATH=.:qemu"),
    "lldb": (
        "command script",
        "target create",
        "gdb-remote",
        "process connect",
        "process detach",
        "watchpoint",
        "script",
    ),
    "monitor": ("dump-guest-memory", "pmemsave", "info mtree", "info tlb", "info mem", "gva2gpa", "xp"),
    "visitor": ("source", "target", "file"),
    "gdb": (
        *sorted(OURS),
        *("help", "continue", "break", "hbreak", "watch", "print", "set", "show"),
        *("disable", "info", "reverse-continue", "add-auto-load-safe-path", "x/8gx"),
    ),
}
"""How a line begins, and who reads it. The first that fits counts, so the longer ones stand first."""

COMMAND_LINE: Final = re.compile(
    r"coronel (?:.*--(?:dump|qmp|help|version)\b|(?:report|triage|completion|help|profile|gdbinit|lldbinit) )"
)
"""What a shell is meant to read of the lines that begin with `coronel`; the others are for a debugger."""

NAMES: Final = {
    "KERNEL.elf": "kernel.elf",
    "KERNEL": "kernel.elf",
    "COMMAND": "heapcheck",
    "ADDRESS": "g_kernel_heap->first_block_",
    "POINTER": "g_kernel_heap",
    "PHYSICAL": "0x3ff000",
    "FRAME": "0x3ff000",
    "SOCKET": "qmp.sock",
    "PATH": "gdb.sock",
    "DUMP": "bug.coronel",
    "DIR": "crashes",
    "SIZE": "0x8000000",
}
"""What the words in capitals stand for."""

NOT_RUN: Final = {
    r"make (test|lint|docs)": "these very tests run it",
    r"make demo": "tests/lab/test_demo.py runs it",
    r"make hardware.*": "minutes; tests/hardware runs a draw of it",
    r"make mutate": "ten minutes, and it changes files of the checkout while it runs",
    r"make fuzz.*": "minutes; tests/dumps/test_fuzz.py runs a draw of it",
    r"make corpus.*": "hours; tests/lab/test_corpus.py runs a draw of it",
    r"make differential.*": "a minute; tests/differential runs a draw of it",
    r"make bench|.* -m lab bench.*": "figures need a quiet machine",
    r"make (capture|format)": "it writes to the checkout",
    r"make clean": "it removes the environment that runs the tests",
    r"make debug.*": "tests/test_documents.py runs one; the others differ in the scenario, which must exist",
    r"PYTHONPATH=\.:qemu \.venv/bin/python -m lab hardware.*": "minutes; tests/hardware runs a draw of it",
    r"coronel (whatis|snapshot|profile|profile new|--dump|watch-heap --every)": "only a name",
    r"snapshot save|frames --owner|pagewalk --save|target core|print /r|command script add -p": "only a name",
    r"file FILE": "an argument in a table of options",
    r"pagewalk x = 1": "an example of what is refused; tests/gdb/test_bad_input.py types such",
    r"coronel largest": "a plugin's; tests/plugins installs it and runs it",
    r"make release": "minutes; it runs these tests itself, on the wheel",
    r"make newest": "it fetches a whole Debian, and runs these tests in it",
    r"pipx? (install|inject).*": "changes an environment; tests/plugins and make release do it in their own",
    r"target remote :1234": "the port may be somebody's; the line with a unix socket is run",
    r"gdb-remote 1234": "the port may be somebody's; the line with a unix socket is run",
}
"""Patterns of whole lines, and the reason; what can be checked of them without running is checked."""


_ORDER = re.compile(r"(?:#\d+ )?\w+\(.*\)")
"""Of the scenario `executor` (docs/divergences.md): `make differential` replays them."""


@dataclass(frozen=True)
class Unknown(Exception):
    """A line that nobody knows how to run."""

    text: str


def dialect(line: Line) -> str | None:
    """Who reads a line: a key of HEADS, None for inline code that is no command line; `Unknown` otherwise."""
    if line.whole:
        return "shell"
    if line.inline and " " not in line.text:
        return None
    if re.match(r"coronel( -*[a-z]|$)", line.text):
        return "shell" if COMMAND_LINE.match(line.text) else "gdb"
    for kind, heads in HEADS.items():
        if line.text.startswith(tuple(f"{head} " for head in heads)) or line.text in heads:
            return kind
    if line.inline:
        return None
    if _ORDER.fullmatch(line.text):
        return None
    raise Unknown(line.text)


def reason_not_to_run(line: Line) -> str | None:
    """Why a line is not run by itself, None when it is."""
    alone = line.inline or (line.text.startswith("coronel ") and ">" not in line.text)
    if alone and line.text in captured_commands():
        return "a captured session shows it"
    if "…" in line.text:
        return "a form, not a line"
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, line.text)), None)


@cache
def captured_commands() -> frozenset[str]:
    """Every command of every captured session, without its prompt."""
    typed = (
        command for path in documents() for block in sessions(path.read_text()) for command in block.commands
    )
    return frozenset(command.partition(" ")[2] for command in typed)


def concrete(text: str) -> str:
    """The line with things that are there for its words in capitals; what is optional is given."""
    text = re.sub(r"\[([^]]*)\]", r"\1", text) if " [" in text else text
    words = {**NAMES, "FILE": f"{text.split()[0]}.file"}
    return re.sub(r"(?<![\w$*)])[A-Z]+(?:\.elf)?(?![\w=])", lambda word: words.get(word[0], word[0]), text)


def run_line(stage: Stage, line: Line, kind: str) -> str | None:
    """Run a line; None when it does what the document says, else what went wrong."""
    text = concrete(line.text)
    if kind in ("shell", "checkout"):
        done = run(text, ROOT) if kind == "checkout" else stage.in_shell(text)
        # Findings are no failure; but a script says itself what it expects.
        good = (0, 1) if text.startswith("coronel ") else (0,)
        return None if done.returncode in good else f"exit code {done.returncode}: {done.stdout[-500:]}"
    if kind == "monitor":
        # Its current folder is not the stage's.
        text = re.sub(r"\"?([\w-]+\.file)\"?", rf'"{stage.folder}/\1"', text)
        _ = stage.gdb
        answer = stage.machine.monitor(text)
        (stage.folder / f"{text.split()[0]}.file").unlink(missing_ok=True)
        return answer if "rror" in answer or "unknown command" in answer else None
    if kind in ("visitor", "lldb"):
        stage = stage.visitor(f"{kind} on a core" if "core.elf" in text else kind)
        _ = stage.machine
    if any(dump in text for dump in ("vmcore", "core.elf", "bug.coronel")):
        stage.beside_dumps()
    if kind == "lldb":
        shown = stage.typed_in_lldb(text)
        return shown if shown.startswith("error: ") else None
    shown = stage.typed_in_gdb(text)
    if stage.gdb.failed:
        return shown
    checked = text.split()[0] in (*OURS, "coronel") and stage.gdb.evaluate("$coronel_exit") == 2
    return shown if checked else None


def problem_of_form(stage: Stage, line: Line) -> str | None:
    """What is wrong with a line that is not run, as far as can be seen without running it."""
    words = line.text.replace("…", "").split()
    if words[0] == "make":
        return _problem_of_make(words[1:])
    if words[0] == "coronel" and "…" in line.text and len(words) > 1 and words[1].isalpha():
        done = run(f"coronel {words[1]} --help", stage.folder)
        missing = [word for word in words[2:] if word.startswith("--") and word not in done.stdout]
        return f"no option {missing}" if missing else None if done.returncode == 0 else done.stdout
    return None


def _problem_of_make(words: list[str]) -> str | None:
    from lab.scenarios import scenarios

    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, value = word.partition("=")
        if is_variable and not re.search(rf"\$\({name}\)", makefile):
            return f"the Makefile has no variable {name}"
        if not is_variable and not re.search(rf"^{re.escape(name)}:", makefile, re.M):
            return f"no target {name}"
        if name == "SCENARIO" and value:
            unknown = [scenario for scenario in value.split(",") if scenario not in scenarios()]
            if unknown:
                return f"no scenario {unknown}"
    return None
