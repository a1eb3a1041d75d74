"""`coronel save`: the memory that the checks read, the registers and the kernel, in one small file."""

import argparse
import time
from contextlib import suppress
from pathlib import Path

from coronel_gdb import VERSION
from coronel_gdb.commands import frames, heapcheck, layout, memcheck, pagewalk, processes, regions, replay
from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.walks.words import counted
from coronel_gdb.dumps import small
from coronel_gdb.errors import CoronelError, UsageError
from coronel_gdb.lift.recorded import RecordedTarget
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.report import Report
from model.types import PAGE_BYTES, VirtualAddress, align_down, align_up

_RUNS = (
    (memcheck, ""),
    (heapcheck, "--everywhere --stats --blocks --leaks"),
    (frames, "--ledger --duplicates --leaks"),
    (regions, ""),
    (processes, ""),
    (layout, ""),
    (pagewalk, ""),
    (pagewalk, "--audit --every-process"),
    (pagewalk, "--why"),
    (replay, ""),
)
"""What is run to find out which memory a later look at the file may need."""
_REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip", "eflags", "cs", "ds", "es", "fs", "gs", "ss", "cr0", "cr2", "cr3", "cr4", "cr8", "efer",
    "fs_base", "gs_base", "k_gs_base",
)  # fmt: skip
_AROUND_BYTES = 2 * PAGE_BYTES
_U64 = (1 << 64) - 1


def run(context: Context, options: argparse.Namespace) -> Report:
    """Run every check on a target that notes what is read, then write that."""
    if options.file is None:
        raise UsageError("save: name the file to write: coronel save FILE")
    path = Path(options.file).expanduser()
    small.check_path(path)
    context.space.translate(VirtualAddress(0))  # without paging there is nothing to save
    recorded = RecordedTarget(context.target, context.cpu.physical_bits)
    fresh = context.on(recorded)
    checks = [f"{part.COMMAND.name}: {_recorded(fresh, part.COMMAND, words)}" for part, words in _RUNS]
    _surroundings(fresh)
    with suppress(CoronelError):
        _image(fresh, context.profile)
    kernel = _kernel(context)
    description = small.Description(
        _registers(context),
        f"saved with {_cpu_source(context)}",
        _provenance(context),
        recorded.memory.missing(),
        context.cpu.physical_bits,
        kernel.name if kernel else "",
        kernel.stat().st_size if kernel else 0,
    )
    size = small.write(path, description, recorded.memory.contents(), kernel)
    saved = len(recorded.memory.pages) * PAGE_BYTES
    report = Report("save", f"{size >> 10:,} KiB in {path}, of {saved >> 10:,} KiB that the checks read")
    report.facts += [
        (
            "kernel",
            f"{kernel.name} is in it" if kernel else "not in it: name it with --kernel when you open it",
        ),
        ("checks", "; ".join(dict.fromkeys(checks))),
        ("open with", f"coronel memcheck --dump {path}"),
    ]
    return report


def _recorded(context: Context, command: Command, words: str) -> str:
    """Run a command for what it reads; its verdict in a word."""
    try:
        found = command.run(context.on(context.target), command.parse(words.split()))
    except CoronelError:
        return "could not check"
    verdict = counted(len(found.findings), "finding") if found.findings else "no finding"
    return f"{verdict} as far as checked" if found.not_checked and not found.findings else verdict


def _surroundings(context: Context) -> None:
    """Code and stack where the CPU stands."""
    for name in ("rip", "rsp"):
        with suppress(CoronelError):
            at = align_down(context.target.register(name), PAGE_BYTES)
            start, end = max(0, at - _AROUND_BYTES), min(_U64, at + _AROUND_BYTES)
            for _ in context.space.runs(VirtualAddress(start), VirtualAddress(end)):
                pass


def _image(context: Context, profile: ResolvedProfile) -> None:
    """The kernel's code, constants and variables: an expression may name any of them."""
    first, last = (context.target.symbol(profile.image.get(role, "")) for role in ("text_start", "end"))
    if first is not None and last is not None:
        for _ in context.space.runs(first, VirtualAddress(align_up(last, PAGE_BYTES))):
            pass


def _registers(context: Context) -> dict[str, int]:
    found = {}
    for name in _REGISTERS:
        with suppress(CoronelError):
            found[name] = context.target.register(name) & _U64
    return found


def _cpu_source(context: Context) -> str:
    """Whether EFER was read or was inferred even then."""
    known = dict(context.target.facts()).get("efer")
    return f"the dump, where it was {known}" if known else "the other registers"


def _kernel(context: Context) -> Path | None:
    """The kernel's file, unless it is too large to be carried along."""
    kernel = context.target.kernel()
    with suppress(OSError):
        if kernel is not None and 0 < kernel.stat().st_size <= small.MOST_KERNEL_BYTES:
            return kernel
    return None


def _provenance(context: Context) -> tuple[tuple[str, str], ...]:
    rows = [("by", f"coronel-gdb {VERSION}"), ("on", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))]
    rows += [(name, value) for name, value in context.target.facts() if not name.startswith("saved ")]
    return (*rows, ("memory", context.target.memory.describe()))


COMMAND = Command(
    "save",
    "Save what the checks read as one small dump.",
    "Runs every check and writes the pages that they read, the page tables, the kernel's image, the\n"
    "registers and the kernel's ELF file, compressed: usually below 1 % of the RAM. Every command opens\n"
    "it without a debugger and without --kernel, and reports the same. Memory that no check read is not\n"
    "in it, and said to be missing. A file that is no small dump is never overwritten.",
    "coronel save bug.coronel",
    (Option("file", "the file to write", "FILE"),),
    run,
)
