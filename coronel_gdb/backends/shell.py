"""What the command line says about itself: overview, help, completion; and the lines for start-up files."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from coronel_gdb.commands.command import Command, Option
from coronel_gdb.environment import ROOT
from coronel_gdb.errors import UsageError

OPTIONS = (
    Option("--dump", "a memory dump: ELF core, kdump-compressed, or raw physical memory", "FILE"),
    Option("--qmp", "a QEMU on this machine, by its QMP socket; it is read as it runs or stands", "SOCKET"),
    Option("--kernel", "the kernel's ELF file: symbols and debug information", "ELF"),
    Option("--cpu", "look at this CPU's registers (default 0)", "N"),
    Option("--cr3", "physical address of the top page table, instead of the CPU's CR3", "X"),
    Option("--format", "how to print the report: table (default), json, html or a plugin's", "NAME"),
    Option("--output", "write it there instead (-o FILE); `report` writes report.html by default", "FILE"),
)
_EXAMPLE = "coronel heapcheck --dump vmcore --kernel kernel.elf"
PRINTED = {
    "completion": "Print the completion script for a shell: bash or zsh.",
    "gdbinit": "Print the line for ~/.gdbinit that loads the commands into GDB.",
    "lldbinit": "Print the line for ~/.lldbinit that loads the commands into LLDB.",
}
"""Words that print what another program reads."""


def printed(words: Sequence[str], known: Collection[Command], formats: Iterable[str]) -> str:
    """What one of these words prints."""
    name, *rest = words
    if name == "completion":
        if len(rest) != 1:
            raise UsageError("completion: name the shell: `coronel completion bash` or zsh")
        return completion(rest[0], known, formats)
    if rest:
        raise UsageError(f"{name} takes nothing: `coronel {name} >> ~/.{name}`")
    verb = "source" if name == "gdbinit" else "command script import"
    return f"{verb} {_quoted(name)}"


def _quoted(name: str) -> str:
    """The script's path; LLDB splits lines at blanks, GDB takes all that follows."""
    path = str(ROOT / "coronel_gdb" / f"{name}.py")
    return f'"{path}"' if name == "lldbinit" and " " in path else path


def valued(command: Command) -> set[str]:
    """Its options that take a value."""
    return {option.name for option in command.options if option.value is not None}


def _rows(options: Sequence[Option]) -> list[str]:
    rows = [(f"{option.name} {option.value or ''}".strip(), option.help) for option in options]
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def overview(known: Collection[Command]) -> str:
    """What `coronel --help` prints."""
    width = max(map(len, [*(command.name for command in known), *PRINTED]))
    return "\n".join(
        [
            "usage: coronel COMMAND (--dump FILE | --qmp SOCKET) --kernel ELF [options]",
            "",
            "Check a kernel's memory structures against the reference model, without a debugger.",
            "",
            "commands:",
            *(f"  {command.name:<{width}}  {command.summary}" for command in known),
            *(f"  {name:<{width}}  {text}" for name, text in PRINTED.items()),
            "",
            "options:",
            *_rows(OPTIONS),
            "",
            "`coronel COMMAND --help` explains one. Exit code: 0 checked and clean, 1 findings,",
            "2 could not check.",
            "",
            f"example: {_EXAMPLE}",
        ]
    )


def explain(command: Command, *, opens_files: bool = False) -> str:
    """What `coronel COMMAND --help` prints: the command's help as in a debugger, and what is added here.

    `opens_files`: it looks at files of its own, and at no target.
    """
    if opens_files:
        (kernel,) = (option for option in OPTIONS if option.name == "--kernel")
        text, _, example = command.help().rpartition("\n\nexample: ")
        return "\n".join([text, *_rows([kernel]), "", f"example: {example} --kernel kernel.elf"])
    usage = f"coronel {command.name} (--dump FILE | --qmp SOCKET) --kernel ELF"
    example = command.example.removeprefix("coronel ")
    return "\n".join(
        [
            command.help().rpartition("\n\nexample: ")[0],
            "",
            f"without a debugger: {usage}",
            *_rows([option for option in OPTIONS if option.name not in valued(command)]),
            "",
            f"example: coronel {example} --dump vmcore --kernel kernel.elf",
        ]
    )


_COMPLETION = """\
_coronel() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    COMPREPLY=()
    case $before in
        --dump|--qmp|--kernel|--profile|--output|-o) COMPREPLY=($(compgen -f -- "$word")); return ;;
        --format) COMPREPLY=($(compgen -W "{formats}" -- "$word")); return ;;
        completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")); return ;;
    esac
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{names} help --help --version" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
}}
complete -o filenames -F _coronel coronel
"""


def _choices(command: Command) -> Iterator[str]:
    """The words that its arguments can be."""
    for option in command.by_place():
        yield from option.choices


def _case(command: Command, surface: Sequence[str]) -> str:
    """What is offered behind the name of a command; files where it takes some by place."""
    words = " ".join(dict.fromkeys([*_choices(command), *command.option_names(), *surface, "--help"]))
    files = ' $(compgen -f -- "$word")' * any("FILE" in (o.value or "") for o in command.by_place())
    return f'        {command.name}) COMPREPLY=($(compgen -W "{words}" -- "$word"){files}) ;;'


def completion(shell: str, known: Collection[Command], formats: Iterable[str]) -> str:
    """A script for bash, or for zsh by its emulation of bash's; made from the commands' options."""
    if shell not in ("bash", "zsh"):
        raise UsageError(f"completion is there for bash and zsh, not for {shell}")
    surface = [option.name for option in OPTIONS]
    cases = [_case(command, surface) for command in known]
    names = " ".join([*(command.name for command in known), *PRINTED])
    script = _COMPLETION.format(names=names, cases="\n".join(cases), formats=" ".join(formats))
    return ("autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else "") + script.rstrip()
